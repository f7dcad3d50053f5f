// Package rptest is a small OpenID provider for tests of relying parties, on
// a loopback server and made of the standard library alone, so that it shares
// no code with either side it stands between. It can be told to misbehave.
//
// It is no provider: everybody is one person, who is signed in by passing
// /authorize once and asked for nothing.
package rptest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Behaviour is what the provider does differently from a good one.
type Behaviour struct {
	// Down answers 503 to everything.
	Down bool
	// Deny is an error code /authorize answers with.
	Deny string
	// Iss replaces the iss parameter; "-" leaves it out.
	Iss string
	// Claims are set in ID tokens at the end; a nil value removes one.
	Claims map[string]any
	// Alg is "ES256" (default), "none" or "HS256".
	Alg string
	// TokenLife is the access token's life; 0 means 5 minutes.
	TokenLife time.Duration
	// UserInfoSub replaces sub in userinfo answers.
	UserInfoSub string
	// TokenError is an error code the token endpoint answers with.
	TokenError string
	// Huge answers userinfo with more than 1 MiB.
	Huge bool
}

// Provider is the running provider. Its methods are safe for concurrent use.
type Provider struct {
	// Issuer is also the server's address.
	Issuer string

	now     func() time.Time
	key     *ecdsa.PrivateKey
	clients map[string]string

	mu       sync.Mutex
	does     Behaviour
	serial   int
	sub      string
	sid      string // "" is signed out
	codes    map[string]*grant
	access   map[string]*grant
	refresh  map[string]*grant
	requests map[string]int
	last     url.Values
}

type grant struct {
	client, redirect, challenge, nonce, sub, sid string
	scopes                                       []string
	until                                        time.Time
	dead                                         bool
}

// New starts a provider for clients (id → secret) that ends with the test.
func New(t *testing.T, now func() time.Time, clients map[string]string) *Provider {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &Provider{
		now: now, key: key, clients: clients, sub: "person-1",
		codes: map[string]*grant{}, access: map[string]*grant{}, refresh: map[string]*grant{}, requests: map[string]int{},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /keys", p.keys)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /oauth/token", p.token)
	mux.HandleFunc("GET /userinfo", p.userinfo)
	mux.HandleFunc("GET /end_session", p.endSession)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.requests[r.URL.Path]++
		if p.does.Down {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	p.Issuer = server.URL
	return p
}

// Behave sets what is done from now on.
func (p *Provider) Behave(b Behaviour) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.does = b
}

// EndSession ends the session at the provider, as its own pages would. Grants
// with offline_access live on.
func (p *Provider) EndSession() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end()
}

// SwitchPerson makes another person the one who signs in.
func (p *Provider) SwitchPerson(sub string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.end()
	p.sub = sub
}

// RevokeAll ends every grant.
func (p *Provider) RevokeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, set := range []map[string]*grant{p.access, p.refresh} {
		for _, g := range set {
			g.dead = true
		}
	}
}

// Requests counts the requests to a path so far.
func (p *Provider) Requests(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests[path]
}

// LastAuthorize returns the parameters of the last /authorize request.
func (p *Provider) LastAuthorize() url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

func (p *Provider) end() {
	for _, g := range p.access {
		if g.sid == p.sid && !slices.Contains(g.scopes, "offline_access") {
			g.dead = true
		}
	}
	p.sid = ""
}

func (p *Provider) next(prefix string) string {
	p.serial++
	return prefix + strconv.Itoa(p.serial)
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{
		"issuer": p.Issuer, "authorization_endpoint": p.Issuer + "/authorize",
		"token_endpoint": p.Issuer + "/oauth/token", "userinfo_endpoint": p.Issuer + "/userinfo",
		"jwks_uri": p.Issuer + "/keys", "end_session_endpoint": p.Issuer + "/end_session",
		"id_token_signing_alg_values_supported":          []string{"none", "HS256", "ES256"},
		"authorization_response_iss_parameter_supported": true,
	})
}

func (p *Provider) keys(w http.ResponseWriter, _ *http.Request) {
	point := p.public()
	answer(w, http.StatusOK, map[string]any{"keys": []any{map[string]any{
		"kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "alg": "ES256",
		"x": b64(point[1:33]), "y": b64(point[33:]),
	}}})
}

// public is the uncompressed point: 4, x, y.
func (p *Provider) public() []byte {
	point, err := p.key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return point
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p.last = q
	if _, ok := p.clients[q.Get("client_id")]; !ok || q.Get("code_challenge_method") != "S256" || q.Get("response_type") != "code" {
		http.Error(w, "bad request", http.StatusBadRequest)
		return
	}
	out := url.Values{"state": {q.Get("state")}, "iss": {p.Issuer}}
	if p.does.Iss != "" {
		out.Set("iss", p.does.Iss)
	}
	if p.does.Iss == "-" {
		out.Del("iss")
	}
	switch {
	case p.does.Deny != "":
		out.Set("error", p.does.Deny)
	case q.Get("prompt") == "none" && p.sid == "":
		out.Set("error", "login_required")
	default:
		if p.sid == "" {
			p.sid = p.next("sid-")
		}
		code := p.next("code-")
		p.codes[code] = &grant{
			client: q.Get("client_id"), redirect: q.Get("redirect_uri"), challenge: q.Get("code_challenge"),
			nonce: q.Get("nonce"), sub: p.sub, sid: p.sid, scopes: strings.Fields(q.Get("scope")),
		}
		out.Set("code", code)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+out.Encode(), http.StatusSeeOther)
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	// Both halves are form-encoded first (RFC 6749 section 2.3.1).
	id, errID := url.QueryUnescape(id)
	secret, errSecret := url.QueryUnescape(secret)
	if errID != nil || errSecret != nil || p.clients[id] == "" || p.clients[id] != secret {
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	if p.does.TokenError != "" {
		answer(w, http.StatusBadRequest, map[string]any{"error": p.does.TokenError})
		return
	}
	var g *grant
	if r.PostFormValue("grant_type") == "refresh_token" {
		g = p.refresh[r.PostFormValue("refresh_token")]
		delete(p.refresh, r.PostFormValue("refresh_token"))
	} else {
		g = p.codes[r.PostFormValue("code")]
		delete(p.codes, r.PostFormValue("code"))
		sum := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if g != nil && (g.redirect != r.PostFormValue("redirect_uri") || b64(sum[:]) != g.challenge) {
			g = nil
		}
	}
	if g == nil || g.client != id || g.dead {
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
		return
	}
	answer(w, http.StatusOK, p.issue(g, r.PostFormValue("grant_type") == "refresh_token"))
}

func (p *Provider) issue(g *grant, again bool) map[string]any {
	life := p.does.TokenLife
	if life == 0 {
		life = 5 * time.Minute
	}
	access := p.next("access-")
	fresh := *g
	fresh.until = p.now().Add(life)
	p.access[access] = &fresh
	sum := sha256.Sum256([]byte(access))
	claims := map[string]any{
		"iss": p.Issuer, "sub": g.sub, "aud": g.client, "exp": p.now().Add(time.Hour).Unix(), "iat": p.now().Unix(),
		"auth_time": p.now().Unix(), "nonce": g.nonce, "sid": g.sid, "at_hash": b64(sum[:16]),
		"name": "Ada Example",
	}
	if again {
		delete(claims, "nonce")
		delete(claims, "auth_time")
	}
	maps.Copy(claims, p.does.Claims)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	out := map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": int(life / time.Second),
		"scope": strings.Join(g.scopes, " "), "id_token": p.sign(claims),
	}
	if slices.Contains(g.scopes, "offline_access") {
		refresh := p.next("refresh-")
		p.refresh[refresh] = g
		out["refresh_token"] = refresh
	}
	return out
}

// sign makes a compact JWS by hand (RFC 7515 section 7.1). "HS256" is the old
// trick of using the public key as the secret.
func (p *Provider) sign(claims map[string]any) string {
	alg := p.does.Alg
	if alg == "" {
		alg = "ES256"
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	input := b64(fmt.Appendf(nil, `{"alg":%q,"kid":"k1"}`, alg)) + "." + b64(payload)
	var sig []byte
	switch alg {
	case "ES256":
		sum := sha256.Sum256([]byte(input))
		r, s, err := ecdsa.Sign(rand.Reader, p.key, sum[:])
		if err != nil {
			panic(err)
		}
		sig = make([]byte, 64) // r and s, 32 bytes each (RFC 7518 section 3.4)
		r.FillBytes(sig[:32])
		s.FillBytes(sig[32:])
	case "HS256":
		mac := hmac.New(sha256.New, p.public())
		mac.Write([]byte(input))
		sig = mac.Sum(nil)
	}
	return input + "." + b64(sig)
}

func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	g := p.access[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	if g == nil || g.dead || !p.now().Before(g.until) {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	sub := g.sub
	if p.does.UserInfoSub != "" {
		sub = p.does.UserInfoSub
	}
	claims := map[string]any{"sub": sub, "name": "Ada Example", "email": "ada@nordwand.example", "email_verified": true}
	if p.does.Huge {
		claims["padding"] = strings.Repeat("x", 2<<20)
	}
	answer(w, http.StatusOK, claims)
}

func (p *Provider) endSession(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("id_token_hint") == "" {
		http.Error(w, "are you sure?", http.StatusOK)
		return
	}
	p.end()
	http.Redirect(w, r, q.Get("post_logout_redirect_uri")+"?"+url.Values{"state": {q.Get("state")}}.Encode(), http.StatusSeeOther)
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		panic(http.ErrAbortHandler)
	}
}

func b64(raw []byte) string { return base64.RawURLEncoding.EncodeToString(raw) }
