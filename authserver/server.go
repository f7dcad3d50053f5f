// Package authserver owns the OpenID Connect endpoints and the pages of a
// sign-in: /authorize, the sign-in steps, consent, /continue, tokens, userinfo,
// discovery, keys and sign-out, with the sessions and grants behind them.
//
// Which step comes next is decided by identity.Next; who may guess how often, by
// identity.Lane; what is stored, by package storage. This package turns requests
// into those calls and their answers into pages and protocol answers. It sends
// nothing itself: facts become events in the transaction that makes them true.
package authserver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"
	"time"

	"simplon/identity"
	"simplon/secret"
	"simplon/storage"
	"simplon/web"
)

// Config is what a Server is made of. All fields are required unless said.
type Config struct {
	Issuer string // scheme://host[:port], no trailing slash
	Front  identity.Front
	DB     *storage.DB
	Ring   *secret.Ring
	Source *secret.Source
	Random io.Reader // safe for concurrent use
	Pool   *secret.Pool
	Keys   *Keys
	Site   *web.Site
	Log    *slog.Logger
	Now    func() time.Time

	Lockout identity.LockPolicy
	TTL     TTL
	Limits  Limits
}

// TTL are the lifetimes this package deals in.
type TTL struct {
	SignIn          time.Duration
	Session         time.Duration
	Device          time.Duration
	Code            time.Duration
	AccessToken     time.Duration
	IDToken         time.Duration
	RefreshIdle     time.Duration
	RefreshAbsolute time.Duration
	RefreshGrace    time.Duration // within it a repeated refresh gets the same successor
	Handoff         time.Duration
}

// Limits bound what strangers can make the server do.
type Limits struct {
	SignInsPerBrowser int // open sign-in rows; beyond it the oldest is closed
	SignInsPerAddress int // open sign-in rows of one network; beyond it 429
	GuessesPerMinute  int // password posts of one network; beyond it 429
	Query             int // bytes of an authorization request
}

// Server answers the routes of this package. It is safe for concurrent use.
type Server struct {
	Config
	guesses  *networkLimiter // of passwords, by network or known browser
	posts    *networkLimiter // of requests that other sites post to us, by network
	counts   Counts
	document []byte // the discovery document
}

// Counts are events since start, for metrics and for tests that prove bounds.
type Counts struct {
	GuessesRight atomic.Uint64 // passwords really compared, and right
	GuessesWrong atomic.Uint64 // passwords really compared, and wrong
	Refused      atomic.Uint64 // guesses answered without comparing: locked, unknown, disabled
}

// New returns a Server.
func New(c Config) (*Server, error) {
	if c.DB == nil || c.Ring == nil || c.Source == nil || c.Random == nil || c.Pool == nil || c.Keys == nil || c.Site == nil ||
		c.Log == nil || c.Now == nil || c.Issuer == "" || c.Front.ID == "" {
		return nil, errors.New("authserver: a required field of Config is missing")
	}
	s := &Server{Config: c, guesses: newNetworkLimiter(c.Limits.GuessesPerMinute, c.Now),
		posts: newNetworkLimiter(c.Limits.SignInsPerAddress, c.Now)}
	document, err := json.Marshal(s.metadata())
	if err != nil {
		return nil, fmt.Errorf("authserver: discovery document: %w", err)
	}
	s.document = document
	return s, nil
}

// Counts returns the live counters.
func (s *Server) Counts() *Counts { return &s.counts }

// Mount registers every route of this package.
func (s *Server) Mount(mux *http.ServeMux) {
	mux.Handle("GET /authorize", s.page(s.authorize))
	mux.Handle("POST /authorize", s.Site.CrossSite(tellBusy(s.handOff)))
	mux.Handle("GET /end_session", s.page(s.endSession))
	mux.Handle("POST /end_session", s.Site.CrossSite(tellBusy(s.handOff)))
	mux.Handle("POST /end_session/confirm", s.page(s.endSessionConfirmed))

	mux.Handle("GET /{$}", s.page(s.home))
	mux.Handle("POST /sign-out", s.page(s.signOut))
	mux.Handle("GET /signin/{id}", s.page(s.step))
	mux.Handle("POST /signin/{id}/login", s.page(s.postLogin))
	mux.Handle("POST /signin/{id}/change", s.page(s.postChange))
	mux.Handle("POST /signin/{id}/password", s.page(s.postPassword))
	mux.Handle("POST /signin/{id}/consent", s.page(s.postConsent))
	mux.Handle("GET /continue", s.page(s.goOn))

	mux.Handle("GET /.well-known/openid-configuration", s.Site.Raw(s.discovery))
	mux.Handle("GET /.well-known/oauth-authorization-server", s.Site.Raw(s.discovery))
	mux.Handle("GET /keys", s.Site.Raw(s.keySet))
	mux.Handle("/oauth/token", s.protocol(s.token, http.MethodPost))
	mux.Handle("/userinfo", s.protocol(s.userinfo, http.MethodGet, http.MethodPost))
}

// page is a page route whose busy database is told to people as that.
func (s *Server) page(h web.Handler) http.Handler { return s.Site.Page(tellBusy(h)) }

func tellBusy(h web.Handler) web.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		err := h(w, r)
		if errors.Is(err, storage.ErrBusy) {
			return &web.Error{Status: http.StatusServiceUnavailable, Key: "busy", Err: err, RetryAfter: retryAfter}
		}
		return err
	}
}

// newID makes an id of the kind. It fails only with the random source, which
// ends the request as an internal error.
func (s *Server) newID(kind string) (string, error) {
	id, err := identity.NewID(kind, s.Now(), s.Random)
	if err != nil {
		return "", fmt.Errorf("authserver: id: %w", err)
	}
	return id, nil
}

// event fills in what every event of a request has in common.
func (s *Server) event(r *http.Request, kind string) (identity.Event, error) {
	id, err := s.newID(identity.KindEvent)
	return identity.Event{
		ID: id, At: s.Now(), Kind: kind, Address: web.ClientIP(r).String(), Browser: browserName(r),
		RequestID: web.RequestID(r.Context()),
	}, err
}

// browserName is the user agent cut to 200 printable bytes.
func browserName(r *http.Request) string {
	out := make([]byte, 0, 200)
	for _, c := range []byte(r.UserAgent()) {
		if len(out) == cap(out) {
			break
		}
		if c >= ' ' && c < 0x7f {
			out = append(out, c)
		}
	}
	return string(out)
}

// network is the part of an address that speed limits and caps count by: an IPv4
// address, or the /64 of an IPv6 one.
func network(addr netip.Addr) string {
	addr = addr.Unmap()
	if addr.Is6() {
		if p, err := addr.WithZone("").Prefix(64); err == nil {
			return p.String()
		}
	}
	return addr.String()
}

// host is the host that people see, for the note beside the password field.
func (s *Server) host() string {
	u, err := url.Parse(s.Issuer)
	if err != nil {
		return s.Issuer
	}
	return u.Host
}

// Prune deletes expired rows until ctx ends, every interval. It is one of the
// long-lived goroutines of serve.
func (s *Server) Prune(ctx context.Context, every time.Duration) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for deleted := int64(1); deleted > 0 && ctx.Err() == nil; {
			err := s.DB.Tx(ctx, func(tx *storage.Tx) (err error) {
				deleted, err = tx.Prune(s.Now(), 500)
				return err
			})
			if err != nil {
				if ctx.Err() == nil {
					s.Log.Warn("pruning expired rows failed", slog.String("error", err.Error()))
				}
				break
			}
		}
	}
}
