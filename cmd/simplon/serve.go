package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
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

	lock, err := lockForServer(s.ctx, c.DataDir)
	if err != nil {
		return err
	}
	defer lock.release()
	warnOpenFolder(c.DataDir, log)
	in, err := openInstallation(s.ctx, c, toServe, log)
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

	running, stop := context.WithCancel(s.ctx)
	defer stop()
	group, ctx := errgroup.WithContext(running)
	group.Go(func() error { return makeSlowKeys(context.WithoutCancel(ctx)) })
	group.Go(func() error { return auth.Prune(ctx, time.Minute) })

	doors, err := n.open(ctx, s, c, in, site.Outer(mux), privateHandler(c, in, auth, ready), log)
	if err != nil {
		stop() // and wait: those who run use the database that is closed on return
		return errors.Join(err, group.Wait())
	}
	doors.serve(ctx, group)
	log.Info("listening", slog.String("issuer", c.Issuer.String()), slog.Any("addresses", doors.addresses()))
	err = group.Wait()
	log.Info("stopped")
	return err
}

// open opens every listener and tells people what to do next. Nothing answers
// yet; on error nothing is open.
func (n serveCommand) open(ctx context.Context, s *session, c Config, in *installation, public, private http.Handler, log *slog.Logger) (*doors, error) {
	doors, err := openDoors(c, n.Demo, public, private, log)
	if err != nil {
		return nil, err
	}
	admin, l, err := adminServer(c.DataDir, in.acts, log)
	if err == nil {
		doors.add(admin, l)
	}
	if err == nil && n.Demo {
		err = addDemo(ctx, s.errOut, c, in, doors, log)
	}
	if err == nil {
		err = greet(s, c, in)
	}
	if err != nil {
		return nil, errors.Join(err, doors.closeListeners())
	}
	return doors, nil
}

// warnOpenFolder warns of a data_dir that others can look into: the files in it
// are closed to them, their names and times are not.
func warnOpenFolder(dir string, log *slog.Logger) {
	if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o077 != 0 {
		log.Warn("data_dir is open to other users of this machine; chmod 700 it", slog.String("data_dir", dir), slog.String("mode", fmt.Sprintf("%04o", info.Mode().Perm())))
	}
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
