package e2e

import (
	"regexp"
	"strings"
	"testing"

	"simplon/e2e/harness"
)

// serve --demo from nothing: whoever reads the first lines can sign in to one
// application, is known in the other without a password, and signs out of both.
func TestDemo(t *testing.T) {
	harness.OnEachEngine(t, func(t *testing.T, engine harness.Engine) {
		server := suite.StartDemo(t, engine)
		site := regexp.MustCompile(`http://\S+`).FindString(server.WaitLog(t, "Demo applications:"))
		line := strings.Fields(server.WaitLog(t, "@nordwand.example"))
		if site == "" || len(line) < 2 {
			t.Fatalf("printed the site %q and the person %q", site, line)
		}
		lena := harness.Person{Login: line[0], Password: strings.Join(line[1:], " ")}

		tab := suite.Tab(t, harness.DesktopEnglishLight())
		tab.Open(site + "/")
		tab.CheckPage("demo-front")
		tab.Open(site + "/mail/")
		tab.CheckPage("demo-mail-start")
		tab.Press("#signin")
		if !strings.HasPrefix(tab.URL(), server.Issuer+"/signin/") {
			t.Errorf("Nordwand Mail sent the browser to %s", tab.URL())
		}
		signIn(tab, lena)
		tab.WaitURL(site + "/mail/")
		wantSignedInTo(t, tab, lena)
		tab.CheckPage("demo-mail")

		tab.Open(site + "/wiki/")
		tab.Press("#signin")
		tab.WaitURL(site + "/wiki/")
		wantSignedInTo(t, tab, lena)
		tab.CheckPage("demo-wiki")

		tab.Press("#signout")
		tab.WaitURL(site + "/wiki/")
		tab.WaitFor("#signin")
		tab.Open(site + "/mail/")
		tab.WaitFor("#signin")
		tab.Press("#signin")
		tab.WaitFor(loginField)
	})
}

func wantSignedInTo(t *testing.T, tab *harness.Tab, who harness.Person) {
	t.Helper()
	tab.WaitFor("#signout")
	if text := tab.Text("main"); !strings.Contains(text, who.Login) {
		t.Errorf("at %s the page says %s", tab.URL(), text)
	}
}
