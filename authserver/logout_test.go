package authserver

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"simplon/identity"
)

// logoutPath is a request to sign out.
func logoutPath(pairs ...string) string {
	v := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return "/end_session?" + v.Encode()
}

const byeURI = "https://shop.example/bye"

func TestLogoutWithTheHintOfThisSessionIsImmediate(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		shop, ada := w.app(), w.person("ada@example.org")
		b := w.browser()
		online, offline := w.walk(b, shop, ada, "scope", "openid"), w.walk(b, shop, ada)
		unspent := w.codeFor(b, shop, ada)
		device := b.cookie(cookieDevice)
		w.clock.advance(w.server.TTL.AccessToken / 2)
		p := b.get(logoutPath("id_token_hint", offline.id, "post_logout_redirect_uri", byeURI, "state", "a b&c"))
		if p.status != http.StatusSeeOther || p.location != byeURI+"?state=a+b%26c" {
			t.Errorf("%s", p)
		}
		if b.cookie(cookieSession) != "" || b.cookie(cookieDevice) != device {
			t.Error("the session cookie stays, or the known browser is forgotten")
		}
		if w.alive(online.access) || !w.alive(offline.access) {
			t.Error("grants of the session end, those with offline access survive")
		}
		w.wantError(w.redeem(shop, unspent), http.StatusBadRequest, "invalid_grant")
		w.tokensOf(w.refresh(shop, offline.refresh))
		if p := b.authorize(shop); !p.isLogin() {
			t.Errorf("still signed in: %s", p)
		}
		if n := w.count(`SELECT COUNT(*) FROM event WHERE kind = $1 AND account_id = $2`, identity.EventSignedOut, ada.ID); n != 1 {
			t.Errorf("%d events", n)
		}
		// Nobody is signed in any more: there is nothing to ask.
		if p := b.get(logoutPath("client_id", shop.ID, "post_logout_redirect_uri", byeURI)); p.location != byeURI {
			t.Errorf("%s", p)
		}
	})
}

func TestLogoutHintMayBeExpired(t *testing.T) {
	w := newWorld(t)
	shop, ada := w.app(), w.person("ada@example.org")
	b := w.browser()
	hint := w.walk(b, shop, ada).id
	w.clock.advance(w.server.TTL.IDToken * 10)
	if p := b.get(logoutPath("id_token_hint", hint)); p.status != http.StatusOK || b.cookie(cookieSession) != "" {
		t.Errorf("%s", p)
	}
}

func TestLogoutAsksWhereNothingProvesTheApplication(t *testing.T) {
	w := newWorld(t)
	shop, ada, bob := w.app(), w.person("ada@example.org"), w.person("bob@example.org")
	b := w.browser()
	w.walk(b, shop, ada)
	ofBob := w.walk(w.browser(), shop, bob).id
	elsewhere := w.walk(w.browser(), shop, ada).id // the same person in another browser
	for name, path := range map[string]string{
		"nothing":                   "/end_session",
		"client":                    logoutPath("client_id", shop.ID, "post_logout_redirect_uri", byeURI),
		"hint of somebody else":     logoutPath("id_token_hint", ofBob, "post_logout_redirect_uri", byeURI),
		"hint of another session":   logoutPath("id_token_hint", elsewhere),
		"logout_hint is no hint":    logoutPath("client_id", shop.ID, "logout_hint", ada.Login),
		"state without an address":  logoutPath("client_id", shop.ID, "state", "x"),
		"empty parameters are none": "/end_session?id_token_hint=&client_id=",
	} {
		p := b.get(path)
		if p.status != http.StatusOK || p.location != "" || !strings.Contains(p.body, ada.Login) || !strings.Contains(p.body, `value="stay"`) {
			t.Errorf("%s: %s", name, p)
		}
		if b.cookie(cookieSession) == "" {
			t.Fatalf("%s: signed out without asking", name)
		}
	}
	ask := b.get(logoutPath("client_id", shop.ID, "post_logout_redirect_uri", byeURI, "state", "<s>"))
	if p := ask.submit("/confirm", "decision", "stay"); p.path != "/" || b.cookie(cookieSession) == "" {
		t.Errorf("staying: %s", p)
	}
	if p := ask.submit("/confirm", "decision", ""); b.cookie(cookieSession) == "" {
		t.Errorf("no decision: %s", p)
	}
	p := ask.submit("/confirm", "decision", "sign-out")
	if target, _ := p.answer(); target != byeURI+"?state=%3Cs%3E" || b.cookie(cookieSession) != "" {
		t.Errorf("%s to %s", p, target)
	}
}

func TestLogoutNeverRedirectsToAnUnregisteredAddress(t *testing.T) {
	w := newWorld(t)
	shop, other, ada := w.app(), w.app(func(c *identity.Client) { c.PostLogoutURIs = []string{"https://other.example/bye"} }), w.person("ada@example.org")
	b := w.browser()
	hint := w.walk(b, shop, ada).id
	for name, path := range map[string]string{
		"unregistered":             logoutPath("id_token_hint", hint, "post_logout_redirect_uri", "https://evil.example/"),
		"redirect URI is not one":  logoutPath("id_token_hint", hint, "post_logout_redirect_uri", shop.RedirectURIs[0]),
		"slash added":              logoutPath("id_token_hint", hint, "post_logout_redirect_uri", byeURI+"/"),
		"query added":              logoutPath("id_token_hint", hint, "post_logout_redirect_uri", byeURI+"?x"),
		"encoded":                  logoutPath("id_token_hint", hint, "post_logout_redirect_uri", "https://shop.example/b%79e"),
		"line break":               logoutPath("id_token_hint", hint, "post_logout_redirect_uri", byeURI+"\r\nX: y"),
		"of another client":        logoutPath("id_token_hint", hint, "post_logout_redirect_uri", "https://other.example/bye"),
		"client is not the hint's": logoutPath("id_token_hint", hint, "client_id", other.ID, "post_logout_redirect_uri", "https://other.example/bye"),
		"nobody vouches":           logoutPath("post_logout_redirect_uri", byeURI),
		"unknown client":           logoutPath("client_id", "app_x", "post_logout_redirect_uri", byeURI),
		"unknown client, no URI":   logoutPath("client_id", "app_x"),
		"script":                   logoutPath("client_id", shop.ID, "post_logout_redirect_uri", "javascript:alert(1)"),
		"bad hint":                 logoutPath("id_token_hint", hint+"x", "client_id", shop.ID, "post_logout_redirect_uri", byeURI),
		"twice":                    logoutPath("client_id", shop.ID) + "&post_logout_redirect_uri=" + url.QueryEscape(byeURI) + "&post_logout_redirect_uri=https://evil.example/",
		"state twice":              logoutPath("id_token_hint", hint) + "&state=a&state=b",
	} {
		p := b.get(path)
		if p.status != http.StatusBadRequest || p.location != "" || p.header.Get("Refresh") != "" || strings.Contains(p.body, `href="https://evil`) {
			t.Errorf("%s: %s", name, p)
		}
		if b.cookie(cookieSession) == "" {
			t.Fatalf("%s: a faulty request signed out", name)
		}
	}
	// The question's form cannot be used to get there either.
	ask := b.get(logoutPath("client_id", shop.ID, "post_logout_redirect_uri", byeURI))
	ask.submit("/confirm", "decision", "sign-out", "post_logout_redirect_uri", "https://evil.example/").want(http.StatusBadRequest, "")
	if b.cookie(cookieSession) == "" {
		t.Error("a faulty form signed out")
	}
}

func TestLogoutByPostIsHandedOff(t *testing.T) {
	w := newWorld(t)
	shop, ada := w.app(), w.person("ada@example.org")
	b := w.browser()
	hint := w.walk(b, shop, ada).id
	form := url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {byeURI}, "state": {"s"}}
	r := w.send(http.MethodPost, "/end_session", form, header("Origin", "https://shop.example"), header("Sec-Fetch-Site", "cross-site"),
		header("Cookie", "s="+b.cookie("s")))
	path := r.header.Get("Location")
	if r.status != http.StatusSeeOther || !strings.HasPrefix(path, "/end_session?handle=") || len(r.header["Set-Cookie"]) != 0 {
		t.Fatalf("%d to %q", r.status, path)
	}
	if n := w.count(`SELECT COUNT(*) FROM session WHERE ended_at > 0`); n != 0 {
		t.Error("the POST itself signed out")
	}
	if p := b.get(path); p.location != byeURI+"?state=s" {
		t.Errorf("%s", p)
	}
	b.get(path).want(http.StatusBadRequest, "")
}

func TestSignOutFormNeedsItsToken(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada@example.org")
	b := w.signedIn(ada)
	for _, path := range []string{"/sign-out", "/end_session/confirm"} {
		b.postForm(path, url.Values{"decision": {"sign-out"}}).want(http.StatusForbidden, "")
		if p := b.get(path); p.status != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %s", path, p)
		}
	}
	if b.cookie(cookieSession) == "" {
		t.Error("signed out")
	}
	old := b.cookie(cookieSession)
	b.get("/").submit("/sign-out").want(http.StatusOK, "")
	r := w.send(http.MethodGet, "/", nil, header("Cookie", "s="+old))
	if strings.Contains(r.body, ada.Login) {
		t.Error("the old cookie still opens the session")
	}
}

func TestSigningInAsSomebodyElseEndsTheFirstSession(t *testing.T) {
	w := newWorld(t)
	shop, ada, bob := w.app(), w.person("ada@example.org"), w.person("bob@example.org")
	b := w.browser()
	first := w.walk(b, shop, ada, "scope", "openid")
	cookie := b.cookie(cookieSession)
	w.walk(b, shop, bob, "prompt", "login")
	if w.alive(first.access) {
		t.Error("what the first session gave lives on")
	}
	for _, c := range []string{cookie, b.cookie(cookieSession)} {
		if r := w.send(http.MethodGet, "/", nil, header("Cookie", "s="+c)); strings.Contains(r.body, ada.Login) {
			t.Error("the first session is still open")
		}
	}
	if !strings.Contains(b.get("/").body, bob.Login) {
		t.Error("the second person is not signed in")
	}
}
