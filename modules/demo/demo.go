// Package demo is two small applications, "Nordwand Mail" and "Nordwand Wiki",
// on a host of their own: somewhere to sign in to before the first real
// application is connected, and a worked example of modules/rp. It owns their
// pages, texts and stylesheet.
//
// It holds no mail and no wiki, knows no password, and is told nothing but
// what any application of the provider would be. Mail asks for no offline
// access and so lives and dies with the session at the provider; Wiki asks for
// it, holds a refresh token, and therefore asks the provider now and then
// whether the person is still signed in there.
package demo

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"simplon/modules/rp"
)

const (
	mailPath = "mail"
	wikiPath = "wiki"

	defaultRecheck = time.Minute
	// renewPause stands between two silent renewals, so that a provider whose
	// tokens are dead on arrival makes no endless loop of redirects.
	renewPause = 5 * time.Second
)

// App is what the provider's registration of one application gave out.
type App struct {
	ClientID, ClientSecret string
}

// Config is what a Site is made from. Issuer, Base, Mail and Wiki are required.
type Config struct {
	// Issuer is the provider's issuer identifier.
	Issuer string
	// Base is the scheme and host of both applications, without a path, e.g.
	// http://127.0.0.1:8081.
	Base *url.URL
	// Mail and Wiki are the two registrations, with the addresses RedirectURIs
	// and PostLogoutURIs return, the scopes openid, profile and email, and for
	// Wiki offline_access.
	Mail, Wiki App
	// People are the login addresses the front page names.
	People []string
	// Recheck is the least time between two silent questions of Wiki whether
	// the person is still signed in at the provider. 0 means one minute.
	Recheck time.Duration
	// Log takes failures, without secrets; nil discards.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Rand is the source of ids; nil means crypto/rand. It must be safe for
	// concurrent use.
	Rand io.Reader
	// HTTP makes the calls to the provider; nil means a bounded client.
	HTTP *http.Client
}

// Site is both applications. It is safe for concurrent use.
type Site struct {
	cfg   Config
	log   *slog.Logger
	pages *pages
	apps  []*application
	csp   string
}

// application is one of the two.
type application struct {
	path    string // "mail"; also the beginning of its text keys
	name    string // a proper name: the same in every language
	rp      *rp.App
	recheck bool // has offline access, so must ask whether the session lives
}

// New checks the configuration and parses the pages. It calls nobody; the
// provider may be down until the first person signs in.
func New(cfg Config) (*Site, error) {
	if cfg.Base == nil || cfg.Base.Host == "" || (cfg.Base.Path != "" && cfg.Base.Path != "/") {
		return nil, errors.New("demo: base must be a scheme and a host without a path")
	}
	if cfg.Recheck <= 0 {
		cfg.Recheck = defaultRecheck
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Site{cfg: cfg, log: cfg.Log}
	var err error
	if s.pages, err = loadPages(); err != nil {
		return nil, fmt.Errorf("demo: load pages: %w", err)
	}
	scopes := []string{"openid", "profile", "email"}
	if err := s.add(mailPath, "Nordwand Mail", cfg.Mail, scopes, false); err != nil {
		return nil, err
	}
	if err := s.add(wikiPath, "Nordwand Wiki", cfg.Wiki, append(scopes, "offline_access"), true); err != nil {
		return nil, err
	}
	issuer, err := url.Parse(cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("demo: issuer: %w", err)
	}
	// form-action is enforced along the redirects of a form: signing out and
	// renewing lead to the provider and back.
	s.csp = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; " +
		"form-action 'self' " + issuer.Scheme + "://" + issuer.Host
	return s, nil
}

func (s *Site) add(path, name string, app App, scopes []string, recheck bool) error {
	party, err := rp.New(rp.Config{
		Name: "nordwand_" + path, Issuer: s.cfg.Issuer, ClientID: app.ClientID, ClientSecret: app.ClientSecret,
		Base: s.cfg.Base.JoinPath(path), Scopes: scopes,
		Log: s.cfg.Log, Now: s.cfg.Now, Rand: s.cfg.Rand, HTTP: s.cfg.HTTP,
	})
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	s.apps = append(s.apps, &application{path: path, name: name, rp: party, recheck: recheck})
	return nil
}

// RedirectURIs are the addresses to register for the applications at base.
func RedirectURIs(base *url.URL) (mail, wiki []string) {
	return []string{rp.RedirectURI(base.JoinPath(mailPath))}, []string{rp.RedirectURI(base.JoinPath(wikiPath))}
}

// PostLogoutURIs are the addresses to register for coming back after sign-out.
func PostLogoutURIs(base *url.URL) (mail, wiki []string) {
	return []string{rp.PostLogoutURI(base.JoinPath(mailPath))}, []string{rp.PostLogoutURI(base.JoinPath(wikiPath))}
}
