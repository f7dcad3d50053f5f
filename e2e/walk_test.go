package e2e

import (
	"strings"
	"testing"

	"simplon/e2e/harness"
)

// signIn types login and password on the pages that the tab is sent to.
func signIn(tab *harness.Tab, who harness.Person) {
	typeLogin(tab, who.Login)
	typePassword(tab, who.Password)
}

// The two pages of a sign-in hold both fields, so that password managers fill
// both; these are the ones for people.
const (
	loginField    = `#login:not([readonly])`
	passwordField = `#password:not([tabindex])`
	allowButton   = `button[name=decision][value=allow]`
	denyButton    = `button[name=decision][value=deny]`
)

func typeLogin(tab *harness.Tab, login string) {
	tab.WaitFor(loginField)
	tab.Type(loginField, login)
	tab.Press("#submit")
}

func typePassword(tab *harness.Tab, password string) {
	tab.WaitFor(passwordField)
	tab.Type(passwordField, password)
	tab.Press("#submit")
}

// pressWhenThere presses a button on the page that the tab is being sent to.
func pressWhenThere(tab *harness.Tab, css string) {
	tab.WaitFor(css)
	tab.Press(css)
}

// coreos/go-oidc and golang.org/x/oauth2, unmodified, as their documentation
// says: sign in, refresh, userinfo, logout.
func TestWalkGoOIDC(t *testing.T) {
	harness.OnEachEngine(t, func(t *testing.T, engine harness.Engine) {
		server := suite.Start(t, engine, nil)
		anna := server.NewPerson(t, "anna@example.org")
		app := newGoApp(t, server.Issuer, "openid", "profile", "email", "offline_access")
		id, secret := server.NewClient(t, "--name", "Nordwand Mail", "--kind", "web",
			"--redirect-uri", app.callback(), "--post-logout-uri", app.goodbye(),
			"--scope", "openid", "--scope", "profile", "--scope", "email", "--scope", "offline_access")
		app.registered(t, id, secret)

		tab := suite.Tab(t, harness.DesktopEnglishLight())
		tab.Open(app.login())
		if !strings.HasPrefix(tab.URL(), server.Issuer+"/signin/") {
			t.Errorf("the application sent the browser to %s", tab.URL())
		}
		signIn(tab, anna)
		pressWhenThere(tab, allowButton)
		tab.WaitURL(app.callback())
		got := app.result(t)
		if got.err != nil {
			t.Fatal(got.err)
		}
		if got.Subject == "" || got.userInfo.Subject != got.Subject {
			t.Errorf("ID token for %q, userinfo for %q", got.Subject, got.userInfo.Subject)
		}
		if got.Email != anna.Login || got.Name != anna.GivenName+" "+anna.FamilyName {
			t.Errorf("userinfo says %q, %q", got.Email, got.Name)
		}
		if got.refreshed.AccessToken == "" || got.refreshed.AccessToken == got.token.AccessToken {
			t.Errorf("the refresh brought no new access token")
		}

		tab.Open(app.logout(got))
		tab.WaitURL(app.goodbye())
		tab.Open(app.login())
		tab.WaitFor(loginField)
	})
}

// openid-client for Node.js, unmodified, as its quick start says.
func TestWalkOpenIDClient(t *testing.T) {
	harness.OnEachEngine(t, func(t *testing.T, engine harness.Engine) {
		server := suite.Start(t, engine, nil)
		anna := server.NewPerson(t, "anna@example.org")
		app := suite.Node(t, "walk.mjs")
		var heard nodeApp
		app.Hear("listening", &heard)
		id, secret := server.NewClient(t, "--name", "Nordwand Wiki", "--kind", "web",
			"--redirect-uri", heard.Listening+"/callback", "--post-logout-uri", heard.Listening+"/bye",
			"--scope", "openid", "--scope", "profile", "--scope", "email", "--scope", "offline_access")
		app.Say(map[string]string{"issuer": server.Issuer, "client_id": id, "client_secret": secret,
			"scope": "openid email offline_access"})

		tab := suite.Tab(t, harness.PhoneGermanDark())
		app.Hear("authorize", &heard)
		tab.Open(heard.Authorize)
		signIn(tab, anna)
		pressWhenThere(tab, allowButton)
		tab.WaitURL(heard.Listening + "/callback")
		app.Hear("claims", &heard)
		if heard.UsedState {
			t.Error("discovery does not say that PKCE is supported")
		}
		if heard.Claims.Subject == "" || heard.Userinfo != heard.Again || heard.Userinfo.Subject != heard.Claims.Subject {
			t.Errorf("%+v", heard)
		}
		if heard.Userinfo.Email != anna.Login {
			t.Errorf("userinfo has the address %q", heard.Userinfo.Email)
		}
		if heard.Tokens.RefreshToken == "" || heard.Refreshed.AccessToken == "" {
			t.Errorf("tokens %+v, refreshed %+v", heard.Tokens, heard.Refreshed)
		}

		app.Hear("logout", &heard)
		tab.Open(heard.Logout)
		tab.WaitURL(heard.Listening + "/bye")
		app.Hear("loggedOut", &heard)
		app.Ended()
	})
}

// nodeApp is what walk.mjs says.
type nodeApp struct {
	Listening, Authorize, Logout string
	UsedState                    bool
	Claims, Userinfo, Again      struct {
		Subject string `json:"sub"`
		Email   string `json:"email"`
	}
	Tokens, Refreshed struct {
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token"`
	}
}
