package attacks

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"simplon/e2e/harness"
)

// isSignedIn tells whether the browser has a session.
func isSignedIn(t *testing.T, b *harness.Browser) bool {
	t.Helper()
	return visit(t, b, "/").ByID("login") == nil
}

// A18: a session cookie that somebody planted before the sign-in is not the one
// afterwards, and it opens nothing.
func TestA18SessionCookieChangesAtSignIn(t *testing.T) {
	onEachTarget(t, func(t *testing.T, at target) {
		// What the attacker knows: a session id of a real session, and one made up.
		attacker := at.NewBrowser(t)
		eve := at.NewPerson(t, "eve@example.org")
		at.app.SignIn(t, attacker, eve)
		for what, planted := range map[string]string{
			"made up": strings.Repeat("A", 43), "of the attacker's session": attacker.Cookie("s"),
		} {
			victim := at.NewBrowser(t)
			victim.SetCookie("s", planted)
			at.app.SignIn(t, victim, at.anna, url.Values{"prompt": {"login"}})
			if got := victim.Cookie("s"); got == planted || got == "" {
				t.Errorf("%s: the cookie is still %q", what, got)
			}
			thief := at.NewBrowser(t)
			thief.SetCookie("s", planted)
			if page := visit(t, thief, "/"); strings.Contains(page.Text(), at.anna.Login) {
				t.Errorf("%s: the planted cookie opens the victim's account", what)
			}
		}
	})
}

// A18: proving oneself again makes a new id, and the old one is dead.
func TestA18SessionCookieChangesAtReauthentication(t *testing.T) {
	onEachTarget(t, func(t *testing.T, at target) {
		browser := at.NewBrowser(t)
		at.app.SignIn(t, browser, at.anna)
		before := browser.Cookie("s")
		if len(before) < 43 { // 256 bits in base64url
			t.Errorf("session id of %d characters", len(before))
		}
		at.app.SignIn(t, browser, at.anna, url.Values{"prompt": {"login"}})
		if browser.Cookie("s") == before {
			t.Error("the id stayed the same")
		}
		thief := at.NewBrowser(t)
		thief.SetCookie("s", before)
		if isSignedIn(t, thief) {
			t.Error("the old id still opens the account")
		}
		if !isSignedIn(t, browser) {
			t.Error("the new id does not")
		}
	})
}

// A18: signing out ends the session on the server, not just in the browser.
func TestA18SignOutEndsTheSession(t *testing.T) {
	onEachTarget(t, func(t *testing.T, at target) {
		browser := at.NewBrowser(t)
		at.app.SignIn(t, browser, at.anna)
		kept := browser.Cookie("s")
		if _, err := browser.Submit(form(t, visit(t, browser, "/"), "submit")); err != nil {
			t.Fatal(err)
		}
		browser.SetCookie("s", kept)
		if isSignedIn(t, browser) {
			t.Error("the kept cookie still opens the account")
		}
	})
}

// A18: flags of every cookie that a sign-in sets.
func TestA18CookieFlags(t *testing.T) {
	server := suite.Start(t, harness.SQLite, nil)
	anna, app := server.NewPerson(t, "anna@example.org"), server.NewApp(t)
	browser := server.NewBrowser(t)
	cookies := get(t, browser, app.Authorize().URL).Header.Values("Set-Cookie")
	page, err := browser.ToPassword(app.Authorize().URL, anna.Login)
	if err != nil {
		t.Fatal(err)
	}
	f := form(t, page, "password")
	f.Values.Set("password", anna.Password)
	answer := post(t, browser, f.Action.String(), f.Values, "same-origin")
	cookies = append(cookies, answer.Header.Values("Set-Cookie")...)
	seen := map[string]bool{}
	for _, cookie := range cookies {
		name, _, _ := strings.Cut(cookie, "=")
		seen[name] = true
		for _, flag := range []string{"HttpOnly", "SameSite=Lax", "Path=/"} {
			if !strings.Contains(cookie, flag) {
				t.Errorf("cookie %s without %s: %s", name, flag, cookie)
			}
		}
		if strings.Contains(cookie, "Domain") {
			t.Errorf("cookie %s for a whole domain: %s", name, cookie)
		}
	}
	for _, name := range []string{"b", "s", "d"} {
		if !seen[name] {
			t.Errorf("no cookie %s among %q", name, cookies)
		}
	}
}

// Trap 3: who knows the address of somebody's sign-in gets nothing from it, at
// any step and at the end.
func TestSignInsBelongToTheirBrowser(t *testing.T) {
	onEachTarget(t, func(t *testing.T, at target) {
		victim, attacker := at.NewBrowser(t), at.NewBrowser(t)
		page, err := victim.ToPassword(at.app.Authorize().URL, at.anna.Login)
		if err != nil {
			t.Fatal(err)
		}
		signIn := page.URL
		id := strings.Split(strings.TrimPrefix(signIn.Path, "/signin/"), "/")[0]
		ownToken := form(t, visit(t, attacker, at.app.Authorize().URL), "login").Values.Get("csrf")

		wantPage(t, "the page", get(t, attacker, "/signin/"+id), http.StatusForbidden, "")
		f := form(t, page, "password")
		f.Values.Set("password", at.anna.Password)
		f.Values.Set("csrf", ownToken)
		wantPage(t, "the form", post(t, attacker, f.Action.String(), f.Values, "same-origin"), http.StatusForbidden, "")

		again, err := victim.Get("/signin/" + id)
		if err != nil {
			t.Fatal(err)
		}
		f = form(t, again, "password")
		f.Values.Set("password", at.anna.Password)
		post(t, victim, f.Action.String(), f.Values, "same-origin") // proved, not yet continued
		for _, b := range []*harness.Browser{attacker, at.NewBrowser(t)} {
			page := get(t, b, "/continue?signin="+id)
			if page.Status < 400 || page.Header.Get("Refresh") != "" || page.Header.Get("Location") != "" {
				t.Errorf("the end of somebody else's sign-in: status %d, %v", page.Status, page.Header)
			}
		}
		last, err := victim.Get("/signin/" + id)
		if err != nil || last.Next == nil || last.Next.Query().Get("code") == "" {
			t.Errorf("the victim cannot finish: %v %+v", err, last)
		}
	})
}
