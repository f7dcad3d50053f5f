package e2e

import (
	"errors"
	"testing"

	"simplon/e2e/harness"
)

const (
	guesses          = 200
	guessMetric      = "simplon_password_guesses_total"
	hashMetric       = "simplon_password_hashes_total"
	sqlMetric        = "simplon_sql_statements_total"
	threshold        = 5
	thresholdText    = "5"
	preparingAtATime = 10
)

// A22: of 200 guesses at once, at most the threshold is evaluated; then not even
// the right password opens the account for a browser it does not know, and a
// browser it knows goes on as if nothing had happened.
func TestLockoutA22(t *testing.T) {
	settings := harness.Settings{"lockout.threshold": thresholdText}
	onEveryFleet(t, settings, func(t *testing.T, nodes []*harness.Server) {
		anna := nodes[0].NewPerson(t, "anna@example.org")
		app := nodes[0].NewApp(t)
		known := nodes[0].NewBrowser(t)
		app.Tokens(t, known, anna)
		known.SetCookie("s", "") // the browser was closed: the session is gone, the device stays

		pages, browsers := passwordPages(t, nodes, app, anna.Login)
		before := evaluated(t, nodes, "wrong")
		failures := harness.AtOnce(guesses, func(i int) error {
			page, err := browsers[i].GivePassword(pages[i], "not the password of anna")
			if err == nil && page.Next != nil {
				err = errors.New("a wrong password was let in")
			}
			return err
		})
		if err := errors.Join(failures...); err != nil {
			t.Fatal(err)
		}
		wrong := evaluated(t, nodes, "wrong") - before
		if wrong < 1 || wrong > threshold {
			t.Errorf("%v of %d guesses were evaluated, the threshold is %d", wrong, guesses, threshold)
		}

		last := nodes[len(nodes)-1]
		right := evaluated(t, nodes, "right")
		if _, err := last.NewBrowser(t).SignIn(app.Authorize().URL, anna); !errors.Is(err, harness.ErrRefused) {
			t.Errorf("the right password from an unknown browser in a locked lane: %v", err)
		}
		if after := evaluated(t, nodes, "right"); after != right {
			t.Errorf("the locked lane evaluated %v guesses", after-right)
		}
		if _, err := known.Via(t, last).SignIn(app.Authorize().URL, anna); err != nil {
			t.Errorf("the known browser is locked out by strangers: %v", err)
		}
	})
}

// passwordPages opens as many browsers as there will be guesses and takes each
// to the page that asks for the password.
func passwordPages(t *testing.T, nodes []*harness.Server, app *harness.App, login string) ([]*harness.Page, []*harness.Browser) {
	t.Helper()
	pages, browsers := make([]*harness.Page, guesses), make([]*harness.Browser, guesses)
	failures := harness.AtOnce(preparingAtATime, func(worker int) error {
		for i := worker; i < guesses; i += preparingAtATime {
			browsers[i] = nodes[i%len(nodes)].NewBrowser(t)
			var err error
			if pages[i], err = browsers[i].ToPassword(app.Authorize().URL, login); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(failures...); err != nil {
		t.Fatal(err)
	}
	return pages, browsers
}

// evaluated counts the guesses with that verdict on all nodes together.
func evaluated(t *testing.T, nodes []*harness.Server, verdict string) float64 {
	t.Helper()
	sum := 0.0
	for _, node := range nodes {
		samples := node.Metrics(t)
		if !samples.Has(guessMetric) {
			t.Fatalf("no metric %s", guessMetric)
		}
		sum += samples.Sum(guessMetric, `verdict="`+verdict+`"`)
	}
	return sum
}
