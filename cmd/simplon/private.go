package main

import (
	"context"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"simplon/authserver"
	"simplon/storage"
)

// readiness answers 200 when the database answers, else 503, and nothing more.
func readiness(db *storage.DB) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		w.Header().Set("Cache-Control", "no-store")
		if err := db.Ping(ctx); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
}

// privateHandler answers the private listener: health, readiness, metrics and,
// where asked for, profiles.
func privateHandler(c Config, in *installation, auth *authserver.Server, ready http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.Handle("GET /readyz", ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics(in, auth), promhttp.HandlerOpts{}))
	if c.Debug.Pprof {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	}
	return mux
}

// metrics gathers the counters that the packages keep. Labels are a fixed few
// values, never anything a stranger can choose.
func metrics(in *installation, auth *authserver.Server) *prometheus.Registry {
	r := prometheus.NewRegistry()
	counter := func(name, help string, labels prometheus.Labels, value func() uint64) {
		r.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "simplon", Name: name, Help: help, ConstLabels: labels},
			func() float64 { return float64(value()) }))
	}
	gauge := func(name, help string, value func() int) {
		r.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "simplon", Name: name, Help: help}, func() float64 { return float64(value()) }))
	}
	counts := auth.Counts()
	counter("password_guesses_total", "Passwords that were really compared.", prometheus.Labels{"verdict": "right"}, counts.GuessesRight.Load)
	counter("password_guesses_total", "Passwords that were really compared.", prometheus.Labels{"verdict": "wrong"}, counts.GuessesWrong.Load)
	counter("password_refusals_total", "Guesses answered without comparing: locked, unknown or disabled.", nil, counts.Refused.Load)
	counter("password_hashes_total", "Password hashes computed, for comparing or as dummy work.", nil, func() uint64 { n, _, _ := in.pool.Counts(); return n })
	counter("sql_statements_total", "Statements sent to the database.", nil, in.db.Statements)
	gauge("password_queue_length", "Requests that wait for a password hash.", func() int { _, n, _ := in.pool.Counts(); return n })
	gauge("password_hashes_running", "Password hashes being computed.", func() int { _, _, n := in.pool.Counts(); return n })
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
