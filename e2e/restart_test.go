package e2e

import (
	"net/http"
	"testing"

	"simplon/e2e/harness"
)

// What was acknowledged before a power cut is there after it: session, refresh
// token and access token go on, and a spent code stays spent.
func TestRestartAfterKill(t *testing.T) {
	harness.OnEachEngine(t, func(t *testing.T, engine harness.Engine) {
		server := suite.Start(t, engine, nil)
		anna, app := server.NewPerson(t, "anna@example.org"), server.NewApp(t)
		browser := server.NewBrowser(t)
		code, verifier := app.SignIn(t, browser, anna)
		tokens, err := app.Redeem(code, verifier)
		if err != nil || tokens.Status != http.StatusOK {
			t.Fatalf("redeem: %v %+v", err, tokens)
		}
		unspent, unspentVerifier := app.SignIn(t, browser, anna)
		server.Kill(t)
		server.Run(t)

		if status, body, err := app.UserInfo(tokens.AccessToken); err != nil || status != http.StatusOK {
			t.Errorf("access token: %d %s %v", status, body, err)
		}
		if page, err := browser.Get("/"); err != nil || page.ByID("login") != nil {
			t.Errorf("the session is gone (%v)", err)
		}
		if answer, err := app.Refresh(tokens.RefreshToken); err != nil || answer.Status != http.StatusOK {
			t.Errorf("refresh: %v %+v", err, answer)
		}
		if answer, err := app.Redeem(unspent, unspentVerifier); err != nil || answer.Status != http.StatusOK {
			t.Errorf("code from before: %v %+v", err, answer)
		}
		if answer, err := app.Redeem(code, verifier); err != nil || answer.Error != "invalid_grant" {
			t.Errorf("a spent code after the restart: %v %+v", err, answer)
		}
	})
}
