package attacks

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// A3: nobody talks the server out of PKCE with S256.
func TestA3PKCECannotBeDowngraded(t *testing.T) {
	onEachTarget(t, func(t *testing.T, at target) {
		public := at.NewPublicApp(t)
		browser := at.NewBrowser(t)
		at.app.SignIn(t, browser, at.anna)
		const good = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
		for what, set := range map[string]url.Values{
			"no challenge":           {"code_challenge": {""}, "code_challenge_method": {""}},
			"method without it":      {"code_challenge": {""}},
			"no method":              {"code_challenge_method": {""}},
			"plain":                  {"code_challenge_method": {"plain"}},
			"junk":                   {"code_challenge_method": {"junk"}},
			"lower case":             {"code_challenge_method": {"s256"}},
			"S512":                   {"code_challenge_method": {"S512"}},
			"a short challenge":      {"code_challenge": {good[:42]}},
			"a long challenge":       {"code_challenge": {strings.Repeat("a", 129)}},
			"padding":                {"code_challenge": {good + "="}},
			"not base64url":          {"code_challenge": {strings.Replace(good, "-", "+", 1)}},
			"white space":            {"code_challenge": {good[:42] + " "}},
			"no challenge, no login": {"code_challenge": {""}, "code_challenge_method": {""}, "prompt": {"none"}},
		} {
			for _, app := range []string{"web", "spa"} {
				client := at.app
				if app == "spa" {
					client = public
				}
				wantToApp(t, app+", "+what, get(t, browser, client.Authorize(set).URL), client.Redirect, "invalid_request")
			}
		}
	})
}

// A3: a stolen code is worth nothing without its verifier, and trying costs the
// owner nothing.
func TestA3StolenCodeNeedsTheVerifier(t *testing.T) {
	onEachTarget(t, func(t *testing.T, at target) {
		public := at.NewPublicApp(t)
		request := public.Authorize()
		back, err := at.NewBrowser(t).SignIn(request.URL, at.anna)
		if err != nil {
			t.Fatal(err)
		}
		asked, err := url.Parse(request.URL)
		if err != nil {
			t.Fatal(err)
		}
		code, challenge := back.Query().Get("code"), asked.Query().Get("code_challenge")
		for what, verifier := range map[string]string{
			"none": "", "the challenge itself": challenge, "another": strings.Repeat("a", 43), "short": "a", "long": strings.Repeat("a", 129),
		} {
			answer, err := public.Redeem(code, verifier)
			wantToken(t, "verifier: "+what, answer, err, http.StatusBadRequest, "invalid_grant")
		}
		if answer, err := public.Redeem(code, request.Verifier); err != nil || answer.Status != http.StatusOK {
			t.Errorf("the owner: %v %+v", err, answer)
		}
	})
}
