package authserver

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"simplon/identity"
)

func TestAuthorizeTellsTheClientEveryFault(t *testing.T) {
	w := newWorld(t)
	codeOnly := func(c *identity.Client) { c.Scopes = []string{"openid"}; c.GrantTypes = []string{identity.GrantCode} }
	noCode := func(c *identity.Client) { c.GrantTypes = []string{identity.GrantRefresh} }
	type row struct {
		client func(*identity.Client)
		change []string
		twice  string
		want   string
	}
	table := map[string]row{
		"no response_type":          {nil, []string{"response_type", ""}, "", "invalid_request"},
		"response_type token":       {nil, []string{"response_type", "token"}, "", "unsupported_response_type"},
		"response_type id_token":    {nil, []string{"response_type", "id_token"}, "", "unsupported_response_type"},
		"response_type hybrid":      {nil, []string{"response_type", "code id_token"}, "", "unsupported_response_type"},
		"response_type case":        {nil, []string{"response_type", "CODE"}, "", "unsupported_response_type"},
		"request object":            {nil, []string{"request", "eyJhbGciOiJub25lIn0.eyJhdWQiOlsxXX0."}, "", "request_not_supported"},
		"request_uri":               {nil, []string{"request_uri", "https://shop.example/r"}, "", "request_uri_not_supported"},
		"registration":              {nil, []string{"registration", "{}"}, "", "registration_not_supported"},
		"client without code grant": {noCode, nil, "", "unauthorized_client"},
		"no scope":                  {nil, []string{"scope", ""}, "", "invalid_scope"},
		"blank scope":               {nil, []string{"scope", "   "}, "", "invalid_scope"},
		"scope not registered":      {codeOnly, []string{"scope", "email profile"}, "", "invalid_scope"},
		"scope of nobody":           {nil, []string{"scope", "root"}, "", "invalid_scope"},
		"only offline, not allowed": {codeOnly, []string{"scope", "offline_access"}, "", "invalid_scope"},
		"prompt junk":               {nil, []string{"prompt", "never"}, "", "invalid_request"},
		"prompt create":             {nil, []string{"prompt", "create"}, "", "invalid_request"},
		"prompt none and login":     {nil, []string{"prompt", "none login"}, "", "invalid_request"},
		"prompt login and none":     {nil, []string{"prompt", "login none"}, "", "invalid_request"},
		"max_age negative":          {nil, []string{"max_age", "-1"}, "", "invalid_request"},
		"max_age text":              {nil, []string{"max_age", "1h"}, "", "invalid_request"},
		"max_age huge":              {nil, []string{"max_age", "99999999999999999999"}, "", "invalid_request"},
		"max_age plus":              {nil, []string{"max_age", "+1"}, "", "invalid_request"},
		"PKCE missing":              {nil, []string{"code_challenge", "", "code_challenge_method", ""}, "", "invalid_request"},
		"PKCE plain":                {nil, []string{"code_challenge_method", "plain"}, "", "invalid_request"},
		"hint junk":                 {nil, []string{"id_token_hint", "junk"}, "", "invalid_request"},
		"nonce too long":            {nil, []string{"nonce", strings.Repeat("n", 513)}, "", "invalid_request"},
		"ui_locales too long":       {nil, []string{"ui_locales", strings.Repeat("n", 201)}, "", "invalid_request"},
		"state twice":               {nil, nil, "state", "invalid_request"},
		"scope twice":               {nil, nil, "scope", "invalid_request"},
		"nonce twice":               {nil, nil, "nonce", "invalid_request"},
		"challenge twice":           {nil, nil, "code_challenge", "invalid_request"},
		"prompt none, no session":   {nil, []string{"prompt", "none"}, "", "login_required"},
	}
	subtests(t, table, func(t *testing.T, row row) {
		w := w.in(t)
		if row.client == nil {
			row.client = func(*identity.Client) {}
		}
		shop := w.app(row.client)
		for _, mode := range []string{"", "query", "form_post"} {
			q := shop.request(append(row.change, "response_mode", mode, "state", "a b&c=d%+é\"'<")...)
			if row.twice != "" {
				q.Add(row.twice, q.Get(row.twice))
			}
			p := w.browser().get("/authorize?" + q.Encode())
			target, v := p.answer()
			if (mode == "form_post") != (p.status == http.StatusOK && p.location == "") {
				t.Errorf("mode %q answers by %s", mode, p)
			}
			if !strings.HasPrefix(target, shop.RedirectURIs[0]) || v.Get("error") != row.want || v.Get("error_description") == "" && row.want != "login_required" {
				t.Errorf("mode %q: %s %v, want %s", mode, target, v, row.want)
			}
			if v.Get("state") != "a b&c=d%+é\"'<" || v.Get("iss") != w.issuer || v.Has("code") {
				t.Errorf("mode %q: %v", mode, v)
			}
			for _, c := range v.Get("error_description") {
				if c < ' ' || c > '~' || c == '"' || c == '\\' { // RFC 6749, section 4.1.2.1
					t.Errorf("error_description has %q", c)
				}
			}
		}
	})
	if n := w.count(`SELECT COUNT(*) FROM signin`) + w.count(`SELECT COUNT(*) FROM code`); n != 0 {
		t.Errorf("%d rows for faulty requests", n)
	}
}

func TestAuthorizeUnknownResponseModeIsToldByQuery(t *testing.T) {
	w := newWorld(t)
	shop, tool := w.app(), w.app(nativeApp, redirects("com.example.tool:/cb"))
	for a, modes := range map[*app][]string{&shop: {"fragment", "jwt", "web_message", "FORM_POST"}, &tool: {"form_post"}} {
		for _, mode := range modes {
			p := w.browser().authorize(*a, "response_mode", mode)
			if _, v := p.answer(); v.Get("error") != "invalid_request" || !strings.HasPrefix(p.location, a.RedirectURIs[0]+"?") {
				t.Errorf("%s: %s", mode, p)
			}
		}
	}
}

func TestAuthorizeA2NeverRedirectsWithoutATrustedAddress(t *testing.T) {
	w := newWorld(t)
	shop, gone := w.app(), w.app()
	w.disableClient(gone)
	elsewhere := w.id(identity.KindFront)
	foreign := w.app()
	w.exec(`INSERT INTO front (id, issuer, rp_id, created_at) VALUES ($1, 'https://other.example', 'other.example', 1)`, elsewhere)
	w.exec(`UPDATE client SET front_id = $2 WHERE id = $1`, foreign.ID, elsewhere)
	evil := "https://evil.example/cb"
	for name, q := range map[string]url.Values{
		"unknown client":          shop.request("client_id", "app_00000000000000000000000000"),
		"junk client":             shop.request("client_id", "' OR 1=1 --"),
		"no client":               shop.request("client_id", ""),
		"disabled client":         gone.request(),
		"client of another front": foreign.request(),
		"no redirect":             shop.request("redirect_uri", ""),
		"bad redirect":            shop.request("redirect_uri", evil),
		"script":                  shop.request("redirect_uri", "javascript:alert(1)"),
		"bad redirect and more":   shop.request("redirect_uri", evil, "response_type", "", "prompt", "none"),
		"nothing":                 {},
		"client twice":            {"client_id": {shop.ID, "app_x"}, "redirect_uri": {shop.RedirectURIs[0]}, "response_type": {"code"}},
		"redirect twice":          {"client_id": {shop.ID}, "redirect_uri": {shop.RedirectURIs[0], evil}, "response_type": {"code"}},
		"bad redirect first":      {"client_id": {shop.ID}, "redirect_uri": {evil, shop.RedirectURIs[0]}, "response_type": {"code"}},
		"all twice":               {"a": {"1", "2"}, "client_id": {shop.ID, "app_x"}, "redirect_uri": {shop.RedirectURIs[0], evil}},
	} {
		for _, mode := range []string{"query", "form_post"} {
			q.Set("response_mode", mode)
			p := w.browser().get("/authorize?" + q.Encode())
			if p.status != http.StatusBadRequest || p.location != "" || p.header.Get("Refresh") != "" || strings.Contains(p.body, `id="post"`) || strings.Contains(p.body, `href="javascript`) {
				t.Errorf("%s: %s", name, p)
			}
			if strings.Contains(p.body, `href="`+evil) || strings.Contains(p.body, `action="`+evil) {
				t.Errorf("%s: the page links to %s", name, evil)
			}
		}
	}
	for _, raw := range []string{"client_id=%zz", "a;b", strings.Repeat("a=&", 10) + "client_id=" + strings.Repeat("x", 500), "handle=smp_ho_unknown", "handle=", strings.Repeat("x", 17<<10)} {
		if p := w.browser().get("/authorize?" + raw); p.status/100 != 4 || p.location != "" {
			t.Errorf("%.40q: %s", raw, p)
		}
	}
	if strings.Contains(w.log.text(), `"status":500`) {
		t.Error("a request made the server fail")
	}
}

// A parameter that PostgreSQL cannot store as text made /authorize and the token
// endpoint answer 500 there, and state was altered on its way through the row.
func TestParametersThatAreNoTextAreRefused(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		shop, ada := w.app(), w.person("ada@example.org")
		b := w.signedIn(ada)
		for _, bad := range []string{"a\x00b", "\xff\xfe", "\xed\xa0\x80"} {
			for _, name := range []string{"client_id", "redirect_uri", "state", "nonce", "login_hint", "ui_locales", "scope", "prompt", "id_token_hint", "x"} {
				for _, b := range []*browser{b, w.browser()} {
					p := b.authorize(shop, name, bad)
					if p.status != http.StatusBadRequest {
						t.Errorf("%s = %q: %s", name, bad, p)
					}
				}
				form := shop.exchange("x")
				form.Set(name, bad)
				if r := w.send(http.MethodPost, "/oauth/token", form); r.status >= 500 {
					t.Errorf("token endpoint, %s = %q: %d %s", name, bad, r.status, r.body)
				}
			}
			for _, name := range []string{"client_id", "state", "post_logout_redirect_uri"} {
				w.browser().get("/end_session?"+url.Values{name: {bad}}.Encode()).want(http.StatusBadRequest, "")
			}
			w.wantError(w.send(http.MethodPost, "/oauth/token", url.Values{"grant_type": {"refresh_token"}}, basicHeader(bad, "x")), http.StatusUnauthorized, "invalid_client")
			if r := w.send(http.MethodPost, "/authorize", shop.request("state", bad)); r.status != http.StatusBadRequest {
				t.Errorf("POST /authorize, %q: %d", bad, r.status)
			}
		}
		if r := w.send(http.MethodOptions, "/oauth/token", nil, header("Origin", "https://\xff.example")); r.status != http.StatusNoContent {
			t.Errorf("preflight: %d %s", r.status, r.body)
		}
	})
}

func TestRepeatedResourceAndAudienceAreNoFault(t *testing.T) {
	w := newWorld(t)
	shop, ada := w.app(), w.person("ada@example.org")
	b := w.signedIn(ada)
	q := shop.request()
	q["resource"], q["audience"] = []string{"https://a.example", "https://b.example"}, []string{"a", "b"} // RFC 8707, section 2
	code := b.get("/authorize?" + q.Encode()).code()
	form := shop.exchange(code)
	form["resource"] = q["resource"]
	w.tokensOf(w.token(shop, form))
}

func TestRedirectURIKeepsItsOwnQuery(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada@example.org")
	b := w.signedIn(ada)
	for _, uri := range []string{
		"https://shop.example/cb?x=a+b", "https://shop.example/cb?x=a%20b&y", "https://shop.example/cb?", "https://shop.example/cb?x&",
		"https://shop.example/cb?state=own&code=own", "https://shop.example//cb/../a?q=%2F", "https://shop.example",
	} {
		shop := w.app(redirects(uri))
		for _, mode := range []string{"query", "form_post"} {
			p := b.authorize(shop, "response_mode", mode)
			target, v := p.answer()
			rest, ok := strings.CutPrefix(target, uri)
			if !ok || mode == "form_post" && rest != "" {
				t.Errorf("%s became %s", uri, target)
			}
			if mode == "query" {
				var err error
				v, err = url.ParseQuery(strings.TrimLeft(rest, "?&"))
				w.check(err)
			}
			if v.Get("state") != "st-1" || !strings.HasPrefix(v.Get("code"), prefixCode) {
				t.Errorf("%s %s: %v", uri, mode, v)
			}
			w.tokensOf(w.redeem(shop, v.Get("code")))
		}
		// The same after a form, where a page sends the browser on.
		if target, _ := w.browser().authorize(shop).prove(ada).answer(); !strings.HasPrefix(target, uri) {
			t.Errorf("%s became %s on the page that continues", uri, target)
		}
	}
}

func TestStateComesBackByteForByte(t *testing.T) {
	w := newWorld(t)
	shop, ada := w.app(), w.person("ada@example.org")
	session := w.signedIn(ada)
	for _, state := range []string{"", " ", "a+b", "%41", "é", "\u2028\t\r\n", `"<script>'&amp;`, "\u0001\u007f", strings.Repeat("s", 4096), "{\"a\":1}"} {
		for _, mode := range []string{"query", "form_post"} {
			_, direct := session.authorize(shop, "state", state, "response_mode", mode).answer()
			_, afterForm := w.browser().authorize(shop, "state", state, "response_mode", mode).prove(ada).answer()
			for _, v := range []url.Values{direct, afterForm} {
				if v.Get("state") != state || v.Has("state") != (state != "") || v.Get("code") == "" {
					t.Errorf("state %.40q came back as %.40q", state, v.Get("state"))
				}
			}
		}
	}
	_, v := session.authorize(shop, "state", strings.Repeat("s", 4097)).answer()
	if v.Get("error") != "invalid_request" {
		t.Errorf("a state of 4097 bytes: %v", v["error"])
	}
}

func TestPromptsWithASession(t *testing.T) {
	w := newWorld(t)
	shop, club, ada := w.app(), w.app(thirdParty), w.person("ada@example.org")
	b := w.signedIn(ada)
	for _, prompt := range []string{"", "none"} {
		if _, v := b.authorize(shop, "prompt", prompt).answer(); v.Get("code") == "" {
			t.Errorf("prompt=%s: %v", prompt, v)
		}
	}
	if n := w.count(`SELECT COUNT(*) FROM signin WHERE client_id <> ''`); n != 0 {
		t.Errorf("single sign-on left %d rows", n)
	}
	for _, prompt := range []string{"login", "select_account", "login select_account", "consent login"} {
		p := b.authorize(shop, "prompt", prompt)
		if !p.isLogin() {
			t.Errorf("prompt=%s: %s", prompt, p)
		}
	}
	if p := b.authorize(shop, "prompt", "consent"); !p.isConsent() {
		t.Errorf("prompt=consent: %s", p)
	}
	if _, v := b.authorize(club, "prompt", "none").answer(); v.Get("error") != "consent_required" || v.Get("state") != "st-1" {
		t.Errorf("prompt=none without consent: %v", v)
	}
	// prompt=login proves the person anew: the same session, a new time, a new cookie.
	before, cookie := w.claims(w.walk(b, shop, ada).id), b.cookie(cookieSession)
	w.clock.advance(time.Hour)
	after := w.claims(w.walk(b, shop, ada, "prompt", "login").id)
	if before["sid"] != after["sid"] || after["auth_time"] != float64(w.clock.now().Unix()) || before["auth_time"] == after["auth_time"] {
		t.Errorf("before %v, after %v", before, after)
	}
	if b.cookie(cookieSession) == cookie {
		t.Error("the session cookie stayed the same (A18)")
	}
}

func TestMaxAge(t *testing.T) {
	w := newWorld(t)
	shop, ada := w.app(), w.person("ada@example.org")
	b := w.signedIn(ada)
	w.clock.advance(30 * time.Second)
	for age, wantLogin := range map[string]bool{"0": true, "29": true, "30": false, "3600": false, "": false, "999999999": false} {
		if p := b.authorize(shop, "max_age", age); p.isLogin() != wantLogin {
			t.Errorf("max_age=%s: %s", age, p)
		}
		_, v := b.authorize(shop, "max_age", age, "prompt", "none").answer()
		if (v.Get("error") == "login_required") != wantLogin {
			t.Errorf("max_age=%s prompt=none: %v", age, v)
		}
	}
	w.clock.advance(time.Second)
	if p := b.authorize(shop, "max_age", "30"); !p.isLogin() {
		t.Errorf("a second too old: %s", p)
	}
	for _, age := range []string{"0", "1"} {
		got := w.claims(w.walk(b, shop, ada, "max_age", age).id)
		if got["auth_time"] != float64(w.clock.now().Unix()) {
			t.Errorf("auth_time %v", got["auth_time"])
		}
		w.clock.advance(2 * time.Second)
	}
}

func TestLoginHintIsFilledInAndNeverTrusted(t *testing.T) {
	w := newWorld(t)
	shop, ada := w.app(), w.person("ada@example.org")
	for hint, want := range map[string]string{
		ada.Login: ada.Login, "nobody@example.org": "nobody@example.org", `"><script>alert(1)</script>`: `"><script>alert(1)</script>`,
		strings.Repeat("x", 255): "", "": "",
	} {
		p := w.browser().authorize(shop, "login_hint", hint)
		if !p.isLogin() || strings.Contains(p.body, "<script>alert") {
			t.Errorf("hint %q: %s", hint, p)
		}
		if _, f := p.form("/login"); f.Get("login") != want {
			t.Errorf("hint %q fills in %q", hint, f.Get("login"))
		}
	}
	// It names nobody: a session of somebody else goes on.
	if _, v := w.signedIn(w.person("bob@example.org")).authorize(shop, "login_hint", ada.Login).answer(); v.Get("code") == "" {
		t.Errorf("answer %v", v)
	}
}

func TestIDTokenHint(t *testing.T) {
	w := newWorld(t)
	shop, other, ada, bob := w.app(), w.app(), w.person("ada@example.org"), w.person("bob@example.org")
	b := w.browser()
	hint := w.walk(b, shop, ada).id
	none := func(b *browser, a app, hint string) url.Values {
		t.Helper()
		_, v := b.authorize(a, "prompt", "none", "id_token_hint", hint).answer()
		return v
	}
	if v := none(b, shop, hint); v.Get("code") == "" {
		t.Errorf("good hint: %v", v)
	}
	w.clock.advance(time.Hour)
	if v := none(b, shop, hint); v.Get("code") == "" {
		t.Errorf("an expired ID token is still a hint: %v", v)
	}
	if v := none(b, other, hint); v.Get("error") != "invalid_request" {
		t.Errorf("a hint of another client's: %v", v)
	}
	foreign := openWorld(t, "sqlite:"+t.TempDir()+"/other.db", nil)
	forged := foreign.walk(foreign.browser(), foreign.app(), foreign.person("ada@example.org")).id
	if v := none(b, shop, forged); v.Get("error") != "invalid_request" {
		t.Errorf("a hint of another server: %v", v)
	}
	if v := none(b, shop, hint[:len(hint)-2]); v.Get("error") != "invalid_request" {
		t.Errorf("an altered hint: %v", v)
	}
	// Somebody else is signed in.
	c := w.signedIn(bob)
	if v := none(c, shop, hint); v.Get("error") != "login_required" {
		t.Errorf("hint at another account: %v", v)
	}
	p := c.authorize(shop, "id_token_hint", hint)
	if !p.isLogin() {
		t.Fatalf("hint at another account does not ask: %s", p)
	}
	if _, v := p.prove(bob).answer(); v.Get("error") != "login_required" || v.Get("code") != "" {
		t.Errorf("another account than the hinted one was given: %v", v)
	}
	if _, v := c.authorize(shop, "id_token_hint", hint).prove(ada).answer(); v.Get("code") == "" {
		t.Errorf("the hinted account: %v", v)
	}
}

func TestPostToAuthorizeIsHandedOff(t *testing.T) {
	w := newWorld(t)
	shop, ada := w.app(), w.person("ada@example.org")
	b := w.signedIn(ada)
	session := header("Cookie", fmt.Sprintf("s=%s; b=%s", b.cookie("s"), b.cookie("b")))
	crossSite := []func(*http.Request){header("Origin", "https://shop.example"), header("Sec-Fetch-Site", "cross-site"), session}
	post := func(form url.Values) string {
		t.Helper()
		r := w.send(http.MethodPost, "/authorize", form, crossSite...)
		path := r.header.Get("Location")
		if r.status != http.StatusSeeOther || !strings.HasPrefix(path, "/authorize?handle="+prefixHandoff) || len(r.header["Set-Cookie"]) != 0 {
			t.Fatalf("%d to %q with %v", r.status, path, r.header["Set-Cookie"])
		}
		return path
	}
	path := post(shop.request("state", "a b&c"))
	if _, v := b.get(path).answer(); v.Get("code") == "" || v.Get("state") != "a b&c" {
		t.Errorf("answer %v", v)
	}
	b.get(path).want(http.StatusBadRequest, "") // one use
	path = post(shop.request())
	w.clock.advance(w.server.TTL.Handoff)
	b.get(path).want(http.StatusBadRequest, "")
	path = post(shop.request())
	b.get(strings.Replace(path, "/authorize", "/end_session", 1)).want(http.StatusBadRequest, "") // for another path
	b.get(path+"&client_id="+shop.ID).want(http.StatusBadRequest, "")
	if _, v := b.get(path).answer(); v.Get("code") == "" {
		t.Errorf("answer %v", v)
	}
	// Faults of the request are found after the hand-off, untrusted ones before it.
	twice := shop.request()
	twice.Add("scope", "openid")
	if _, v := b.get(post(twice)).answer(); v.Get("error") != "invalid_request" {
		t.Errorf("answer %v", v)
	}
	rows := w.count(`SELECT COUNT(*) FROM handoff`)
	for _, form := range []url.Values{shop.request("client_id", "app_x"), shop.request("redirect_uri", "https://evil.example/"), {}, shop.request("x", strings.Repeat("x", 20<<10))} {
		if r := w.send(http.MethodPost, "/authorize", form, crossSite...); r.status/100 != 4 || r.header.Get("Location") != "" || len(r.header["Set-Cookie"]) != 0 {
			t.Errorf("%d to %q", r.status, r.header.Get("Location"))
		}
	}
	if n := w.count(`SELECT COUNT(*) FROM handoff`); n != rows {
		t.Errorf("%d rows for requests that go nowhere", n-rows)
	}
}

func TestSignInsAreCappedPerBrowserAndNetwork(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Limits.SignInsPerBrowser, c.Limits.SignInsPerAddress = 3, 6 })
	shop, ada := w.app(), w.person("ada@example.org")
	b := w.browser()
	first := b.authorize(shop)
	for range 3 {
		w.clock.advance(time.Second)
		b.authorize(shop).want(http.StatusOK, `id="login"`)
	}
	b.get(first.path).want(http.StatusGone, "") // the oldest gave way
	for range 3 {
		w.browser().authorize(shop).want(http.StatusOK, `id="login"`)
	}
	// Beyond the cap a network's oldest in which nobody typed an address gives way.
	idle := w.count(`SELECT COUNT(*) FROM signin`)
	w.browser().authorize(shop).want(http.StatusOK, `id="login"`)
	if n := w.count(`SELECT COUNT(*) FROM signin`); n != idle {
		t.Errorf("%d rows after %d", n, idle)
	}
	for range 6 {
		w.browser().authorize(shop).submit("/login", "login", "somebody@example.org").want(http.StatusOK, `id="password"`)
	}
	p := w.browser().authorize(shop)
	if p.status != http.StatusTooManyRequests || p.header.Get("Retry-After") == "" {
		t.Errorf("a network with too many: %s", p)
	}
	w.clock.advance(w.server.TTL.SignIn)
	w.browser().authorize(shop).prove(ada).code()
}
