package attacks

import (
	"net/http"
	"net/url"
	"testing"

	"simplon/e2e/harness"
)

// The registered addresses of the application under attack.
const (
	registered      = "https://app.example/a/cb"
	registeredQuery = "https://app.example/q?x=a+b"
)

// nearMisses look like a registered address to something that decodes twice,
// folds case, cleans paths or compares beginnings.
func nearMisses() []string {
	return []string{
		"https://app.example/a%2Fcb", "https://app.example/a%2fcb", "https://app.example/%61/cb",
		"https://app.example/a/cb/", "https://app.example/a//cb", "https://app.example/a/./cb", "https://app.example/b/../a/cb",
		"https://app.example/A/cb", "https://APP.example/a/cb", "HTTPS://app.example/a/cb", "http://app.example/a/cb",
		"https://app.example:443/a/cb", "https://app.example:8443/a/cb", "https://app.example./a/cb",
		"https://anna@app.example/a/cb", "https://app.example@attacker.example/a/cb", "https://app.example.attacker.example/a/cb",
		"https://attacker.example/https://app.example/a/cb", "https://attacker.example#https://app.example/a/cb",
		"https://app.example/a/cb#", "https://app.example/a/cb#x", "https://app.example/a/cb?", "https://app.example/a/cb?x=1",
		"https://app.example/a/cb&x=1", "https://app.example/a/cb;x", "https://app.example/a/cb ", " https://app.example/a/cb",
		"https://app.example/a/cb\n", "https://app.example/a/cb\x00", "https://app.example/a/cb%00", "https://app.example/a",
		"https://app.example/q?x=a%2Bb", "https://app.example/q?x=a b", "https://app.example/q?x=a%20b", "https://app.example/q",
		"//app.example/a/cb", "https:/\\app.example/a/cb", `https:\\app.example\a\cb`, "/a/cb", "https://*/a/cb",
		"javascript:alert(1)", "data:text/html,x", "", "https://[::1]/a/cb",
	}
}

// A1, A2: an address that is not byte for byte a registered one never gets the
// browser, whatever else is wrong with the request and however it came.
func TestA1RedirectURINearMissesGetAPage(t *testing.T) {
	onEachTarget(t, func(t *testing.T, at target) {
		id, secret := at.NewClient(t, "--name", "Target", "--kind", "web", "--redirect-uri", registered,
			"--redirect-uri", registeredQuery, "--first-party")
		app := at.AppOf(t, id, secret, registered)
		signedIn := at.NewBrowser(t)
		app.SignIn(t, signedIn, at.anna)

		for _, address := range nearMisses() {
			for what, extra := range map[string]url.Values{
				"plain":                 {},
				"prompt none":           {"prompt": {"none"}},
				"unknown response type": {"response_type": {"token"}},
				"no PKCE":               {"code_challenge": {""}, "code_challenge_method": {""}},
				"form_post":             {"response_mode": {"form_post"}},
			} {
				request := app.Authorize(extra, url.Values{"redirect_uri": {address}})
				wantPage(t, what+" "+address, get(t, signedIn, request.URL), http.StatusBadRequest, address)
			}
			query, _ := url.Parse(app.Authorize(url.Values{"redirect_uri": {address}}).URL)
			page := post(t, signedIn, "/authorize", query.Query(), "cross-site")
			wantPage(t, "POST "+address, page, http.StatusBadRequest, address)
		}
	})
}

// The addresses as registered do work, the plus in a query included: a server
// that decodes once more would refuse it.
func TestA1RegisteredRedirectURIsWork(t *testing.T) {
	onEachTarget(t, func(t *testing.T, at target) {
		id, secret := at.NewClient(t, "--name", "Target", "--kind", "web", "--redirect-uri", registered,
			"--redirect-uri", registeredQuery, "--first-party")
		for _, address := range []string{registered, registeredQuery} {
			app := at.AppOf(t, id, secret, address)
			tokens := app.Tokens(t, at.NewBrowser(t), at.anna)
			if tokens.AccessToken == "" {
				t.Errorf("%s: no token", address)
			}
		}
	})
}

// RFC 8252, 7.3: for an installed program the port of a loopback address is
// free, and nothing else is.
func TestA1NativeLoopbackFreesOnlyThePort(t *testing.T) {
	onEachTarget(t, func(t *testing.T, at target) {
		id, _ := at.NewClient(t, "--name", "Program", "--kind", "native", "--first-party",
			"--redirect-uri", "http://127.0.0.1/cb", "--redirect-uri", "org.example.program:/cb")
		ask := func(address string) *harness.Page {
			app := at.AppOf(t, id, "", address)
			return get(t, at.NewBrowser(t), app.Authorize(url.Values{"prompt": {"none"}}).URL)
		}
		for _, address := range []string{"http://127.0.0.1/cb", "http://127.0.0.1:51004/cb", "org.example.program:/cb"} {
			wantToApp(t, address, ask(address), address, "login_required")
		}
		for _, address := range []string{
			"http://localhost:51004/cb", "http://[::1]:51004/cb", "https://127.0.0.1:51004/cb", "http://127.0.0.2:51004/cb",
			"http://127.0.0.1:51004/cb/", "http://127.0.0.1:51004/cb?x=1", "http://127.0.0.1:51004/cb#x",
			"http://anna@127.0.0.1:51004/cb", "http://127.0.0.1:51004@attacker.example/cb", "http://127.0.0.1.attacker.example/cb",
			"http://127.0.0.1:port/cb", "http://127.0.0.1:/../cb", "http://127.1:51004/cb", "http://2130706433:51004/cb",
			"org.example.program:/cb/", "org.example.program://attacker.example/cb",
		} {
			wantPage(t, address, ask(address), http.StatusBadRequest, address)
		}
	})
}

// A1: what could match more than itself is refused when it is registered.
func TestA1RegistrationRefusesLooseRedirectURIs(t *testing.T) {
	server := suite.Start(t, harness.SQLite, nil)
	for _, address := range []string{
		"https://*.example/cb", "https://app.example/*", "https://app.example/cb#x", "https://anna@app.example/cb",
		"http://app.example/cb", "ftp://app.example/cb", "javascript:alert(1)", "app:/cb", "org.example.app:/cb", "/cb", "https://",
	} {
		for _, flag := range []string{"--redirect-uri", "--post-logout-uri"} {
			args := []string{"client", "create", "--name", "Loose", "--kind", "web", flag, address}
			if flag != "--redirect-uri" {
				args = append(args, "--redirect-uri", registered)
			}
			if got := server.Command(t, "", args...); got.Code == 0 {
				t.Errorf("%s %s is taken", flag, address)
			}
		}
	}
}

// A2: where people go after a sign-out is registered as well.
func TestA2PostLogoutRedirectIsNoOpenRedirect(t *testing.T) {
	onEachTarget(t, func(t *testing.T, at target) {
		browser := at.NewBrowser(t)
		tokens := at.app.Tokens(t, browser, at.anna)
		for _, address := range []string{"https://attacker.example/", goodbye + "/", goodbye + "?x", "https://app.example/by%65",
			"https://app.example/callback", "//attacker.example", "javascript:alert(1)", "https://app.example@attacker.example/bye"} {
			for what, values := range map[string]url.Values{
				"hint":   {"id_token_hint": {tokens.IDToken}},
				"client": {"client_id": {at.app.ID}},
				"none":   {},
			} {
				values.Set("post_logout_redirect_uri", address)
				wantPage(t, what+" "+address, get(t, browser, "/end_session?"+values.Encode()), http.StatusBadRequest, address)
			}
		}
		if page := visit(t, browser, "/"); page.ByID("submit") == nil || page.ByID("login") != nil {
			t.Error("a refused sign-out signed the person out")
		}
		state := "x\r\nSet-Cookie: s=attacker"
		page := get(t, browser, "/end_session?"+url.Values{"id_token_hint": {tokens.IDToken},
			"post_logout_redirect_uri": {goodbye}, "state": {state}}.Encode())
		to, err := url.Parse(page.Header.Get("Location"))
		if err != nil || page.Status != http.StatusSeeOther || to.Query().Get("state") != state {
			t.Errorf("sign-out with the hint: status %d to %s (%v)", page.Status, to, err)
		}
	})
}
