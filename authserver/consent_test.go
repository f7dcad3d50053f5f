package authserver

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"simplon/identity"
)

func TestConsentIsAskedOnceAndRemembered(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		club, ada := w.app(thirdParty), w.person("ada@example.org")
		b := w.browser()
		p := b.authorize(club, "scope", "openid email").prove(ada)
		if !p.isConsent() || !strings.Contains(p.body, ada.Login) || !strings.Contains(p.body, "shop.example") {
			t.Fatalf("no consent page for %s: %s", ada.Login, p)
		}
		p.submit("/consent", "decision", "allow").code()
		if _, v := b.authorize(club, "scope", "openid email").answer(); v.Get("code") == "" {
			t.Errorf("asked again: %v", v)
		}
		// More than was given asks again; what was given is remembered beside it.
		p = b.authorize(club, "scope", "openid profile")
		if !p.isConsent() {
			t.Fatalf("a new scope is not asked for: %s", p)
		}
		p.submit("/consent", "decision", "allow").code()
		for _, scope := range []string{"openid", "openid email profile"} {
			if _, v := b.authorize(club, "scope", scope, "prompt", "none").answer(); v.Get("code") == "" {
				t.Errorf("%s is asked for again: %v", scope, v)
			}
		}
		// It is the person's answer, not the browser's.
		c := w.signedIn(w.person("bob@example.org"))
		if p := c.authorize(club, "scope", "openid"); !p.isConsent() {
			t.Errorf("another person is not asked: %s", p)
		}
		if p := b.authorize(w.app(thirdParty), "scope", "openid"); !p.isConsent() {
			t.Errorf("another application is not asked about: %s", p)
		}
	})
}

func TestDenyingConsentTellsTheClient(t *testing.T) {
	w := newWorld(t)
	club, ada := w.app(thirdParty), w.person("ada@example.org")
	for _, mode := range []string{"query", "form_post"} {
		b := w.signedIn(ada)
		p := b.authorize(club, "response_mode", mode).submit("/consent", "decision", "deny")
		_, v := p.answer()
		if v.Get("error") != "access_denied" || v.Get("state") != "st-1" || v.Get("iss") != w.issuer || v.Has("code") {
			t.Errorf("%s: %v", mode, v)
		}
		if _, again := b.get(p.path).answer(); again.Get("error") != "access_denied" {
			t.Errorf("%s: a reload answers %v", mode, again)
		}
		if p := b.authorize(club); !p.isConsent() {
			t.Errorf("a refusal was remembered as something else: %s", p)
		}
	}
	if n := w.count(`SELECT COUNT(*) FROM consent`) + w.count(`SELECT COUNT(*) FROM code`); n != 0 {
		t.Errorf("%d rows", n)
	}
}

func TestConsentFormTakesTwoAnswersOnly(t *testing.T) {
	w := newWorld(t)
	club, ada := w.app(thirdParty), w.person("ada@example.org")
	b := w.signedIn(ada)
	p := b.authorize(club)
	action, form := p.form("/consent")
	for _, decision := range []string{"", "yes", "Allow"} {
		form.Set("decision", decision)
		b.postForm(action, form).want(http.StatusBadRequest, "")
	}
	form.Set("decision", "allow")
	form.Set("csrf", "x")
	b.postForm(action, form).want(http.StatusForbidden, "")
	if b.get("/continue?signin="+p.signInID()).isConsent() != true {
		t.Error("/continue passes by the question")
	}
	if n := w.count(`SELECT COUNT(*) FROM code`); n != 0 {
		t.Errorf("%d codes", n)
	}
	p.submit("/consent", "decision", "allow").code()
	// A second answer, from the back button, changes nothing.
	p.submit("/consent", "decision", "deny").want(http.StatusGone, "")
}

func TestConsentOfOnePersonIsNotAnothers(t *testing.T) {
	w := newWorld(t)
	club, ada, bob := w.app(thirdParty), w.person("ada@example.org"), w.person("bob@example.org")
	b := w.signedIn(ada)
	p := b.authorize(club)
	action, form := p.form("/consent")
	// Bob signs in in the same browser while Ada's question is on the screen.
	b.authorize(club, "prompt", "login").prove(bob)
	form.Set("decision", "allow")
	asked := b.postForm(action, form)
	if n := w.count(`SELECT COUNT(*) FROM consent`) + w.count(`SELECT COUNT(*) FROM code`); n != 0 || !asked.isConsent() {
		t.Fatalf("Ada's page answered for Bob: %s, %d rows", asked, n)
	}
	asked.want(http.StatusOK, bob.Login)
	asked.submit("/consent", "decision", "allow").code()
	if got := w.text(`SELECT account_id FROM code`); got != bob.ID {
		t.Errorf("the code is for %s", got)
	}
}

func TestNativeAppsOnLoopbackAskEveryTime(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada@example.org")
	b := w.signedIn(ada)
	for uri, asks := range map[string]bool{"http://127.0.0.1/cb": true, "com.example.tool:/cb": true, "https://tool.example/cb": false} {
		tool := w.app(nativeApp, redirects(uri))
		for range 2 {
			p := b.authorize(tool)
			if p.isConsent() != asks {
				t.Fatalf("%s: %s", uri, p)
			}
			if asks {
				p = p.submit("/consent", "decision", "allow")
			}
			w.tokensOf(w.redeem(tool, p.code()))
		}
		if _, v := b.authorize(tool, "prompt", "none").answer(); (v.Get("error") == "consent_required") != asks {
			t.Errorf("%s: %v", uri, v)
		}
	}
}

func TestOfflineAccessOnlyWhereAllowed(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada@example.org")
	for name, a := range map[string]app{
		"scope not registered": w.app(func(c *identity.Client) { c.Scopes = []string{"openid", "email"} }),
		"grant not registered": w.app(func(c *identity.Client) { c.GrantTypes = []string{identity.GrantCode} }),
	} {
		got := w.walk(w.browser(), a, ada)
		if got.refresh != "" || strings.Contains(got.scope, "offline") {
			t.Errorf("%s: %+v", name, got)
		}
	}
	shop := w.app()
	if got := w.walk(w.browser(), shop, ada, "scope", "openid"); got.refresh != "" || got.scope != "openid" {
		t.Errorf("a refresh token nobody asked for: %+v", got)
	}
	if got := w.walk(w.browser(), shop, ada, "scope", "openid root openid offline_access"); got.scope != "openid offline_access" {
		t.Errorf("scope %q", got.scope)
	}
	codeOnly := w.app(func(c *identity.Client) { c.GrantTypes = []string{identity.GrantCode} })
	w.wantError(w.refresh(codeOnly, "smp_rt_x"), http.StatusBadRequest, "unauthorized_client")
}

func TestSignInExpiresAndClosesForGood(t *testing.T) {
	w := newWorld(t)
	shop, ada := w.app(), w.person("ada@example.org")
	b := w.browser()
	p := b.authorize(shop).at(ada.Login)
	w.clock.advance(w.server.TTL.SignIn)
	if q := p.submit("/password", "password", ada.password); q.status != http.StatusGone || b.cookie(cookieSession) != "" {
		t.Errorf("an expired sign-in took a password: %s", q)
	}
	b.get(p.path).want(http.StatusGone, "Start again at "+shop.Name) // the button said "at {app}" once
	done := b.authorize(shop).prove(ada)
	first := done.code()
	if again := b.get(done.path).code(); again != first {
		t.Error("a reload of the last page shows another code")
	}
	w.tokensOf(w.redeem(shop, first))
	b.get(done.path).want(http.StatusGone, "")
	if n := w.count(`SELECT COUNT(*) FROM code`); n != 1 {
		t.Errorf("%d codes for one sign-in", n)
	}
	// A reload after the code ran out does not make a new one.
	done = b.authorize(shop, "prompt", "login").prove(ada)
	w.clock.advance(w.server.TTL.Code)
	b.get(done.path).want(http.StatusGone, "")
}

func TestRestoreEndsSessionsGrantsAndOpenSignIns(t *testing.T) {
	w := newWorld(t)
	shop, ada := w.app(), w.person("ada@example.org")
	b := w.browser()
	got := w.walk(b, shop, ada)
	code := w.codeFor(b, shop, ada)
	open := w.browser().authorize(shop).at(ada.Login)
	w.exec(`UPDATE meta SET value = '2' WHERE key = 'epoch'`)
	if w.alive(got.access) {
		t.Error("the access token lives on")
	}
	w.wantError(w.refresh(shop, got.refresh), http.StatusBadRequest, "invalid_grant")
	w.wantError(w.redeem(shop, code), http.StatusBadRequest, "invalid_grant")
	if p := b.authorize(shop); !p.isLogin() {
		t.Errorf("the session lives on: %s", p)
	}
	open.submit("/password", "password", ada.password).want(http.StatusGone, "")
	w.clock.advance(time.Second)
	w.walk(b, shop, ada)
}
