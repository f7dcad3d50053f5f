// Package web owns the look and the manners of every page and answer: the
// order of middleware, cookies and their flags, CSRF, the mapping of errors to
// translated pages or RFC 9457 problems, security headers, the language of a
// request, the text catalogues, the templates, the stylesheet and the icons.
//
// It does not own routes, sessions or any decision about who may do what: the
// packages above hand it a typed view or an Error and it answers. No other
// package parses a template, sets a cookie or holds a sentence for people.
//
// The pages work without JavaScript; the two small modules only add comfort.
package web

import (
	"crypto/rand"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// Handler answers a request or returns an error. An *Error becomes a
// translated page or problem; any other error becomes "internal" with the
// request id, and its text goes to the log only. A handler that has already
// begun its answer must return nil or an error meant for the log.
type Handler func(w http.ResponseWriter, r *http.Request) error

// Config is what a Site is made from. Issuer and CSRFKey are required.
type Config struct {
	// Issuer's scheme decides cookie flags and the __Host- prefix, its host is
	// the only accepted Host. A forwarded header never changes either.
	Issuer *url.URL
	// MaxBody is the size of a request's body in bytes, at most; 0 means 64 KiB.
	MaxBody int64
	// Hosts are further accepted Host values (host or host:port).
	Hosts []string
	// CSRFKey is 32 bytes; all nodes of a cluster share it.
	CSRFKey []byte
	// TrustedProxies are the peers whose X-Forwarded-For is read.
	TrustedProxies []netip.Prefix
	// SupportContact is a mailto:, tel:, https: or http: URL behind "Help", or empty.
	SupportContact string
	// PrivacyURL is an https: URL behind "Privacy", or empty.
	PrivacyURL string
	// Log takes one line per request; nil discards.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Rand is the source of ids; nil means crypto/rand. It must be safe for
	// concurrent use.
	Rand io.Reader
}

// Site holds the parsed templates, catalogues and static files. It is
// immutable after New and safe for concurrent use.
type Site struct {
	cfg       Config
	https     bool
	hosts     map[string]bool
	cross     *http.CrossOriginProtection
	texts     *catalogues
	templates map[string]*template.Template
	static    *static
}

// New checks the configuration, parses every template and loads the
// catalogues. An error means the configuration or the embedded files are bad.
func New(cfg Config) (*Site, error) {
	if err := checkConfig(&cfg); err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	s := &Site{
		cfg:   cfg,
		https: cfg.Issuer.Scheme == "https",
		hosts: map[string]bool{},
		cross: http.NewCrossOriginProtection(),
	}
	for _, h := range append([]string{cfg.Issuer.Host}, cfg.Hosts...) {
		s.hosts[s.canonicalHost(h)] = true
	}
	var err error
	if s.texts, err = loadCatalogues(); err != nil {
		return nil, fmt.Errorf("web: load catalogues: %w", err)
	}
	if s.static, err = loadStatic(); err != nil {
		return nil, fmt.Errorf("web: load static files: %w", err)
	}
	if s.templates, err = parseTemplates(s.static); err != nil {
		return nil, fmt.Errorf("web: parse templates: %w", err)
	}
	return s, nil
}

func checkConfig(cfg *Config) error {
	if cfg.Issuer == nil || cfg.Issuer.Host == "" {
		return errors.New("issuer without a host")
	}
	if cfg.MaxBody <= 0 {
		cfg.MaxBody = defaultMaxBody
	}
	if cfg.Issuer.Scheme != "http" && cfg.Issuer.Scheme != "https" {
		return fmt.Errorf("issuer scheme %q is neither http nor https", cfg.Issuer.Scheme)
	}
	if len(cfg.CSRFKey) != 32 {
		return fmt.Errorf("CSRF key has %d bytes, want 32", len(cfg.CSRFKey))
	}
	if err := checkLink("support contact", cfg.SupportContact, "mailto", "tel", "https", "http"); err != nil {
		return err
	}
	if err := checkLink("privacy URL", cfg.PrivacyURL, "https", "http"); err != nil {
		return err
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	return nil
}

func checkLink(what, raw string, schemes ...string) error {
	if raw == "" {
		return nil
	}
	u, err := url.Parse(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	for _, scheme := range schemes {
		if u.Scheme == scheme {
			return nil
		}
	}
	return fmt.Errorf("%s %q must start with one of %s", what, raw, strings.Join(schemes, ", "))
}

// canonicalHost lowers a Host value and drops the issuer's default port, so
// that "Login.Example:443" and "login.example" are one host.
func (s *Site) canonicalHost(host string) string {
	host = strings.ToLower(host)
	if s.https {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}
