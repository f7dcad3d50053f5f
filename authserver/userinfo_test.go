package authserver

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"simplon/identity"
)

func TestUserinfoTakesTheTokenOneWay(t *testing.T) {
	w := newWorld(t)
	shop, ada := w.app(), w.person("ada@example.org")
	token := w.walk(w.browser(), shop, ada).access
	body := url.Values{"access_token": {token}}
	for name, r := range map[string]reply{
		"GET with header":           w.userinfo(token),
		"POST with header":          w.send(http.MethodPost, "/userinfo", nil, bearerHeader(token)),
		"POST with header and form": w.send(http.MethodPost, "/userinfo", url.Values{}, bearerHeader(token)),
		"POST with body":            w.send(http.MethodPost, "/userinfo", body),
		"scheme in lower case":      w.send(http.MethodGet, "/userinfo", nil, header("Authorization", "bearer "+token)),
	} {
		if r.status != http.StatusOK || r.str("sub") != ada.ID || r.header.Get("Cache-Control") != "no-store" || r.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	type want struct {
		r      reply
		status int
		error  string
	}
	for name, want := range map[string]want{
		"header and body":  {w.send(http.MethodPost, "/userinfo", body, bearerHeader(token)), 400, "invalid_request"},
		"header twice":     {w.send(http.MethodGet, "/userinfo", nil, bearerHeader(token), bearerHeader(token)), 400, "invalid_request"},
		"body twice":       {w.send(http.MethodPost, "/userinfo", url.Values{"access_token": {token, token}}), 400, "invalid_request"},
		"query":            {w.send(http.MethodGet, "/userinfo?access_token="+token, nil), 401, "invalid_request"},
		"query of a POST":  {w.send(http.MethodPost, "/userinfo?access_token="+token, url.Values{}), 401, "invalid_request"},
		"JSON body":        {w.send(http.MethodPost, "/userinfo", body, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }), 400, "invalid_request"},
		"nothing":          {w.send(http.MethodGet, "/userinfo", nil), 401, "invalid_request"},
		"no token":         {w.send(http.MethodGet, "/userinfo", nil, header("Authorization", "Bearer")), 401, "invalid_request"},
		"Basic":            {w.send(http.MethodGet, "/userinfo", nil, basicHeader(shop.ID, shop.secret)), 401, "invalid_request"},
		"another scheme":   {w.send(http.MethodGet, "/userinfo", nil, header("Authorization", "DPoP "+token)), 401, "invalid_request"},
		"two in one":       {w.send(http.MethodGet, "/userinfo", nil, bearerHeader(token+", "+token)), 401, "invalid_token"},
		"PUT":              {w.send(http.MethodPut, "/userinfo", nil, bearerHeader(token)), 405, "invalid_request"},
		"cookies are none": {w.send(http.MethodGet, "/userinfo", nil, header("Cookie", "access_token="+token)), 401, "invalid_request"},
	} {
		if want.r.status != want.status || want.r.str("error") != want.error {
			t.Errorf("%s: %d %s", name, want.r.status, want.r.body)
		}
		challenge := want.r.header.Get("WWW-Authenticate")
		if (want.status == 401) != strings.HasPrefix(challenge, "Bearer") {
			t.Errorf("%s: WWW-Authenticate %q", name, challenge)
		}
		// RFC 6750, section 3.1: no error code for a request that did not try.
		if name == "nothing" && challenge != "Bearer" {
			t.Errorf("%s: WWW-Authenticate %q", name, challenge)
		}
	}
}

func TestUserinfoClaimsFollowTheScopes(t *testing.T) {
	w := newWorld(t)
	shop := w.app()
	ada := w.person("Ada@example.org", func(a *identity.Account) { a.Language = "de" })
	bare := w.person("bare@example.org", func(a *identity.Account) { a.GivenName, a.FamilyName, a.LoginVerified = "", "", false })
	at := float64(w.clock.now().Unix())
	profile := map[string]any{"name": "Ada Byron", "given_name": "Ada", "family_name": "Byron", "locale": "de", "updated_at": at}
	email := map[string]any{"email": "Ada@example.org", "email_verified": true}
	for _, row := range []struct {
		who   person
		scope string
		want  []map[string]any
	}{
		{ada, "openid", nil},
		{ada, "openid profile", []map[string]any{profile}},
		{ada, "openid email offline_access", []map[string]any{email}},
		{ada, "openid profile email", []map[string]any{profile, email}},
		{bare, "openid profile email", []map[string]any{{"updated_at": at}, {"email": "bare@example.org", "email_verified": false}}},
	} {
		want := map[string]any{"sub": row.who.ID}
		for _, part := range row.want {
			for k, v := range part {
				want[k] = v
			}
		}
		got := w.userinfo(w.walk(w.browser(), shop, row.who, "scope", row.scope).access)
		if diff := cmp.Diff(want, got.json); diff != "" {
			t.Errorf("%s: %s", row.scope, diff)
		}
	}
}

func TestUserinfoEndsWithTokenAndGrant(t *testing.T) {
	w := newWorld(t)
	shop, ada := w.app(), w.person("ada@example.org")
	b := w.browser()
	online := w.walk(b, shop, ada, "scope", "openid").access
	offline := w.walk(b, shop, ada).access
	b.get("/").submit("/sign-out")
	if w.alive(online) {
		t.Error("a grant of the session outlives it")
	}
	if !w.alive(offline) {
		t.Error("a grant with offline access ended with the session")
	}
	w.exec(`UPDATE grants SET revoked_at = 1 WHERE revoked_at = 0`)
	if w.alive(offline) {
		t.Error("a revoked grant lives on")
	}
	fresh := w.walk(b, shop, ada).access
	w.clock.advance(w.server.TTL.AccessToken - 1e9)
	if !w.alive(fresh) {
		t.Error("the token ended early")
	}
	w.clock.advance(1e9)
	if w.alive(fresh) {
		t.Error("the token outlives its time")
	}
	// A token that names a grant of nobody.
	w.wantError(w.userinfo(w.ring.AccessToken(w.source, [16]byte{1}, w.clock.now().Add(1e9))), http.StatusUnauthorized, "invalid_token")
}
