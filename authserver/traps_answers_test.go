package authserver

import (
	"bytes"
	"go/parser"
	"go/token"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"simplon/secret"
)

func TestTrap07ErrorsGoBackWithIssuerAndState(t *testing.T) {
	w := newWorld(t)
	shop := w.app()
	p := w.browser().authorize(shop, "response_type", "token")
	target, v := p.answer()
	if p.status != http.StatusSeeOther || !strings.HasPrefix(target, shop.RedirectURIs[0]+"?") || v.Get("iss") != w.issuer || v.Get("state") != "st-1" {
		t.Errorf("%d %s", p.status, target)
	}
	for _, change := range []func(*http.Request){basicHeader(shop.ID, "wrong"), basicHeader("app_unknown", "x"), header("Authorization", "Basic !")} {
		r := w.send(http.MethodPost, "/oauth/token", shop.exchange("x"), change)
		w.wantError(r, http.StatusUnauthorized, "invalid_client")
		if !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Basic realm=") || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("headers %v", r.header)
		}
	}
	// The library routes these on its own; here they do not exist.
	for _, path := range []string{"/healthz", "/ready", "/oauth/introspect", "/revoke", "/device_authorization", "/authorize/callback"} {
		if r := w.send(http.MethodGet, path, nil); r.status != http.StatusNotFound {
			t.Errorf("%s answered %d", path, r.status)
		}
	}
}

func TestTrap08ClientAssertionsAreRefusedWhileThereAreNone(t *testing.T) {
	w := newWorld(t)
	shop := w.app()
	for _, field := range []string{"client_assertion", "client_assertion_type"} {
		form := shop.exchange("x")
		form.Set(field, "eyJhbGciOiJub25lIn0.eyJhdWQiOlsxXX0.")
		w.wantError(w.token(shop, form), http.StatusUnauthorized, "invalid_client")
	}
	if strings.Contains(string(w.server.document), "jwt") {
		t.Errorf("discovery promises assertions: %s", w.server.document)
	}
}

func TestTrap09ForgedTokensNeverReachTheDatabase(t *testing.T) {
	w := newWorld(t)
	shop, ada := w.app(), w.person("ada@example.org")
	got := w.walk(w.browser(), shop, ada)
	if len(got.access) != 78 || !strings.HasPrefix(got.access, "smp_at_") {
		t.Errorf("access token %q", got.access)
	}
	other := secret.NewRing(w.source, w.clock.now())
	forged := []string{
		"", "smp_at_", "x", strings.ToUpper(got.access), got.access + "=", got.access + "\t", got.access[:77], got.access[7:],
		"smp_at_" + strings.Repeat("A", 71), other.AccessToken(w.source, [16]byte{1}, w.clock.now().Add(w.server.TTL.AccessToken)),
	}
	for i := range got.access {
		altered := []byte(got.access)
		if altered[i]++; altered[i] == 0x7f {
			altered[i] = 'A'
		}
		forged = append(forged, string(altered))
	}
	before := w.db.Statements()
	for _, token := range forged {
		if strings.TrimSpace(token) == got.access {
			continue // white space around a header's value is not part of it
		}
		if r := w.userinfo(token); r.status != http.StatusUnauthorized {
			t.Errorf("%q opened userinfo: %d", token, r.status)
		}
	}
	if n := w.db.Statements() - before; n != 0 {
		t.Errorf("%d statements for forged tokens", n)
	}
	w.clock.advance(w.server.TTL.AccessToken)
	before = w.db.Statements()
	if w.alive(got.access) || w.db.Statements() != before {
		t.Error("an expired token is looked up")
	}
	// Codes and refresh tokens are stored hashed.
	for _, query := range []string{`SELECT COUNT(*) FROM refresh_token WHERE hash = $1`, `SELECT COUNT(*) FROM code WHERE hash = $1`} {
		if n := w.count(query, []byte(got.refresh)); n != 0 {
			t.Errorf("%s finds the plain token", query)
		}
	}
	if w.count(`SELECT COUNT(*) FROM refresh_token WHERE hash = $1`, secret.Digest(got.refresh)) != 1 {
		t.Error("the refresh token is not there")
	}
}

func TestTrap10CORSIsPerClientAndNeverWithCredentials(t *testing.T) {
	w := newWorld(t)
	spa, shop, ada := w.app(singlePage), w.app(), w.person("ada@example.org")
	b := w.browser()
	got := w.walk(b, spa, ada)
	origin := func(o string) func(*http.Request) { return header("Origin", o) }
	allowed := func(r reply) string {
		if c := r.header.Get("Access-Control-Allow-Credentials"); c != "" {
			t.Errorf("credentials allowed: %s", c)
		}
		return r.header.Get("Access-Control-Allow-Origin")
	}
	for o, want := range map[string]string{
		"https://spa.example": "https://spa.example", "https://shop.example": "", "https://evil.example": "", "null": "", "https://spa.example:444": "",
		"http://spa.example": "", "https://spa.example.evil.example": "", "*": "",
	} {
		for _, path := range []string{"/oauth/token", "/userinfo"} {
			if got := allowed(w.send(http.MethodOptions, path, nil, origin(o), header("Access-Control-Request-Method", "POST"))); got != want {
				t.Errorf("preflight of %s for %s allows %q", path, o, got)
			}
		}
		if got := allowed(w.send(http.MethodGet, "/userinfo", nil, bearerHeader(got.access), origin(o))); got != want {
			t.Errorf("userinfo for %s allows %q", o, got)
		}
		if got := allowed(w.token(spa, spa.exchange(w.codeFor(b, spa, ada)), origin(o))); got != want {
			t.Errorf("token for %s allows %q", o, got)
		}
		for _, path := range []string{"/keys", "/.well-known/openid-configuration"} {
			if got := allowed(w.send(http.MethodGet, path, nil, origin(o))); got != "*" {
				t.Errorf("%s for %s allows %q", path, o, got)
			}
		}
	}
	// One client's origin does not read another client's answers.
	if got := allowed(w.token(shop, shop.exchange(w.codeFor(b, shop, ada)), origin("https://spa.example"))); got != "" {
		t.Errorf("the answer to another client allows %q", got)
	}
	for _, path := range []string{"/authorize?" + spa.request().Encode(), "/end_session", "/"} {
		if got := allowed(w.send(http.MethodGet, path, nil, origin("https://spa.example"))); got != "" {
			t.Errorf("%s allows %q", path, got)
		}
	}
	w.disableClient(spa)
	if got := allowed(w.send(http.MethodOptions, "/oauth/token", nil, origin("https://spa.example"))); got != "" {
		t.Errorf("preflight for a disabled client allows %q", got)
	}
}

func TestTrap11RefreshedIDTokensKeepTheSignIn(t *testing.T) {
	w := newWorld(t)
	shop, ada := w.app(), w.person("ada@example.org")
	got := w.walk(w.browser(), shop, ada)
	first := w.claims(got.id)
	w.clock.advance(w.server.TTL.AccessToken * 2)
	next := w.tokensOf(w.refresh(shop, got.refresh))
	again := w.claims(next.id)
	for _, name := range []string{"iss", "sub", "aud", "acr", "sid", "auth_time"} {
		if first[name] == nil || first[name] != again[name] {
			t.Errorf("%s was %v, is %v", name, first[name], again[name])
		}
	}
	if again["iat"] == first["iat"] || again["at_hash"] != halfHash("ES256", next.access) {
		t.Errorf("stale claims: %v", again)
	}
	if sid, _ := first["sid"].(string); w.count(`SELECT COUNT(*) FROM session WHERE id = $1`, sid) != 1 {
		t.Errorf("sid %v names no session", first["sid"])
	}
}

func TestTrap12NoIDTokenWithoutOpenID(t *testing.T) {
	w := newWorld(t)
	shop, ada := w.app(), w.person("ada@example.org")
	got := w.walk(w.browser(), shop, ada, "scope", "profile offline_access")
	if got.id != "" {
		t.Error("an ID token without scope openid")
	}
	if next := w.tokensOf(w.refresh(shop, got.refresh)); next.id != "" {
		t.Error("an ID token at refresh without scope openid")
	}
	w.wantError(w.userinfo(got.access), http.StatusForbidden, "insufficient_scope")
}

func TestTrap13InternalErrorsStayInside(t *testing.T) {
	w := newWorld(t)
	shop, ada := w.app(), w.person("ada@example.org")
	b := w.browser()
	got := w.walk(b, shop, ada)
	code := w.codeFor(b, shop, ada)
	step := w.browser().authorize(shop).at(ada.Login)
	w.check(w.db.Close())
	var bodies []string
	for _, r := range []reply{w.redeem(shop, code), w.refresh(shop, got.refresh), w.userinfo(got.access)} {
		w.wantError(r, http.StatusInternalServerError, "server_error")
		bodies = append(bodies, r.body)
	}
	bodies = append(bodies, w.send(http.MethodOptions, "/oauth/token", nil, header("Origin", "https://spa.example")).body)
	for _, p := range []*page{
		b.authorize(shop), b.get("/"), b.get("/end_session"), b.get("/continue?signin=" + step.signInID()), step.b.get(step.path),
		step.submit("/password", "password", ada.password), w.browser().authorize(shop),
	} {
		if p.status != http.StatusInternalServerError || p.location != "" {
			t.Errorf("%s answered %d %s", p.path, p.status, p.location)
		}
		bodies = append(bodies, p.body)
	}
	for _, body := range bodies {
		for _, inside := range []string{"sql", "closed", "storage", "authserver", ".go:", "database", "goroutine"} {
			if strings.Contains(strings.ToLower(body), inside) {
				t.Errorf("%q is shown: %s", inside, body)
			}
		}
	}
	if !strings.Contains(w.log.text(), "closed") {
		t.Error("the log does not say why")
	}
}

func TestTrap14NoGlobsAndNoLibraryHandlers(t *testing.T) {
	w := newWorld(t)
	shop := w.app()
	w.exec(`UPDATE client SET redirect_uris = $2 WHERE id = $1`, shop.ID, `["https://shop.example/*","https://*.shop.example/cb","*"]`)
	for _, uri := range []string{"https://shop.example/x", "https://a.shop.example/cb", "https://evil.example/"} {
		w.browser().authorize(shop, "redirect_uri", uri).want(http.StatusBadRequest, "")
	}
	// op.DefaultEndpoints is a shared pointer of the library's own server, which
	// nothing here imports.
	files, err := filepath.Glob("*.go")
	w.check(err)
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		w.check(err)
		for _, i := range f.Imports {
			if strings.Contains(i.Path.Value, "zitadel/oidc/v3/pkg/op") {
				t.Errorf("%s imports %s", name, i.Path.Value)
			}
		}
	}
}

func TestTrap15LogsHoldNoSecretAndNoURL(t *testing.T) {
	w := newWorld(t)
	var library bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&library, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() { slog.SetDefault(before) })
	shop, ada := w.app(thirdParty), w.person("ada@example.org")
	b := w.browser()
	p := b.authorize(shop, "state", "state-of-the-run", "nonce", "nonce-of-the-run").at(ada.Login).submit("/password", "password", "wrong-of-the-run")
	p = p.submit("/password", "password", ada.password).submit("/consent", "decision", "allow")
	code := p.code()
	got := w.tokensOf(w.redeem(shop, code))
	next := w.tokensOf(w.refresh(shop, got.refresh))
	w.userinfo(next.access)
	w.send(http.MethodGet, "/userinfo?access_token="+next.access, nil)
	w.redeem(shop, code)
	b.get("/end_session?state=state-of-the-run&id_token_hint=" + next.id)
	log := w.log.text()
	if !strings.Contains(log, shop.ID) {
		t.Error("the log says nothing")
	}
	if library.Len() > 0 {
		t.Errorf("the default logger was used: %s", library.String())
	}
	for _, leak := range []string{
		code, got.access, got.refresh, got.id, next.access, next.refresh, next.id, shop.secret, ada.password, "of-the-run", verifier,
		b.cookie(cookieDevice), b.cookie("b"), "shop.example", "code_challenge", "?",
	} {
		if leak != "" && strings.Contains(log, leak) {
			t.Errorf("the log holds %q", leak)
		}
	}
}
