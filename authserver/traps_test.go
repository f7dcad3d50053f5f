package authserver

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"simplon/identity"
)

// The tests below are named after the traps of the design's list of what the
// protocol library leaves to us. Trap 8 (client assertions) and most of 14 are
// about parts of the library that this package does not use: there the test
// proves that it does not.

func TestTrap01RedirectURIsAreComparedAsBytes(t *testing.T) {
	w := newWorld(t)
	web := redirects("https://shop.example/a/cb", "https://shop.example/cb?x=a+b")
	refused := map[string]struct {
		change func(*identity.Client)
		uri    string
	}{
		"decoded twice":           {web, "https://shop.example/a%2Fcb"},
		"encoded letter":          {web, "https://shop.example/%61/cb"},
		"plus is not space":       {web, "https://shop.example/cb?x=a b"},
		"plus is not %20":         {web, "https://shop.example/cb?x=a%20b"},
		"path added":              {web, "https://shop.example/a/cb/"},
		"path climbed":            {web, "https://shop.example/a/b/../cb"},
		"query added":             {web, "https://shop.example/a/cb?"},
		"fragment":                {web, "https://shop.example/a/cb#"},
		"user":                    {web, "https://u@shop.example/a/cb"},
		"port":                    {web, "https://shop.example:443/a/cb"},
		"case":                    {web, "https://Shop.example/a/cb"},
		"scheme":                  {web, "http://shop.example/a/cb"},
		"suffix of host":          {web, "https://shop.example.evil.example/a/cb"},
		"space before":            {web, " https://shop.example/a/cb"},
		"line break":              {web, "https://shop.example/a/cb\r\n"},
		"both":                    {web, "https://shop.example/a/cb https://shop.example/a/cb"},
		"loopback of a web app":   {redirects("http://127.0.0.1/cb"), "http://127.0.0.1:8000/cb"},
		"native other path":       {nativeApp, "http://127.0.0.1:8000/cb2"},
		"native user":             {nativeApp, "http://a@127.0.0.1:8000/cb"},
		"native user as port":     {nativeApp, "http://127.0.0.1:80@evil.example/cb"},
		"native fragment":         {nativeApp, "http://127.0.0.1:8000/cb#x"},
		"native query":            {nativeApp, "http://127.0.0.1:8000/cb?x"},
		"native https":            {nativeApp, "https://127.0.0.1:8000/cb"},
		"native localhost":        {nativeApp, "http://localhost:8000/cb"},
		"native other loopback":   {nativeApp, "http://127.0.0.2:8000/cb"},
		"native short loopback":   {nativeApp, "http://127.1:8000/cb"},
		"native IPv6":             {nativeApp, "http://[::1]:8000/cb"},
		"native port of letters":  {nativeApp, "http://127.0.0.1:8o/cb"},
		"native encoded path":     {nativeApp, "http://127.0.0.1:8000/%63b"},
		"native backslash":        {nativeApp, `http://127.0.0.1:8000\@evil.example/cb`},
		"native name as loopback": {nativeApp, "http://127.0.0.1.evil.example:8000/cb"},
	}
	subtests(t, refused, func(t *testing.T, row struct {
		change func(*identity.Client)
		uri    string
	}) {
		w := w.in(t)
		p := w.browser().authorize(w.app(row.change), "redirect_uri", row.uri)
		if p.want(http.StatusBadRequest, "").location != "" || p.header.Get("Refresh") != "" {
			t.Errorf("sent on to %s", p.location)
		}
	})
	shop, tool := w.app(web), w.app(nativeApp)
	for _, uri := range shop.RedirectURIs {
		w.browser().authorize(shop, "redirect_uri", uri).want(http.StatusOK, `id="login"`)
	}
	for _, uri := range []string{"http://127.0.0.1/cb", "http://127.0.0.1:1/cb", "http://127.0.0.1:65535/cb"} {
		w.browser().authorize(tool, "redirect_uri", uri).want(http.StatusOK, `id="login"`)
	}
}

func TestTrap02PKCEIsS256AndWellFormed(t *testing.T) {
	w := newWorld(t)
	shop, ada := w.app(), w.person("ada@example.org")
	b := w.signedIn(ada)
	good := identity.ChallengeOf(verifier)
	subtests(t, map[string][]string{
		"plain":               {"code_challenge_method", "plain", "code_challenge", verifier},
		"junk method":         {"code_challenge_method", "junk"},
		"S512":                {"code_challenge_method", "S512"},
		"lower case":          {"code_challenge_method", "s256"},
		"two methods":         {"code_challenge_method", "S256 plain"},
		"no method":           {"code_challenge_method", ""},
		"no challenge":        {"code_challenge", ""},
		"neither":             {"code_challenge", "", "code_challenge_method", ""},
		"42 characters":       {"code_challenge", good[:42]},
		"44 characters":       {"code_challenge", good + "A"},
		"128 characters":      {"code_challenge", strings.Repeat("A", 128)},
		"plus":                {"code_challenge", "+" + good[1:]},
		"slash":               {"code_challenge", "/" + good[1:]},
		"padding":             {"code_challenge", good[:42] + "="},
		"space":               {"code_challenge", good[:42] + " "},
		"line break":          {"code_challenge", good[:42] + "\n"},
		"stray trailing bits": {"code_challenge", strings.Repeat("A", 42) + "B"},
	}, func(t *testing.T, change []string) {
		b := &browser{w: w.in(t), client: b.client}
		_, v := b.authorize(shop, change...).answer()
		if v.Get("error") != "invalid_request" || v.Get("code") != "" || v.Get("state") != "st-1" {
			t.Errorf("answer %v", v)
		}
	})
	subtests(t, map[string]string{
		"missing": "", "another": strings.Repeat("a", 43), "42 characters": verifier[:42], "129 characters": strings.Repeat("a", 129),
		"the challenge itself": good, "other characters": verifier[:42] + "+", "with a space": verifier + " ",
	}, func(t *testing.T, v string) {
		w := w.in(t)
		code := w.codeFor(&browser{w: w, client: b.client}, shop, ada)
		w.wantError(w.redeem(shop, code, "code_verifier", v), http.StatusBadRequest, "invalid_grant")
		w.tokensOf(w.redeem(shop, code)) // a mistake of the client's own spends nothing
	})
}

func TestTrap02OnlyMarkedClientsMayGoWithoutPKCE(t *testing.T) {
	w := newWorld(t)
	old, ada := w.app(func(c *identity.Client) { c.PKCEOptional = true }), w.person("ada@example.org")
	b := w.signedIn(ada)
	without := []string{"code_challenge", "", "code_challenge_method", ""}
	w.tokensOf(w.redeem(old, w.codeFor(b, old, ada, without...), "code_verifier", ""))
	// A verifier for a code without challenge is a downgrade (RFC 9700, section 2.1.1).
	w.wantError(w.redeem(old, w.codeFor(b, old, ada, without...)), http.StatusBadRequest, "invalid_grant")
	// Without PKCE, redirect_uri is what binds the code (RFC 6749, section 4.1.3).
	w.wantError(w.redeem(old, w.codeFor(b, old, ada, without...), "code_verifier", "", "redirect_uri", ""), http.StatusBadRequest, "invalid_grant")
	// Where it uses PKCE all the same, it is held to it.
	w.wantError(w.redeem(old, w.codeFor(b, old, ada), "code_verifier", ""), http.StatusBadRequest, "invalid_grant")
	_, v := b.authorize(old, "code_challenge", "").answer()
	if v.Get("error") != "invalid_request" {
		t.Errorf("a method without challenge gives %v", v)
	}
	public := old.Client
	public.Kind, public.Auth = identity.ClientSPA, identity.AuthNone
	if public.Check() == nil {
		t.Error("a public client may be registered without PKCE")
	}
}

func TestTrap03TheCallbackNeedsTheBrowser(t *testing.T) {
	w := newWorld(t)
	shop, ada := w.app(thirdParty), w.person("ada@example.org")
	victim, thief, stranger := w.browser(), w.signedIn(w.person("eve@example.org")), w.browser()
	refused := func(id string, form url.Values) {
		t.Helper()
		for _, path := range []string{"/signin/" + id, "/continue?signin=" + id} {
			thief.get(path).want(http.StatusForbidden, "")
			stranger.get(path).want(http.StatusBadRequest, "")
		}
		_, own := thief.get("/").form("/sign-out") // a token that is good for the thief's browser
		for _, step := range []string{"login", "password", "change", "consent"} {
			form.Set("csrf", own.Get("csrf"))
			thief.postForm("/signin/"+id+"/"+step, form).want(http.StatusForbidden, "")
			stranger.postForm("/signin/"+id+"/"+step, form).want(http.StatusForbidden, "")
		}
	}
	guess := url.Values{"login": {ada.Login}, "password": {ada.password}, "decision": {"allow"}}
	p := victim.authorize(shop)
	id := p.signInID()
	refused(id, guess)
	p = p.prove(ada)
	refused(id, guess)
	answer := p.submit("/consent", "decision", "allow")
	refused(id, guess)
	w.tokensOf(w.redeem(shop, answer.code()))
	refused(id, guess)
	for _, path := range []string{"/continue", "/continue?signin=", "/continue?signin=%00", "/continue?signin=" + strings.ToUpper(id)} {
		if p := victim.get(path); p.status != http.StatusNotFound {
			t.Errorf("%s answered %d", path, p.status)
		}
	}
}

func TestTrap04OnlyAccessTokensOpenUserinfo(t *testing.T) {
	w := newWorld(t)
	shop, ada := w.app(), w.person("ada@example.org")
	b := w.browser()
	got := w.walk(b, shop, ada)
	code := w.codeFor(b, shop, ada)
	forged, err := w.server.Keys.sign(context.Background(), "ES256", "at+jwt", map[string]any{
		"iss": w.issuer, "sub": ada.ID, "aud": w.issuer, "exp": w.clock.now().Unix() + 600, "iat": w.clock.now().Unix(), "scope": "openid"})
	w.check(err)
	for name, token := range map[string]string{"ID token": got.id, "at+jwt": forged, "refresh token": got.refresh, "code": code, "session": b.cookie(cookieSession)} {
		r := w.userinfo(token)
		w.wantError(r, http.StatusUnauthorized, "invalid_token")
		if !strings.Contains(r.header.Get("WWW-Authenticate"), `Bearer error="invalid_token"`) {
			t.Errorf("%s: WWW-Authenticate %q", name, r.header.Get("WWW-Authenticate"))
		}
	}
	// And the other way round: nothing but an ID token is a hint.
	for _, typ := range []string{"at+jwt", "logout+jwt", "", "jwt", "JWT2"} {
		token, err := w.server.Keys.sign(context.Background(), "ES256", typ, w.claims(got.id))
		w.check(err)
		_, v := b.authorize(shop, "id_token_hint", token).answer()
		if v.Get("error") != "invalid_request" {
			t.Errorf("typ %q passes as a hint: %v", typ, v)
		}
	}
	for _, token := range []string{got.access, got.refresh} {
		_, v := b.authorize(shop, "id_token_hint", token).answer()
		if v.Get("error") != "invalid_request" {
			t.Errorf("%.7s passes as a hint: %v", token, v)
		}
	}
	// Each class at the door of another.
	for _, token := range []string{got.access, got.id, code} {
		w.wantError(w.refresh(shop, token), http.StatusBadRequest, "invalid_grant")
	}
	for _, token := range []string{got.access, got.id, got.refresh} {
		w.wantError(w.redeem(shop, token), http.StatusBadRequest, "invalid_grant")
	}
}

func TestTrap05HintsWithOddClaimsDoNoHarm(t *testing.T) {
	w := newWorld(t)
	shop := w.app()
	now := w.clock.now().Unix()
	good := func(change ...any) map[string]any {
		c := map[string]any{"iss": w.issuer, "sub": "acc_x", "aud": shop.ID, "exp": now + 60, "iat": now}
		for i := 0; i+1 < len(change); i += 2 {
			c[change[i].(string)] = change[i+1]
		}
		return c
	}
	bad := map[string]any{
		"aud of numbers": good("aud", []any{1}), "aud number": good("aud", 1), "aud object": good("aud", map[string]any{}), "aud null": good("aud", nil),
		"aud nested": good("aud", []any{[]any{shop.ID}}), "aud empty": good("aud", []any{}), "aud of null": good("aud", []any{nil}),
		"sub number": good("sub", 7), "sub object": good("sub", map[string]any{}), "sub empty": good("sub", ""),
		"exp text": good("exp", "soon"), "exp missing": good("exp", nil), "iat missing": good("iat", nil), "iss array": good("iss", []any{w.issuer}),
		"foreign iss": good("iss", "https://evil.example"), "sid number": good("sid", 1), "claims array": []any{good()}, "claims null": nil, "claims text": "x", "claims number": 1,
		"another audience": good("aud", "app_x"),
	}
	for name, claims := range bad {
		token, err := w.server.Keys.sign(context.Background(), "ES256", typIDToken, claims)
		w.check(err)
		_, v := w.browser().authorize(shop, "id_token_hint", token).answer()
		if v.Get("error") != "invalid_request" {
			t.Errorf("%s at /authorize: %v", name, v)
		}
		if name == "another audience" {
			continue // at /end_session it names that other client
		}
		w.browser().get("/end_session?id_token_hint="+token).want(http.StatusBadRequest, "")
	}
	signed, err := w.server.Keys.sign(context.Background(), "ES256", typIDToken, good())
	w.check(err)
	_, payload, _ := strings.Cut(signed, ".")
	for _, token := range []string{
		".", "..", "...", "a.b.c", "e30.e30.", "e30.e30.e30", "null", "{}", `{"payload":"e30","signatures":[{},{}]}`,
		strings.Repeat("a", 12<<10) + ".a.a", signed + ".x", signed + "=", signed[:len(signed)-1], "." + payload,
		"eyJhbGciOiJub25lIn0." + strings.Split(payload, ".")[0] + ".", // alg none
	} {
		_, v := w.browser().authorize(shop, "id_token_hint", token).answer()
		if v.Get("error") != "invalid_request" {
			t.Errorf("%.60q at /authorize: %v", token, v)
		}
		w.browser().get("/end_session?id_token_hint="+url.QueryEscape(token)).want(http.StatusBadRequest, "")
	}
	if strings.Contains(w.log.text(), "panic") || strings.Contains(w.log.text(), `"status":500`) {
		t.Error(w.log.text())
	}
}

func TestTrap06TokenEndpointIsGuarded(t *testing.T) {
	w := newWorld(t)
	shop, ada := w.app(), w.person("ada@example.org")
	b := w.signedIn(ada)
	form := func() url.Values { return shop.exchange(w.codeFor(b, shop, ada)) }
	basic := basicHeader(shop.ID, shop.secret)
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		r := w.send(method, "/oauth/token?"+form().Encode(), nil, basic)
		if r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != "POST" || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", method, r.status, r.header)
		}
	}
	w.wantError(w.send(http.MethodPost, "/oauth/token?"+form().Encode(), url.Values{}, basic), http.StatusBadRequest, "unsupported_grant_type")
	secretInQuery := url.Values{"client_id": {shop.ID}, "client_secret": {shop.secret}}
	w.wantError(w.send(http.MethodPost, "/oauth/token?"+secretInQuery.Encode(), form()), http.StatusUnauthorized, "invalid_client")
	for name := range form() {
		twice := form()
		twice.Add(name, twice.Get(name))
		w.wantError(w.send(http.MethodPost, "/oauth/token", twice, basic), http.StatusBadRequest, "invalid_request")
	}
	odd := form()
	odd.Add("unheard_of", "a")
	odd.Add("unheard_of", "b")
	w.wantError(w.send(http.MethodPost, "/oauth/token", odd, basic), http.StatusBadRequest, "invalid_request")
	large := form()
	large.Set("x", strings.Repeat("x", 70<<10))
	w.wantError(w.send(http.MethodPost, "/oauth/token", large, basic), http.StatusRequestEntityTooLarge, "invalid_request")
	for _, kind := range []string{"application/json", "multipart/form-data; boundary=x", "text/plain", ""} {
		set := func(r *http.Request) { r.Header.Set("Content-Type", kind) }
		w.wantError(w.send(http.MethodPost, "/oauth/token", form(), basic, set), http.StatusBadRequest, "invalid_request")
	}
	charset := func(r *http.Request) {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
	}
	ok := w.send(http.MethodPost, "/oauth/token", form(), basic, charset)
	w.tokensOf(ok)
	for name, want := range map[string]string{"Cache-Control": "no-store", "Pragma": "no-cache", "Content-Type": "application/json", "X-Content-Type-Options": "nosniff"} {
		if ok.header.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, ok.header.Get(name), want)
		}
	}
}
