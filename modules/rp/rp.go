// Package rp is the relying-party kit: everything a module needs to sign
// people in at the provider through OpenID Connect and nothing else. It owns
// discovery, the round trip to the provider and back (code, PKCE S256, state,
// nonce, iss), the check of ID tokens, the application's own session and its
// cookies, refresh, userinfo and RP-initiated logout.
//
// It does not own pages, routes or texts: an application mounts its handlers,
// calls App and shows what the returned *Error stands for. It knows only what
// the provider says through its public doors, as a stranger's application
// would.
//
// Sessions and open sign-ins live in memory, bounded in number and life: they
// are gone after a restart, and then one redirect to the provider brings the
// person back.
package rp

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	defaultSessions    = 1000
	defaultSessionLife = 8 * time.Hour
	maxLogins          = 10000
	loginLife          = 10 * time.Minute
	callTimeout        = 10 * time.Second
)

// Config is what an App is made from. Name, Issuer, ClientID, ClientSecret,
// Base and Scopes are required.
type Config struct {
	// Name begins the names of all cookies; it must be unique per application
	// on a host and consist of a–z, 0–9 and "_".
	Name string
	// Issuer is the provider's issuer identifier, byte for byte as it stands in
	// discovery and in ID tokens.
	Issuer string
	// ClientID and ClientSecret are sent by client_secret_basic.
	ClientID, ClientSecret string
	// Base is the application's root, e.g. http://127.0.0.1:8081/mail. Its
	// scheme decides the Secure flag of cookies, its path their Path. The
	// application routes "callback" and "signed-out" below it.
	Base *url.URL
	// Scopes are asked at a sign-in; "openid" must be among them.
	Scopes []string
	// MaxSessions bounds the sessions kept; the oldest goes first. 0 means 1000.
	MaxSessions int
	// SessionLife bounds a session from its start. 0 means 8 hours.
	SessionLife time.Duration
	// Log takes one line per failure, without secrets; nil discards.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Rand is the source of state, nonce, verifier and session ids; nil means
	// crypto/rand. It must be safe for concurrent use.
	Rand io.Reader
	// HTTP makes the calls to the provider; nil means a client of our own.
	// Either way answers are bounded to 1 MiB, redirects are not followed, and
	// a call takes at most 10 seconds.
	HTTP *http.Client
}

// App is one application. It is safe for concurrent use.
type App struct {
	cfg      Config
	log      *slog.Logger
	path     string // cookie path: Base.Path without a trailing slash
	provider *lazyProvider
	logins   *shelf[*login]
	sessions *shelf[*Session]
	logouts  *shelf[bool]
}

// New checks the configuration. It calls nobody: the provider is discovered at
// the first use, because it may be starting in this very process.
func New(cfg Config) (*App, error) {
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("rp %s: %w", cfg.Name, err)
	}
	if cfg.MaxSessions <= 0 {
		cfg.MaxSessions = defaultSessions
	}
	if cfg.SessionLife <= 0 {
		cfg.SessionLife = defaultSessionLife
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
	a := &App{
		cfg:      cfg,
		log:      cfg.Log.With("app", cfg.Name),
		path:     cookiePath(cfg.Base),
		logins:   newShelf[*login](maxLogins, loginLife, cfg.Now),
		sessions: newShelf[*Session](cfg.MaxSessions, cfg.SessionLife, cfg.Now),
		logouts:  newShelf[bool](maxLogins, loginLife, cfg.Now),
	}
	a.provider = newLazyProvider(cfg, a.RedirectURI())
	return a, nil
}

// cookiePath is the base's path without a trailing slash. JoinPath on a base
// without a path leaves the leading one out, and a browser would then guess.
func cookiePath(base *url.URL) string {
	if path := strings.Trim(base.EscapedPath(), "/"); path != "" {
		return "/" + path
	}
	return ""
}

func (cfg *Config) check() error {
	if cfg.Name == "" || strings.Trim(cfg.Name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		return errors.New("name must consist of a-z, 0-9 and _")
	}
	issuer, err := url.Parse(cfg.Issuer)
	if err != nil || issuer.Host == "" || (issuer.Scheme != "http" && issuer.Scheme != "https") {
		return fmt.Errorf("issuer %q is not an absolute http or https URL", cfg.Issuer)
	}
	if cfg.ClientID == "" || cfg.ClientSecret == "" {
		return errors.New("client id or secret missing")
	}
	if cfg.Base == nil || cfg.Base.Host == "" || (cfg.Base.Scheme != "http" && cfg.Base.Scheme != "https") {
		return errors.New("base is not an absolute http or https URL")
	}
	if !slices.Contains(cfg.Scopes, "openid") {
		return errors.New(`scope "openid" missing`)
	}
	return nil
}

// RedirectURI is the address to register as redirect URI.
func (a *App) RedirectURI() string { return RedirectURI(a.cfg.Base) }

// PostLogoutURI is the address to register as post-logout redirect URI.
func (a *App) PostLogoutURI() string { return PostLogoutURI(a.cfg.Base) }

// RedirectURI is App.RedirectURI of an application whose root is base.
func RedirectURI(base *url.URL) string { return base.JoinPath("callback").String() }

// PostLogoutURI is App.PostLogoutURI of an application whose root is base.
func PostLogoutURI(base *url.URL) string { return base.JoinPath("signed-out").String() }

// secret returns 256 random bits, base64url: 43 characters, which is also the
// least length of a PKCE verifier (RFC 7636 section 4.1).
func (a *App) secret() (string, error) {
	raw := make([]byte, 32)
	if _, err := io.ReadFull(a.cfg.Rand, raw); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(raw), nil
}
