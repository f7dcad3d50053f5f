// Package attacks owns what strangers try: each test says what an attacker
// hopes for, does it against the running binary, and names the requirement that
// stands against it. The walks of honest applications are in e2e.
package attacks

import (
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"simplon/e2e/harness"
)

// suite is what the tests of this package share; set once by TestMain.
var suite *harness.Suite

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, func(s *harness.Suite) { suite = s }))
}

// target is a server with a person and one of our own applications.
type target struct {
	*harness.Server
	anna harness.Person
	app  *harness.App
}

// onEachTarget runs a test against a fresh server on each engine.
func onEachTarget(t *testing.T, attack func(t *testing.T, at target)) {
	harness.OnEachEngine(t, func(t *testing.T, engine harness.Engine) {
		server := suite.Start(t, engine, nil)
		attack(t, target{server, server.NewPerson(t, "anna@example.org"), server.NewApp(t, "--post-logout-uri", goodbye)})
	})
}

// goodbye is where the application wants people after a sign-out.
const goodbye = "https://app.example/bye"

// get asks once, as a link on a foreign site would.
func get(t *testing.T, b *harness.Browser, address string) *harness.Page {
	t.Helper()
	page, err := b.GetOnce(address)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// post sends a form once; see harness.Browser.PostOnce for site.
func post(t *testing.T, b *harness.Browser, address string, values url.Values, site string) *harness.Page {
	t.Helper()
	page, err := b.PostOnce(address, values, site)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// visit follows an address within the server's origin.
func visit(t *testing.T, b *harness.Browser, address string) *harness.Page {
	t.Helper()
	page, err := b.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	return page
}

// form returns the form of a page that holds the element.
func form(t *testing.T, page *harness.Page, id string) *harness.Form {
	t.Helper()
	f, err := page.FormOf(id)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// wantPage checks that the answer is a page of ours with that status and leads
// nowhere: no redirect, no refresh, no link to the attacker's address.
func wantPage(t *testing.T, what string, page *harness.Page, status int, address string) {
	t.Helper()
	if page.Status != status {
		t.Errorf("%s: status %d, want %d", what, page.Status, status)
	}
	for _, name := range []string{"Location", "Refresh"} {
		if to := page.Header.Get(name); to != "" {
			t.Errorf("%s: %s: %s", what, name, to)
		}
	}
	if !strings.HasPrefix(page.Header.Get("Content-Type"), "text/html") {
		t.Errorf("%s: Content-Type %q", what, page.Header.Get("Content-Type"))
	}
	if address != "" && page.LinksTo(address) {
		t.Errorf("%s: the page links to %s", what, address)
	}
}

// wantToApp checks that the answer goes to the application with that OAuth
// error and returns the parameters.
func wantToApp(t *testing.T, what string, page *harness.Page, redirect, wantError string) url.Values {
	t.Helper()
	to, err := url.Parse(page.Header.Get("Location"))
	if err != nil || page.Status != http.StatusSeeOther || !strings.HasPrefix(to.String(), redirect) {
		t.Errorf("%s: status %d to %q: %s", what, page.Status, to, page.Text())
		return url.Values{}
	}
	if got := to.Query().Get("error"); got != wantError {
		t.Errorf("%s: error %q, want %q (%s)", what, got, wantError, to.Query().Get("error_description"))
	}
	if to.Query().Get("code") != "" {
		t.Errorf("%s: a code was issued", what)
	}
	return to.Query()
}

// wantToken checks the answer of the token endpoint to something that must fail.
func wantToken(t *testing.T, what string, answer harness.TokenAnswer, err error, status int, code string) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	if answer.Status != status || answer.Error != code || answer.AccessToken != "" {
		t.Errorf("%s: status %d, %s; want %d, %s", what, answer.Status, answer.Body, status, code)
	}
	if got := answer.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("%s: Cache-Control %q", what, got)
	}
}
