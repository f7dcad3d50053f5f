package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"simplon/authserver"
	"simplon/console"
	"simplon/identity"
	"simplon/web"
)

type serveCommand struct {
	Demo bool `help:"Add a demo application and people with random passwords, in data_dir/demo. Loopback only."`
}

// Run runs the server until it is told to stop. This is the wiring list: what
// exists, in the order it comes up.
func (n serveCommand) Run(s *session) error {
	c, err := s.config()
	if err != nil {
		return err
	}
	if n.Demo {
		if c, err = demoConfig(c); err != nil {
			return err
		}
	}
	log := newLog(s.out, c.Log.Level)
	slog.SetDefault(log) // libraries that log on their own end up in the same lines

	lock, locked, err := takeLock(c.DataDir)
	if err != nil {
		return err
	}
	if !locked {
		return fmt.Errorf("another simplon uses %s", c.DataDir)
	}
	defer lock.release()
	in, err := openInstallation(s.ctx, c, log)
	if err != nil {
		return err
	}
	defer in.close()

	site, err := newSite(c, in, log)
	if err != nil {
		return err
	}
	keys, makeSlowKeys, err := authserver.OpenKeys(s.ctx, in.db, in.ring, rand.Reader, time.Now, c.Signing.Algorithms)
	if err != nil {
		return err
	}
	auth, err := authserver.New(authConfig(c, in, site, keys, log))
	if err != nil {
		return err
	}
	setup := &console.Setup{Acts: in.acts, Site: site, Spent: func() { removeSetupLink(c.DataDir, log) }}

	mux := http.NewServeMux()
	site.Mount(mux)
	auth.Mount(mux)
	setup.Mount(mux)
	ready := readiness(in.db)
	mux.Handle("GET /readyz", ready)

	group, ctx := errgroup.WithContext(s.ctx)
	group.Go(func() error { return makeSlowKeys(context.WithoutCancel(ctx)) })
	group.Go(func() error { return auth.Prune(ctx, time.Minute) })

	doors, err := openDoors(c, n.Demo, site.Outer(mux), privateHandler(c, in, auth, ready), log)
	if err != nil {
		return err
	}
	admin, adminListener, err := adminServer(c.DataDir, in.acts, log)
	if err != nil {
		return errors.Join(err, doors.closeListeners())
	}
	doors.add(admin, adminListener)
	if n.Demo {
		if err := addDemo(ctx, s.errOut, c, in, doors, log); err != nil {
			return errors.Join(err, doors.closeListeners())
		}
	}
	doors.serve(ctx, group)
	if err := greet(s, c, in); err != nil {
		return err
	}
	log.Info("listening", slog.String("issuer", c.Issuer.String()), slog.Any("addresses", doors.addresses()))
	err = group.Wait()
	log.Info("stopped")
	return err
}

func newSite(c Config, in *installation, log *slog.Logger) (*web.Site, error) {
	issuer, err := url.Parse(c.Issuer.String())
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	return web.New(web.Config{
		Issuer: issuer, CSRFKey: in.ring.MAC("csrf-key"), TrustedProxies: []netip.Prefix(c.TrustedProxies),
		MaxBody: int64(c.Limits.Body), SupportContact: contactURL(c.Support.Contact), PrivacyURL: c.Support.PrivacyURL.String(), Log: log, Now: time.Now, Rand: rand.Reader})
}

// contactURL makes a link of what support.contact holds.
func contactURL(contact string) string {
	switch {
	case contact == "", strings.HasPrefix(contact, "https:"), strings.HasPrefix(contact, "http:"), strings.HasPrefix(contact, "mailto:"), strings.HasPrefix(contact, "tel:"):
		return contact
	case strings.Contains(contact, "@"):
		return "mailto:" + contact
	}
	return "tel:" + strings.Map(func(r rune) rune {
		if r == '+' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, contact)
}

func authConfig(c Config, in *installation, site *web.Site, keys *authserver.Keys, log *slog.Logger) authserver.Config {
	return authserver.Config{
		Issuer: c.Issuer.String(), Front: in.front, DB: in.db, Ring: in.ring, Source: in.source, Random: rand.Reader, Pool: in.pool,
		Keys: keys, Site: site, Log: log, Now: time.Now,
		Lockout: identity.LockPolicy{Threshold: c.Lockout.Threshold, Wait: c.Lockout.Wait.Std(), WaitMax: c.Lockout.WaitMax.Std(), Total: c.Lockout.PasswordFailures},
		TTL: authserver.TTL{
			SignIn: c.TTL.SignIn.Std(), Session: c.TTL.Session.Std(), Device: c.TTL.Device.Std(), Code: c.TTL.Code.Std(),
			AccessToken: c.TTL.AccessToken.Std(), IDToken: c.TTL.IDToken.Std(), RefreshIdle: c.TTL.RefreshIdle.Std(),
			RefreshAbsolute: c.TTL.RefreshAbsolute.Std(), RefreshGrace: c.TTL.RefreshGrace.Std(), Handoff: c.TTL.Handoff.Std(),
		},
		Limits: authserver.Limits{
			SignInsPerBrowser: c.Limits.SignInsPerBrowser, SignInsPerAddress: c.Limits.SignInsPerAddress,
			GuessesPerMinute: c.Limits.GuessesPerMinute, Query: int(c.Limits.Query),
		},
	}
}

// greet tells people what to do next, on standard error, so that standard output
// holds log lines only. The set-up link is shown to a terminal and else only put
// into its file.
func greet(s *session, c Config, in *installation) error {
	fmt.Fprintf(s.errOut, "\n  Simplon is at %s\n", c.Issuer)
	needed, err := in.acts.NeedsSetup()
	if err != nil {
		return err
	}
	if needed {
		link, err := in.acts.NewSetupLink(s.ctx, "system", false)
		if err != nil {
			return err
		}
		path, err := writeSetupLink(c.DataDir, link)
		if err != nil {
			return err
		}
		if isTerminal(s.errOut) {
			fmt.Fprintf(s.errOut, "  Become its administrator within %s: %s\n", c.TTL.SetupLink, link.URL)
		} else {
			fmt.Fprintf(s.errOut, "  Become its administrator within %s: the link is in %s\n", c.TTL.SetupLink, path)
		}
	}
	fmt.Fprintln(s.errOut)
	return nil
}

func newLog(out io.Writer, level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo // Validate lets no other value through
	}
	return slog.New(slog.NewJSONHandler(out, &slog.HandlerOptions{Level: l}))
}

// doors are the listeners and the servers behind them.
type doors struct {
	all []door
}

type door struct {
	server    *http.Server
	listener  net.Listener
	cert, key string
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
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// openDoors opens the public and private listeners. Of several public addresses
// one must open; the others may be absent, as ::1 is on some machines.
func openDoors(c Config, demo bool, public, private http.Handler, log *slog.Logger) (*doors, error) {
	d := &doors{}
	server := publicServer(public, log)
	var failed error
	for _, address := range c.Listen {
		l, err := net.Listen("tcp", address)
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		d.all = append(d.all, door{server: server, listener: l, cert: c.TLS.CertFile, key: c.TLS.KeyFile})
	}
	if len(d.all) == 0 || failed != nil && !onlyUnavailable(failed) {
		return nil, errors.Join(fmt.Errorf("listen: %w", failed), d.closeListeners())
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

// onlyUnavailable tells whether an address does not exist on this machine, as
// opposed to being in use.
func onlyUnavailable(err error) bool {
	text := err.Error()
	return !strings.Contains(text, "address already in use") && !strings.Contains(text, "permission denied")
}

// serve answers on every door until ctx ends, then finishes the requests that
// run and returns.
func (d *doors) serve(ctx context.Context, group *errgroup.Group) {
	var servers []*http.Server
	for _, o := range d.all {
		group.Go(func() error {
			var err error
			if o.cert != "" {
				err = o.server.ServeTLS(o.listener, o.cert, o.key)
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
