package rp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"golang.org/x/oauth2"
)

const (
	// maxAnswer bounds every answer of the provider, in bytes.
	maxAnswer = 1 << 20
	// retryAfter is how long a failed discovery is believed, so that many
	// requests meeting a provider that hangs do not queue behind each other.
	retryAfter = 2 * time.Second
)

// provider is what discovery told us, ready for use.
type provider struct {
	party      rp.RelyingParty
	oauth      *oauth2.Config
	userinfo   string
	endSession string
}

// lazyProvider discovers the provider at its first use and again after a
// failure.
type lazyProvider struct {
	cfg         Config
	redirectURI string
	client      *http.Client
	turn        chan struct{} // holds one token: who has it may discover

	mu       sync.Mutex
	found    *provider
	failed   error
	failedAt time.Time
}

func newLazyProvider(cfg Config, redirectURI string) *lazyProvider {
	return &lazyProvider{cfg: cfg, redirectURI: redirectURI, client: boundedClient(cfg.HTTP), turn: make(chan struct{}, 1)}
}

// get returns the provider, or an error of KindUnavailable.
func (l *lazyProvider) get(ctx context.Context) (*provider, error) {
	if p, err := l.known(); p != nil || err != nil {
		return p, err
	}
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return nil, fail(KindUnavailable, "discover", ctx.Err())
	}
	if p, err := l.known(); p != nil || err != nil { // somebody else was first
		return p, err
	}
	// A browser that goes away must not leave a failure behind for others.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	p, err := l.discover(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failed, l.failedAt = fail(KindUnavailable, "discover", err), l.cfg.Now()
		return nil, l.failed
	}
	l.found, l.failed = p, nil
	return p, nil
}

func (l *lazyProvider) known() (*provider, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.found == nil && l.failed != nil && l.cfg.Now().Sub(l.failedAt) < retryAfter {
		return nil, l.failed
	}
	return l.found, nil
}

func (l *lazyProvider) discover(ctx context.Context) (*provider, error) {
	party, err := rp.NewRelyingPartyOIDC(ctx, l.cfg.Issuer, l.cfg.ClientID, l.cfg.ClientSecret,
		l.redirectURI, l.cfg.Scopes,
		rp.WithHTTPClient(l.client),
		rp.WithAuthStyle(oauth2.AuthStyleInHeader),
		rp.WithSigningAlgsFromDiscovery())
	if err != nil {
		return nil, err
	}
	p := &provider{party: party, oauth: party.OAuthConfig(), userinfo: party.UserinfoEndpoint(), endSession: party.GetEndSessionEndpoint()}
	for name, raw := range map[string]string{
		"authorization_endpoint": p.oauth.Endpoint.AuthURL, "token_endpoint": p.oauth.Endpoint.TokenURL,
		"userinfo_endpoint": p.userinfo, "end_session_endpoint": p.endSession,
	} {
		if err := checkEndpoint(l.cfg.Issuer, raw); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	// The allow-list is what discovery names of the signatures anyone can
	// check and only the provider can make: never "none", never a MAC.
	v := party.IDTokenVerifier()
	v.SupportedSignAlgs = slices.DeleteFunc(slices.Clone(v.SupportedSignAlgs), func(alg string) bool {
		return !slices.Contains([]string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}, alg)
	})
	if len(v.SupportedSignAlgs) == 0 { // the library would fall back to a list of its own
		return nil, errors.New("discovery names no asymmetric signature algorithm for ID tokens")
	}
	return p, nil
}

// checkEndpoint refuses a plain http endpoint of an https provider.
func checkEndpoint(issuer, raw string) error {
	from, err := url.Parse(issuer)
	if err != nil {
		return err
	}
	u, err := url.Parse(raw)
	if err != nil {
		return err
	}
	if u.Host == "" || (u.Scheme != "https" && u.Scheme != from.Scheme) {
		return fmt.Errorf("%q is not usable with issuer %q", raw, issuer)
	}
	return nil
}

// boundedClient copies a client and bounds time, size and redirects.
func boundedClient(given *http.Client) *http.Client {
	client := http.Client{}
	if given != nil {
		client = *given
	}
	if client.Timeout <= 0 || client.Timeout > callTimeout {
		client.Timeout = callTimeout
	}
	if client.Transport == nil {
		client.Transport = &http.Transport{
			DialContext:           (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
			TLSHandshakeTimeout:   5 * time.Second,
			ResponseHeaderTimeout: callTimeout,
			MaxIdleConnsPerHost:   4,
			IdleConnTimeout:       30 * time.Second,
		}
	}
	client.Transport = boundedTransport{client.Transport}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	client.Jar = nil // a relying party has no cookies at the provider's back door
	return &client
}

// boundedTransport cuts answers off, since the libraries read them whole.
type boundedTransport struct{ next http.RoundTripper }

func (t boundedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &boundedBody{body: resp.Body, left: maxAnswer}
	return resp, nil
}

type boundedBody struct {
	body io.ReadCloser
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("answer is longer than 1 MiB")
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.body.Read(p)
	b.left -= int64(n)
	return n, err
}

func (b *boundedBody) Close() error { return b.body.Close() }
