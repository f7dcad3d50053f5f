package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"
)

// Outer wraps the whole server. In this order: request id and client address,
// the log line, recovery from panics, security headers, the check of Host
// (which GET /readyz passes with any).
// Requests that no pattern of the ServeMux below takes get our 404 or 405.
func (s *Site) Outer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := s.cfg.Now()
		st := &requestState{id: s.newRequestID(), ip: s.clientIP(r)}
		r = r.WithContext(context.WithValue(r.Context(), stateKey{}, st))
		rec := &recorder{ResponseWriter: w, r: r}
		defer func() { s.logLine(r, st, rec, s.cfg.Now().Sub(start)) }()
		defer s.recover(rec, r)
		s.outerHeaders(rec.Header())
		if !s.hosts[s.canonicalHost(r.Host)] && !isHealthCheck(r) {
			s.refuseHost(rec)
			return
		}
		next.ServeHTTP(rec, r)
		s.answerUnrouted(rec, r)
	})
}

// isHealthCheck tells a load balancer's question, which names the node by its
// address: no page and no link is built from the Host of its answer.
func isHealthCheck(r *http.Request) bool {
	return r.URL.Path == "/readyz" && (r.Method == http.MethodGet || r.Method == http.MethodHead)
}

func (s *Site) outerHeaders(h http.Header) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", permissionsPolicy)
	if s.https {
		h.Set("Strict-Transport-Security", "max-age=63072000")
	}
}

// permissionsPolicy switches off what no page of ours asks for and keeps
// passkeys to ourselves.
const permissionsPolicy = "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=(), " +
	"publickey-credentials-create=(self), publickey-credentials-get=(self)"

// refuseHost answers a Host that is not ours in plain text: no page, no link
// and no redirect may be built for it (A20).
func (s *Site) refuseHost(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusMisdirectedRequest)
	io.WriteString(w, s.texts.text(fallbackLang, "host.refused", nil)+"\n")
}

func (s *Site) recover(rec *recorder, r *http.Request) {
	p := recover()
	if p == nil {
		return
	}
	if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(p) // the server's own word for "drop the connection"
	}
	AddLog(r, slog.String("stack", string(debug.Stack())))
	s.fail(rec, r, fmt.Errorf("panic: %v", p))
}

// answerUnrouted replaces ServeMux's plain 404 and 405 with ours.
func (s *Site) answerUnrouted(rec *recorder, r *http.Request) {
	switch rec.unrouted {
	case http.StatusNotFound:
		s.fail(rec, r, &Error{Status: http.StatusNotFound, Key: "not-found"})
	case http.StatusMethodNotAllowed:
		s.fail(rec, r, &Error{Status: http.StatusMethodNotAllowed, Key: "method"})
	}
}

// recorder notes what was answered. Not safe for concurrent use, as any
// ResponseWriter.
type recorder struct {
	http.ResponseWriter
	r        *http.Request
	status   int
	bytes    int64
	unrouted int // the status of ServeMux that was held back
}

func (rec *recorder) WriteHeader(status int) {
	if rec.unrouted == 0 && rec.status == 0 && rec.r.Pattern == "" &&
		(status == http.StatusNotFound || status == http.StatusMethodNotAllowed) {
		rec.unrouted = status
		return
	}
	if rec.status == 0 && status >= 200 {
		rec.status = status
	}
	rec.ResponseWriter.WriteHeader(status)
}

func (rec *recorder) Write(p []byte) (int, error) {
	if rec.unrouted != 0 && rec.status == 0 {
		return len(p), nil
	}
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
	n, err := rec.ResponseWriter.Write(p)
	rec.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach Flush and deadlines.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.ResponseWriter }

func (s *Site) logLine(r *http.Request, st *requestState, rec *recorder, took time.Duration) {
	status := rec.status
	if status == 0 {
		status = http.StatusOK
	}
	st.mu.Lock()
	extra, speculative := st.attrs, st.speculative
	st.mu.Unlock()
	level := slog.LevelInfo
	if status >= 500 && !speculative {
		level = slog.LevelError
	}
	attrs := make([]slog.Attr, 0, 7+len(extra))
	attrs = append(attrs,
		slog.String("method", clean(r.Method)),
		slog.String("route", r.Pattern),
		slog.Int("status", status),
		slog.Float64("ms", float64(took.Microseconds())/1000),
		slog.Int64("bytes", rec.bytes),
		slog.String("id", st.id),
		slog.String("address", st.ip.String()))
	for _, a := range extra {
		attrs = append(attrs, cleanAttr(a))
	}
	s.cfg.Log.LogAttrs(r.Context(), level, "request", attrs...)
}
