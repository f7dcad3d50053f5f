package e2e

import (
	"fmt"
	"regexp"
	"testing"

	"simplon/e2e/harness"
)

// A21: whoever types a password for an unknown, an existing or a locked account
// gets the same answer for the same work: hashes, statements and bytes are
// counted, nothing is timed.
func TestEnumerationA21(t *testing.T) {
	harness.OnEachEngine(t, func(t *testing.T, engine harness.Engine) {
		server := suite.Start(t, engine, harness.Settings{"lockout.threshold": thresholdText})
		wrong, locked := server.NewPerson(t, "there@example.org"), server.NewPerson(t, "lockd@example.org")
		app := server.NewApp(t)
		for range threshold {
			guess(t, server, app, locked.Login)
		}
		if _, err := server.NewBrowser(t).SignIn(app.Authorize().URL, locked); err == nil {
			t.Fatal("the account was to be locked")
		}

		want := guess(t, server, app, "nobdy@example.org")
		for name, login := range map[string]string{"wrong password": wrong.Login, "locked": locked.Login} {
			if got := guess(t, server, app, login); got != want {
				t.Errorf("%s differs from an unknown account:\n got %+v\nwant %+v", name, got, want)
			}
		}
		if want.password.hashes != 1 {
			t.Errorf("a guess cost %v hashes", want.password.hashes)
		}
	})
}

// trace is what can be seen of one step, and what it cost.
type trace struct {
	status             int
	bytes              int
	body               string
	header             string
	hashes, statements float64
}

// guessTrace is the two steps of a guess. All logins that are compared have the
// same length.
type guessTrace struct{ login, password trace }

// guess goes to the password page in a new browser and types a wrong password.
func guess(t *testing.T, server *harness.Server, app *harness.App, login string) guessTrace {
	t.Helper()
	browser := server.NewBrowser(t)
	page, err := browser.Get(app.Authorize().URL)
	if err != nil {
		t.Fatal(err)
	}
	form, err := page.FormOf("login")
	if err != nil {
		t.Fatal(err)
	}
	form.Values.Set("login", login)
	var g guessTrace
	g.login = traced(t, server, login, func() *harness.Page {
		page, err = browser.Submit(form)
		if err != nil {
			t.Fatal(err)
		}
		return page
	})
	g.password = traced(t, server, login, func() *harness.Page {
		page, err := browser.GivePassword(page, "not the right password")
		if err != nil {
			t.Fatal(err)
		}
		return page
	})
	return g
}

func traced(t *testing.T, server *harness.Server, login string, step func() *harness.Page) trace {
	t.Helper()
	before := server.Metrics(t)
	page := step()
	after := server.Metrics(t)
	for _, name := range []string{hashMetric, sqlMetric} {
		if !after.Has(name) {
			t.Fatalf("no metric %s", name)
		}
	}
	return trace{
		status: page.Status, bytes: len(page.Body), body: anonymous(string(page.Body), login),
		header: fmt.Sprint(len(page.Header), page.Header.Values("Set-Cookie"), page.Header.Get("Cache-Control")),
		hashes: after.Sum(hashMetric) - before.Sum(hashMetric), statements: after.Sum(sqlMetric) - before.Sum(sqlMetric),
	}
}

// anonymous replaces what differs between two guesses for one account too: ids
// and the form token. Their lengths are compared as part of the page's.
func anonymous(body, login string) string {
	for _, pattern := range []string{`/signin/[A-Za-z0-9_-]+`, `name="?csrf"? value="?[A-Za-z0-9_-]+`,
		`\([^()]*[A-Z0-9]{4}-[A-Z0-9]{4}\)`, regexp.QuoteMeta(login)} {
		body = regexp.MustCompile(pattern).ReplaceAllString(body, "…")
	}
	return body
}
