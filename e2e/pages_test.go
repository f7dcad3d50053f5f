package e2e

import (
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"simplon/e2e/harness"
)

// pageWorld is what the tests of pages share: a server, a person and a third
// party's application whose address shows what it was sent.
type pageWorld struct {
	server *harness.Server
	anna   harness.Person
	app    *harness.App
	site   string // the application's own address
}

// looks is every way the pages are seen, and the engine that serves them: pages
// do not know their engine, so each look need not meet both.
func looks() map[harness.Look]harness.Engine {
	return map[harness.Look]harness.Engine{
		harness.PhoneGermanDark():     harness.PostgreSQL,
		harness.DesktopEnglishLight(): harness.SQLite,
		harness.DesktopNoScript():     harness.SQLite,
	}
}

// onEveryLook runs a test of pages for each look.
func onEveryLook(t *testing.T, settings harness.Settings, test func(t *testing.T, w pageWorld, look harness.Look)) {
	for look, engine := range looks() {
		t.Run(look.Name, func(t *testing.T) { test(t, newPageWorld(t, engine, settings), look) })
	}
}

func newPageWorld(t *testing.T, engine harness.Engine, settings harness.Settings) pageWorld {
	t.Helper()
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, `<!doctype html><html lang="en"><title>App</title><h1 id="app">%s</h1><p id="sent">%s</p>`,
			html.EscapeString(r.URL.Path), html.EscapeString(r.URL.RawQuery))
	}))
	t.Cleanup(site.Close)
	server := suite.Start(t, engine, settings)
	w := pageWorld{server: server, anna: server.NewPerson(t, "anna@example.org"), site: site.URL}
	id, secret := server.NewClient(t, "--name", "Nordwand Mail", "--kind", "web", "--home-url", site.URL+"/",
		"--redirect-uri", site.URL+"/callback", "--post-logout-uri", site.URL+"/bye",
		"--scope", "openid", "--scope", "profile", "--scope", "email", "--scope", "offline_access")
	w.app = server.AppOf(t, id, secret, site.URL+"/callback")
	return w
}

// sent waits until the browser is back at the application and returns what it
// brought.
func (w pageWorld) sent(t *testing.T, tab *harness.Tab) url.Values {
	t.Helper()
	tab.WaitURL(w.app.Redirect)
	values, err := url.ParseQuery(tab.Text("#sent"))
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// wantError checks that a page of ours says what went wrong, with that status,
// and leads nowhere by itself.
func (w pageWorld) wantError(t *testing.T, tab *harness.Tab, name string, got, want int) {
	t.Helper()
	if got != want {
		t.Errorf("%s: status %d, want %d", name, got, want)
	}
	if !strings.HasPrefix(tab.URL(), w.server.Issuer+"/") {
		t.Errorf("%s: the browser is at %s", name, tab.URL())
	}
	if tab.Has(loginField) || tab.Has(passwordField) {
		t.Errorf("%s: the page asks for login or password", name)
	}
	tab.CheckPage(name)
}

func TestPagesOfTheWalk(t *testing.T) {
	onEveryLook(t, nil, func(t *testing.T, w pageWorld, look harness.Look) {
		tab := suite.Tab(t, look)
		if status := tab.Open(w.app.Authorize().URL); status != http.StatusOK {
			t.Errorf("first page: status %d", status)
		}
		tab.WaitFor(loginField)
		if lang := harness.Evaluate[string](tab, `document.documentElement.lang`); lang != look.Language {
			t.Errorf("the page speaks %q", lang)
		}
		tab.CheckPage("login")
		typeLogin(tab, w.anna.Login)
		tab.WaitFor(passwordField)
		tab.CheckPage("password")

		tab.Type(passwordField, "not the right password")
		if status := tab.Press("#submit"); status != http.StatusUnauthorized {
			t.Errorf("wrong password: status %d", status)
		}
		tab.WaitFor("[role=alert]")
		wantFocus(t, tab, "[role=alert]")
		tab.CheckPage("wrong-password")

		typePassword(tab, w.anna.Password)
		tab.WaitFor(allowButton)
		tab.CheckPage("consent")
		tab.Press(denyButton)
		if got := w.sent(t, tab); got.Get("error") != "access_denied" || got.Get("iss") != w.server.Issuer || got.Get("state") == "" {
			t.Errorf("after Cancel the application got %v", got)
		}

		tab.Open(w.app.Authorize().URL) // signed in by now: only consent is left
		pressWhenThere(tab, allowButton)
		if got := w.sent(t, tab); got.Get("code") == "" || got.Get("iss") != w.server.Issuer {
			t.Errorf("after Allow the application got %v", got)
		}
	})
}

func TestPagesOfSigningOut(t *testing.T) {
	onEveryLook(t, nil, func(t *testing.T, w pageWorld, look harness.Look) {
		tab := suite.Tab(t, look)
		tab.Open(w.server.Issuer + "/")
		signIn(tab, w.anna)
		tab.WaitURL(w.server.Issuer + "/")
		tab.WaitFor("#submit")
		tab.CheckPage("home")

		// An application that proves nothing: the person is asked.
		ask := w.server.Issuer + "/end_session?" + url.Values{"client_id": {w.app.ID},
			"post_logout_redirect_uri": {w.site + "/bye"}, "state": {"x"}}.Encode()
		tab.Open(ask)
		tab.WaitFor("#stay")
		tab.CheckPage("sign-out")
		tab.Press("#stay")
		tab.WaitURL(w.server.Issuer + "/")
		tab.Open(ask)
		pressWhenThere(tab, "#submit")
		tab.WaitFor("h1")
		if !strings.HasPrefix(tab.URL(), w.site) { // a page of ours may stand in between
			tab.CheckPage("signed-out-with-application")
			pressWhenThere(tab, "#continue")
		}
		tab.WaitURL(w.site + "/bye?")

		tab.Open(w.server.Issuer + "/")
		signIn(tab, w.anna)
		tab.WaitURL(w.server.Issuer + "/")
		pressWhenThere(tab, "#submit")
		tab.WaitFor("h1")
		tab.CheckPage("signed-out")
		if !look.NoScript { // without scripts nobody can tell a browser to forget a page it kept
			wantForgotten(t, tab, w.anna.Login)
		}
		tab.Open(w.server.Issuer + "/")
		tab.WaitFor(loginField)
	})
}

// wantForgotten goes back after signing out: the browser may have kept the home
// page as it was, no-store or not, and must not show it again.
func wantForgotten(t *testing.T, tab *harness.Tab, login string) {
	t.Helper()
	tab.Back()
	harness.Eventually(t, "the page behind the back button shows no account", func() bool {
		return !strings.Contains(harness.Evaluate[string](tab, `document.body.innerText`), login)
	})
}

func TestPagesOfWrongRequests(t *testing.T) {
	onEveryLook(t, nil, func(t *testing.T, w pageWorld, look harness.Look) {
		tab := suite.Tab(t, look)
		status := tab.Open(w.app.Authorize(url.Values{"client_id": {"nobody"}}).URL)
		w.wantError(t, tab, "unknown-client", status, http.StatusBadRequest)

		wrong := w.site + "/another?<b>"
		status = tab.Open(w.app.Authorize(url.Values{"redirect_uri": {wrong}}).URL)
		w.wantError(t, tab, "wrong-redirect-uri", status, http.StatusBadRequest)
		if text := tab.Text("main"); !strings.Contains(text, wrong) {
			t.Errorf("the developer is not shown the address: %s", text)
		}

		status = tab.Open(w.server.Issuer + "/no/such/page")
		w.wantError(t, tab, "not-found", status, http.StatusNotFound)
	})
}

func TestPagesOfAnExpiredSignIn(t *testing.T) {
	onEveryLook(t, harness.Settings{"ttl.sign_in": "1s"}, func(t *testing.T, w pageWorld, look harness.Look) {
		tab := suite.Tab(t, look)
		tab.Open(w.app.Authorize().URL)
		here := tab.WaitURL(w.server.Issuer + "/signin/")
		status := 0
		harness.Eventually(t, "the sign-in has expired", func() bool {
			status = tab.Open(here)
			return status != http.StatusOK
		})
		w.wantError(t, tab, "expired-sign-in", status, http.StatusGone)
		pressWhenThere(tab, "#action") // start again at the application
		tab.WaitURL(w.site + "/")
	})
}

// Back after the end, a second tab, a reload after a form, and the address of a
// sign-in carried to another browser: each ends on a page that says so or goes
// on to the application; none shows a form that leads nowhere.
func TestPagesOfDetours(t *testing.T) {
	onEveryLook(t, nil, func(t *testing.T, w pageWorld, look harness.Look) {
		first := suite.Tab(t, look)
		first.Open(w.app.Authorize().URL)
		second := first.Another()
		second.Open(w.app.Authorize().URL)
		here := second.WaitURL(w.server.Issuer + "/signin/")

		typeLogin(first, w.anna.Login)
		typePassword(first, "not the right password")
		first.WaitFor("[role=alert]")
		first.Reload()
		first.WaitFor("#submit")
		typePassword(first, w.anna.Password)
		first.WaitFor(allowButton)

		stranger := suite.Tab(t, look)
		stranger.Open(w.server.Issuer + "/") // has a browser cookie of its own
		status := stranger.Open(here)
		w.wantError(t, stranger, "other-browser", status, http.StatusForbidden)

		typeLogin(second, w.anna.Login) // the other tab signed in meanwhile
		pressWhenThere(second, allowButton)
		if got := w.sent(t, second); got.Get("code") == "" {
			t.Errorf("second tab: the application got %v", got)
		}
		pressWhenThere(first, allowButton)
		if got := w.sent(t, first); got.Get("code") == "" {
			t.Errorf("first tab: the application got %v", got)
		}

		status = second.Open(here)
		w.wantError(t, second, "closed-sign-in", status, http.StatusGone)
		first.Back()
		first.WaitFor("h1")
		first.CheckPage("back-button")
		if first.Has(allowButton) { // the browser kept the page as it was
			harness.Evaluate[bool](first, fmt.Sprintf(`document.querySelector(%q).click() || true`, allowButton))
			first.WaitFor("#action")
		}
		if first.Has(loginField) || first.Has(passwordField) || first.Has(allowButton) {
			t.Error("the back button ends at a form of a finished sign-in")
		}
	})
}

func TestPagesWithCookiesOff(t *testing.T) {
	w := newPageWorld(t, harness.SQLite, nil)
	for _, look := range []harness.Look{harness.PhoneGermanDark(), harness.DesktopEnglishLight(), harness.DesktopNoScript()} {
		t.Run(look.Name, func(t *testing.T) {
			tab := suite.TabWithoutCookies(t, look)
			status := tab.Open(w.app.Authorize().URL)
			w.wantError(t, tab, "cookies-off", status, http.StatusBadRequest)
		})
	}
}

// wantFocus checks that the keyboard is at the element.
func wantFocus(t *testing.T, tab *harness.Tab, css string) {
	t.Helper()
	at := harness.Evaluate[string](tab, fmt.Sprintf(
		`document.activeElement.matches(%q) ? "" : document.activeElement.outerHTML.slice(0, 200)`, css))
	if at != "" {
		t.Errorf("the keyboard is not at %s but at %s", css, at)
	}
}
