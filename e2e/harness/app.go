package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"
)

// App is an application that speaks OAuth by hand, so that tests can say what
// no library would. Safe for concurrent use.
type App struct {
	ID, Secret string
	Redirect   string // its redirect URI; nobody listens there
	// Post sends the secret in the body instead of the header.
	Post bool

	server *Server
	client *http.Client
}

// appRedirect is where applications of tests live.
const appRedirect = "https://app.example/callback"

// NewApp registers a first-party web application (no consent page) that may ask
// for every standard scope. Further flags go to client create.
func (n *Server) NewApp(tb testing.TB, flags ...string) *App {
	tb.Helper()
	args := append([]string{"--name", "Test App", "--kind", "web", "--redirect-uri", appRedirect, "--first-party",
		"--scope", "openid", "--scope", "profile", "--scope", "email", "--scope", "offline_access"}, flags...)
	id, secret := n.NewClient(tb, args...)
	return n.AppOf(tb, id, secret, appRedirect)
}

// NewPublicApp registers a first-party single-page application: no secret.
func (n *Server) NewPublicApp(tb testing.TB, flags ...string) *App {
	tb.Helper()
	args := append([]string{"--name", "Test Page", "--kind", "spa", "--redirect-uri", appRedirect, "--first-party",
		"--scope", "openid", "--scope", "profile", "--scope", "email", "--scope", "offline_access"}, flags...)
	id, secret := n.NewClient(tb, args...)
	return n.AppOf(tb, id, secret, appRedirect)
}

// AppOf is a registered application.
func (n *Server) AppOf(tb testing.TB, id, secret, redirect string) *App {
	tb.Helper()
	return &App{ID: id, Secret: secret, Redirect: redirect, server: n, client: n.plainClient(tb)}
}

func (n *Server) plainClient(tb testing.TB) *http.Client {
	return &http.Client{Transport: n.transport(tb), Timeout: 2 * patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Via returns the same application, whose requests another node answers.
func (a *App) Via(tb testing.TB, n *Server) *App {
	tb.Helper()
	other := *a
	other.client = n.plainClient(tb)
	return &other
}

// Request is one authorization request and what the application remembers of
// it.
type Request struct {
	URL      string
	Verifier string
}

// Authorize builds an authorization request with PKCE for all scopes. Set
// replaces parameters; an empty value removes one.
func (a *App) Authorize(set ...url.Values) Request {
	verifier := oauth2.GenerateVerifier()
	values := url.Values{
		"response_type": {"code"}, "client_id": {a.ID}, "redirect_uri": {a.Redirect},
		"scope": {"openid profile email offline_access"}, "state": {"state-of-the-test"}, "nonce": {"nonce-of-the-test"},
		"code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
	}
	for _, s := range set {
		maps.Copy(values, s)
	}
	maps.DeleteFunc(values, func(_ string, v []string) bool { return len(v) == 1 && v[0] == "" })
	return Request{a.server.Issuer + "/authorize?" + values.Encode(), verifier}
}

// SignIn signs a person in with the browser and returns the code and its
// verifier.
func (a *App) SignIn(tb testing.TB, b *Browser, who Person, set ...url.Values) (code, verifier string) {
	tb.Helper()
	request := a.Authorize(set...)
	back, err := b.SignIn(request.URL, who)
	if err != nil {
		tb.Fatalf("sign in as %s: %v", who.Login, err)
	}
	if code = back.Query().Get("code"); code == "" {
		tb.Fatalf("the application was sent %s, which has no code", back)
	}
	return code, request.Verifier
}

// Tokens signs a person in and redeems the code.
func (a *App) Tokens(tb testing.TB, b *Browser, who Person, set ...url.Values) TokenAnswer {
	tb.Helper()
	code, verifier := a.SignIn(tb, b, who, set...)
	answer, err := a.Redeem(code, verifier)
	if err != nil || answer.Status != http.StatusOK {
		tb.Fatalf("redeem the code: %v, %+v", err, answer)
	}
	return answer
}

// TokenAnswer is an answer of the token endpoint.
type TokenAnswer struct {
	Status       int
	Header       http.Header
	Body         string
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	IDToken      string `json:"id_token"`
	Scope        string `json:"scope"`
	Error        string `json:"error"`
}

// Redeem exchanges a code for tokens.
func (a *App) Redeem(code, verifier string) (TokenAnswer, error) {
	return a.Token(url.Values{"grant_type": {"authorization_code"}, "code": {code},
		"redirect_uri": {a.Redirect}, "code_verifier": {verifier}})
}

// Refresh uses a refresh token.
func (a *App) Refresh(token string) (TokenAnswer, error) {
	return a.Token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

// Token posts a form to the token endpoint with the application's
// authentication.
func (a *App) Token(form url.Values) (TokenAnswer, error) {
	form = maps.Clone(form)
	basic := a.Secret != "" && !a.Post
	if !basic && !form.Has("client_id") {
		form.Set("client_id", a.ID)
	}
	if a.Secret != "" && a.Post {
		form.Set("client_secret", a.Secret)
	}
	return a.TokenRaw(form.Encode(), func(r *http.Request) {
		if basic {
			r.SetBasicAuth(url.QueryEscape(a.ID), url.QueryEscape(a.Secret))
		}
	})
}

// TokenRaw posts a body as it is to the token endpoint, after change had its
// way with the request.
func (a *App) TokenRaw(body string, change func(*http.Request)) (TokenAnswer, error) {
	r, err := http.NewRequest(http.MethodPost, a.server.Issuer+"/oauth/token", strings.NewReader(body))
	if err != nil {
		return TokenAnswer{}, fmt.Errorf("token request: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	change(r)
	status, header, text, err := a.do(r)
	if err != nil {
		return TokenAnswer{}, fmt.Errorf("token request: %w", err)
	}
	answer := TokenAnswer{Status: status, Header: header, Body: text}
	if strings.HasPrefix(header.Get("Content-Type"), "application/json") {
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			return answer, fmt.Errorf("token answer: %w in %s", err, text)
		}
	}
	return answer, nil
}

// UserInfo asks userinfo with an access token (or what pretends to be one) and
// returns status and body.
func (a *App) UserInfo(token string) (int, string, error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, a.server.Issuer+"/userinfo", nil)
	if err != nil {
		return 0, "", fmt.Errorf("userinfo: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	status, _, body, err := a.do(r)
	return status, body, err
}

// Do sends any request to the server.
func (a *App) do(r *http.Request) (int, http.Header, string, error) {
	answer, err := a.client.Do(r)
	if err != nil {
		return 0, nil, "", err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	return answer.StatusCode, answer.Header, string(body), err
}
