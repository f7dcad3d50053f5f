package e2e

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// goApp is a web application that somebody else wrote with coreos/go-oidc and
// x/oauth2 after their documentation. It lives on 127.0.0.1, another host than
// the provider's localhost, so that the two share no cookie.
type goApp struct {
	server   *httptest.Server
	issuer   string
	scopes   []string
	config   oauth2.Config
	provider *oidc.Provider
	results  chan signedIn
}

// signedIn is what the application knows after one sign-in.
type signedIn struct {
	err       error
	Subject   string
	Email     string `json:"email"`
	Name      string `json:"name"`
	rawID     string
	token     *oauth2.Token
	refreshed *oauth2.Token
	userInfo  *oidc.UserInfo
}

// newGoApp starts the application; it works once it is registered.
func newGoApp(t *testing.T, issuer string, scopes ...string) *goApp {
	t.Helper()
	app := &goApp{issuer: issuer, scopes: scopes, results: make(chan signedIn, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", app.handleLogin)
	mux.HandleFunc("GET /callback", app.handleCallback)
	mux.HandleFunc("GET /goodbye", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Good bye, %s", r.URL.Query().Get("state"))
	})
	app.server = httptest.NewServer(mux)
	t.Cleanup(app.server.Close)
	return app
}

func (a *goApp) login() string    { return a.server.URL + "/login" }
func (a *goApp) callback() string { return a.server.URL + "/callback" }
func (a *goApp) goodbye() string  { return a.server.URL + "/goodbye" }

// registered tells the application what the operator was given.
func (a *goApp) registered(t *testing.T, id, secret string) {
	t.Helper()
	provider, err := oidc.NewProvider(t.Context(), a.issuer)
	if err != nil {
		t.Fatal(err)
	}
	a.provider = provider
	a.config = oauth2.Config{ClientID: id, ClientSecret: secret, RedirectURL: a.callback(),
		Endpoint: provider.Endpoint(), Scopes: a.scopes}
}

func (a *goApp) handleLogin(w http.ResponseWriter, r *http.Request) {
	state, nonce, verifier := rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	for name, value := range map[string]string{"state": state, "nonce": nonce, "verifier": verifier} {
		http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
	}
	http.Redirect(w, r, a.config.AuthCodeURL(state, oidc.Nonce(nonce), oauth2.S256ChallengeOption(verifier)), http.StatusFound)
}

func (a *goApp) handleCallback(w http.ResponseWriter, r *http.Request) {
	got, err := a.finish(r)
	got.err = err
	select {
	case a.results <- got:
	default: // the browser reloaded the page
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "Signed in as %s", got.Email)
}

func (a *goApp) finish(r *http.Request) (signedIn, error) {
	ctx, query := r.Context(), r.URL.Query()
	cookie := func(name string) string {
		c, err := r.Cookie(name)
		if err != nil {
			return ""
		}
		return c.Value
	}
	if query.Get("state") == "" || query.Get("state") != cookie("state") {
		return signedIn{}, fmt.Errorf("state %q does not match", query.Get("state"))
	}
	if query.Get("iss") != a.issuer {
		return signedIn{}, fmt.Errorf("iss is %q (RFC 9207)", query.Get("iss"))
	}
	token, err := a.config.Exchange(ctx, query.Get("code"), oauth2.VerifierOption(cookie("verifier")))
	if err != nil {
		return signedIn{}, fmt.Errorf("exchange %s: %w", query.Get("error"), err)
	}
	got := signedIn{token: token}
	if err := a.readID(ctx, &got, cookie("nonce")); err != nil {
		return got, err
	}
	if got.userInfo, err = a.provider.UserInfo(ctx, oauth2.StaticTokenSource(token)); err != nil {
		return got, fmt.Errorf("userinfo: %w", err)
	}
	if err := got.userInfo.Claims(&got); err != nil {
		return got, fmt.Errorf("claims: %w", err)
	}
	old := *token
	old.Expiry = time.Unix(1, 0) // as if its ten minutes were over
	if got.refreshed, err = a.config.TokenSource(ctx, &old).Token(); err != nil {
		return got, fmt.Errorf("refresh: %w", err)
	}
	return got, nil
}

func (a *goApp) readID(ctx context.Context, got *signedIn, nonce string) error {
	raw, ok := got.token.Extra("id_token").(string)
	if !ok {
		return errors.New("no ID token")
	}
	got.rawID = raw
	idToken, err := a.provider.Verifier(&oidc.Config{ClientID: a.config.ClientID}).Verify(ctx, raw)
	if err != nil {
		return fmt.Errorf("verify the ID token: %w", err)
	}
	if idToken.Nonce != nonce {
		return fmt.Errorf("nonce %q does not match", idToken.Nonce)
	}
	if err := idToken.VerifyAccessToken(got.token.AccessToken); err != nil {
		return fmt.Errorf("at_hash: %w", err)
	}
	got.Subject = idToken.Subject
	return nil
}

// result is what the last callback brought.
func (a *goApp) result(t *testing.T) signedIn {
	t.Helper()
	select {
	case got := <-a.results:
		return got
	case <-t.Context().Done():
		t.Fatal("the application saw no callback")
		return signedIn{}
	}
}

// logout is the address that ends the provider's session (RP-Initiated Logout).
func (a *goApp) logout(got signedIn) string {
	var endpoints struct {
		EndSession string `json:"end_session_endpoint"`
	}
	if err := a.provider.Claims(&endpoints); err != nil {
		return ""
	}
	return endpoints.EndSession + "?" + url.Values{"id_token_hint": {got.rawID},
		"post_logout_redirect_uri": {a.goodbye()}, "state": {"anna"}}.Encode()
}
