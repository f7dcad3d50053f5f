package attacks

import (
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"simplon/e2e/harness"
)

// trust.md, Cookies: a POST from another site to /authorize or /end_session sets
// and reads no cookie; its parameters come back through a handle that works
// once, on the same path.
func TestCrossSitePostsUseNoCookie(t *testing.T) {
	onEachTarget(t, func(t *testing.T, at target) {
		browser := at.NewBrowser(t)
		at.app.SignIn(t, browser, at.anna)
		asked, err := url.Parse(at.app.Authorize(url.Values{"prompt": {"none"}}).URL)
		if err != nil {
			t.Fatal(err)
		}
		for path, values := range map[string]url.Values{
			"/authorize":   asked.Query(),
			"/end_session": {"client_id": {at.app.ID}},
		} {
			// The jar sends its cookies although the site is another: a browser
			// without SameSite. Still nobody may look at them.
			page := post(t, browser, path, values, "cross-site")
			to, err := asked.Parse(page.Header.Get("Location"))
			if err != nil || page.Status != http.StatusSeeOther || to.Host != asked.Host || to.Path != path {
				t.Fatalf("POST %s: status %d to %s: %s", path, page.Status, to, page.Text())
			}
			if set := page.Header.Values("Set-Cookie"); len(set) != 0 {
				t.Errorf("POST %s sets cookies %q", path, set)
			}
			if strings.Contains(to.RawQuery, at.app.ID) || to.Query().Get("code") != "" {
				t.Errorf("POST %s carries on %s", path, to.RawQuery)
			}
			other := map[string]string{"/authorize": "/end_session", "/end_session": "/authorize"}[path]
			if page := get(t, at.NewBrowser(t), other+"?"+to.RawQuery); page.Status != http.StatusBadRequest {
				t.Errorf("the handle of %s works at %s: status %d", path, other, page.Status)
			}
			first := get(t, browser, to.String())
			if path == "/authorize" && !strings.Contains(first.Header.Get("Location"), "code=") {
				t.Errorf("the handle of a signed-in person: status %d to %q", first.Status, first.Header.Get("Location"))
			}
			wantPage(t, "the handle of "+path+" again", get(t, browser, to.String()), http.StatusBadRequest, "")
		}
	})
}

// formOnPage is one form of ours that changes something, with the browser it was
// shown to.
type formOnPage struct {
	form    *harness.Form
	browser *harness.Browser
}

// everyForm opens each page of this slice that has a POST form.
func everyForm(t *testing.T, at target) map[string]formOnPage {
	t.Helper()
	forms := map[string]formOnPage{}
	add := func(b *harness.Browser, page *harness.Page) {
		for _, f := range page.Forms() {
			if f.Method == http.MethodPost {
				forms[shape(f.Action.Path)] = formOnPage{f, b}
			}
		}
	}
	stranger := at.NewBrowser(t)
	page := visit(t, stranger, at.app.Authorize().URL)
	add(stranger, page)
	password, err := at.NewBrowser(t), error(nil)
	if page, err = password.ToPassword(at.app.Authorize().URL, at.anna.Login); err != nil {
		t.Fatal(err)
	}
	add(password, page)

	id, secret := at.NewClient(t, "--name", "Third Party", "--kind", "web", "--redirect-uri", at.app.Redirect)
	third := at.AppOf(t, id, secret, at.app.Redirect)
	consent := at.NewBrowser(t)
	at.app.SignIn(t, consent, at.anna)
	add(consent, visit(t, consent, third.Authorize().URL))
	add(consent, visit(t, consent, "/"))
	add(consent, visit(t, consent, "/end_session"))

	link, err := os.ReadFile(filepath.Join(at.DataDir, "setup-link"))
	if err != nil {
		t.Fatal(err)
	}
	setup := at.NewBrowser(t)
	add(setup, visit(t, setup, strings.TrimSpace(string(link))))
	return forms
}

// shape is a path without its ids.
func shape(path string) string {
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if len(part) > 20 {
			parts[i] = "ID"
		}
	}
	return strings.Join(parts, "/")
}

// A19: every form of ours is refused when it comes from elsewhere, without its
// token, with another browser's token, or without the browser's cookie.
func TestA19EveryFormIsBoundToItsBrowser(t *testing.T) {
	onEachTarget(t, func(t *testing.T, at target) {
		forms := everyForm(t, at)
		for _, path := range []string{"/signin/ID/login", "/signin/ID/password", "/signin/ID/change", "/signin/ID/consent", "/sign-out", "/end_session/confirm"} {
			if _, ok := forms[path]; !ok {
				t.Errorf("no page has the form of %s; found %v", path, len(forms))
			}
		}
		foreign := form(t, visit(t, at.NewBrowser(t), at.app.Authorize().URL), "login").Values.Get("csrf")
		if foreign == "" {
			t.Fatal("a form without a token")
		}
		for path, f := range forms {
			for what, attack := range map[string]struct {
				browser *harness.Browser
				site    string
				token   string
			}{
				"from another site":             {f.browser, "cross-site", f.form.Values.Get("csrf")},
				"from a sibling host":           {f.browser, "same-site", f.form.Values.Get("csrf")},
				"without a token":               {f.browser, "same-origin", ""},
				"with another browser's token":  {f.browser, "same-origin", foreign},
				"without cookies":               {at.NewBrowser(t), "same-origin", f.form.Values.Get("csrf")},
				"with a token that nobody made": {f.browser, "same-origin", strings.Repeat("A", len(foreign))},
			} {
				values := maps.Clone(f.form.Values)
				values.Set("csrf", attack.token)
				values.Set("decision", "allow")
				page := post(t, attack.browser, f.form.Action.String(), values, attack.site)
				wantPage(t, path+" "+what, page, http.StatusForbidden, "")
			}
			old := f.browser
			old.Header.Set("Origin", "https://attacker.example")
			page := post(t, old, f.form.Action.String(), f.form.Values, "")
			wantPage(t, path+" from an old browser at another site", page, http.StatusForbidden, "")
			old.Header.Del("Origin")
			for _, method := range []string{"application/json", "text/plain", "multipart/form-data; boundary=x"} {
				old.Header.Set("Content-Type", method)
				page := post(t, old, f.form.Action.String(), f.form.Values, "same-origin")
				wantPage(t, path+" as "+method, page, http.StatusUnsupportedMediaType, "")
			}
			old.Header.Del("Content-Type")
		}
		if page := visit(t, forms["/sign-out"].browser, "/"); page.ByID("login") != nil {
			t.Error("one of the attacks signed the person out")
		}
	})
}

// Rule 15: asking for a form's address by GET does nothing.
func TestFormsDoNotAnswerGET(t *testing.T) {
	server := suite.Start(t, harness.SQLite, nil)
	at := target{server, server.NewPerson(t, "anna@example.org"), server.NewApp(t)}
	for path, f := range everyForm(t, at) {
		if strings.HasPrefix(path, "/setup") { // the same address shows the form
			continue
		}
		page := get(t, f.browser, f.form.Action.String()+"?"+f.form.Values.Encode())
		wantPage(t, path, page, http.StatusMethodNotAllowed, "")
	}
}

// A19, A36: every page carries the policy of ui.md, and no page is kept.
func TestPagesCarryTheirPolicy(t *testing.T) {
	server := suite.Start(t, harness.SQLite, nil)
	at := target{server, server.NewPerson(t, "anna@example.org"), server.NewApp(t)}
	signedIn := at.NewBrowser(t)
	at.app.SignIn(t, signedIn, at.anna)
	for _, address := range []string{at.app.Authorize(url.Values{"prompt": {"login"}}).URL, "/", "/end_session", "/no/such/page",
		at.app.Authorize(url.Values{"client_id": {"nobody"}}).URL, at.app.Authorize(url.Values{"redirect_uri": {"https://x.example"}}).URL} {
		page := visit(t, signedIn, address)
		policy := page.Header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "base-uri 'none'", "frame-ancestors 'none'",
			"form-action 'self'", "require-trusted-types-for 'script'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: no %s in %q", address, part, policy)
			}
		}
		for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
			"Cache-Control": "no-store", "Cross-Origin-Resource-Policy": "same-origin"} {
			if got := page.Header.Get(name); !strings.Contains(got, want) {
				t.Errorf("%s: %s is %q", address, name, got)
			}
		}
	}
}
