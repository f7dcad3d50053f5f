package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// doors are the listeners and the servers behind them.
type doors struct {
	all []door
}

type door struct {
	server   *http.Server
	listener net.Listener
	secure   bool // TLS, with the certificate in server.TLSConfig
}

func (d *doors) add(server *http.Server, l net.Listener) {
	d.all = append(d.all, door{server: server, listener: l})
}

func (d *doors) closeListeners() error {
	var err error
	for _, o := range d.all {
		err = errors.Join(err, o.listener.Close())
	}
	return err
}

func (d *doors) addresses() []string {
	var out []string
	for _, o := range d.all {
		out = append(out, o.listener.Addr().String())
	}
	return out
}

// publicServer bounds what a slow or greedy client can hold on to.
func publicServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 60 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: serverErrors(log),
	}
}

// openDoors opens the public and private listeners. Of several public addresses
// one must open; the others may not exist on this machine, as ::1 on some.
func openDoors(c Config, demo bool, public, private http.Handler, log *slog.Logger) (*doors, error) {
	server := publicServer(public, log)
	if c.TLS.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.TLS.CertFile, c.TLS.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
		warnCertificate(pair, c.Issuer.Hostname(), time.Now(), log)
	}
	d := &doors{}
	for _, address := range c.Listen {
		l, err := net.Listen("tcp", address)
		if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.EAFNOSUPPORT) {
			log.Warn("listen: this machine does not have the address", slog.String("address", address), slog.String("error", err.Error()))
			continue
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("listen: %w", err), d.closeListeners())
		}
		d.all = append(d.all, door{server: server, listener: l, secure: c.TLS.CertFile != ""})
	}
	if len(d.all) == 0 {
		return nil, fmt.Errorf("listen: this machine has none of %s", strings.Join(c.Listen, ", "))
	}
	if c.PrivateListen == "off" {
		return d, nil
	}
	l, err := privateListener(c)
	if err != nil && demo {
		log.Warn("no private listener: its address is in use", slog.String("error", err.Error()))
		return d, nil
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("private listener: %w", err), d.closeListeners())
	}
	d.add(publicServer(private, log), l)
	return d, nil
}

func privateListener(c Config) (net.Listener, error) {
	if path, ok := strings.CutPrefix(c.PrivateListen, "unix:"); ok {
		return listenPrivately(filepath.Clean(path))
	}
	return net.Listen("tcp", c.PrivateListen)
}

// warnCertificate warns of a certificate that every browser will refuse.
func warnCertificate(pair tls.Certificate, host string, now time.Time, log *slog.Logger) {
	if pair.Leaf == nil {
		return
	}
	if now.After(pair.Leaf.NotAfter) || now.Before(pair.Leaf.NotBefore) {
		log.Warn("the certificate is not valid now", slog.Time("from", pair.Leaf.NotBefore), slog.Time("until", pair.Leaf.NotAfter))
	}
	if err := pair.Leaf.VerifyHostname(host); err != nil {
		log.Warn("the certificate is not for the host of the issuer", slog.String("error", err.Error()))
	}
}

// serve answers on every door until ctx ends, then finishes the requests that
// run and returns.
func (d *doors) serve(ctx context.Context, group *errgroup.Group) {
	var servers []*http.Server
	for _, o := range d.all {
		group.Go(func() error {
			var err error
			if o.secure {
				err = o.server.ServeTLS(o.listener, "", "")
			} else {
				err = o.server.Serve(o.listener)
			}
			if errors.Is(err, http.ErrServerClosed) {
				return nil
			}
			return fmt.Errorf("serve %s: %w", o.listener.Addr(), err)
		})
		if !slices.Contains(servers, o.server) {
			servers = append(servers, o.server)
		}
	}
	for _, server := range servers {
		group.Go(func() error {
			<-ctx.Done()
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
			defer cancel()
			if err := server.Shutdown(end); err != nil {
				return errors.Join(fmt.Errorf("stop: %w", err), server.Close())
			}
			return nil
		})
	}
}

// serverErrors receives what net/http logs by itself: handshakes that failed,
// connections that could not be accepted. Strangers cause these at will, so one a
// minute is a warning, with the number of those before it that were not.
func serverErrors(log *slog.Logger) *stdlog.Logger {
	return stdlog.New(&rarely{log: log, now: time.Now}, "", 0)
}

type rarely struct {
	log *slog.Logger
	now func() time.Time

	mu     sync.Mutex
	next   time.Time
	passed int
}

// Write takes one message; it never fails.
func (w *rarely) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	level, before := slog.LevelDebug, w.passed
	if now := w.now(); !now.Before(w.next) {
		level, w.next, w.passed = slog.LevelWarn, now.Add(time.Minute), 0
	} else {
		w.passed++
	}
	w.log.Log(context.Background(), level, "connection", slog.String("error", strings.TrimSpace(string(p))), slog.Int("unreported_before", before))
	return len(p), nil
}
