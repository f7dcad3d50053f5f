package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"simplon/e2e/harness"
)

// From an empty data folder to a signed-in administrator, by the one-time link.
func TestSetupLink(t *testing.T) {
	harness.OnEachEngine(t, func(t *testing.T, engine harness.Engine) {
		server := suite.Start(t, engine, nil)
		link := setupLink(t, server)

		// A mail scanner or a preview opens the link: that spends nothing.
		if page, err := server.NewBrowser(t).Get(link); err != nil || page.ByID("login") == nil {
			t.Fatalf("open the link: %v", err)
		}
		lateBrowser := server.NewBrowser(t)
		late, err := lateBrowser.Get(link)
		if err != nil {
			t.Fatal(err)
		}

		tab := suite.Tab(t, harness.DesktopEnglishLight())
		tab.Open(link)
		tab.WaitFor("#name")
		tab.CheckPage("setup")
		chief := harness.Person{Login: "chief@example.org", Password: "over the pass before noon"}
		tab.Type("#name", "Ada Admin")
		tab.Type("#login", chief.Login)
		tab.Type("#password", "short")
		tab.Press("#submit")
		tab.WaitFor("[role=alert]")
		wantFocus(t, tab, "[role=alert]")
		tab.CheckPage("setup-problem")
		tab.Type("#password", chief.Password)
		tab.Press("#submit")
		tab.WaitFor("#continue")
		tab.CheckPage("setup-done")
		tab.Press("#continue")
		if tab.Has(loginField) { // else the page knows who was just made
			typeLogin(tab, chief.Login)
		}
		typePassword(tab, chief.Password)
		tab.WaitURL(server.Issuer + "/")
		if text := tab.Text("main"); !strings.Contains(text, "Administrator") || !strings.Contains(text, chief.Login) {
			t.Errorf("the home page says %s", text)
		}

		wantSpentLink(t, server, link, lateBrowser, late)
	})
}

// setupLink waits for the file with the link and checks that nobody else may
// read it.
func setupLink(t *testing.T, server *harness.Server) string {
	t.Helper()
	path := filepath.Join(server.DataDir, "setup-link")
	var text []byte
	harness.Eventually(t, "the file setup-link is there", func() bool {
		var err error
		text, err = os.ReadFile(path)
		return err == nil && len(text) > 0
	})
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("setup-link has mode %v", info.Mode().Perm())
	}
	link := strings.TrimSpace(string(text))
	if !strings.HasPrefix(link, server.Issuer+"/") {
		t.Fatalf("setup-link holds %q", link)
	}
	return link
}

// wantSpentLink checks that neither the link nor a form that was opened in time
// makes a second administrator.
func wantSpentLink(t *testing.T, server *harness.Server, link string, lateBrowser *harness.Browser, late *harness.Page) {
	t.Helper()
	page, err := server.NewBrowser(t).Get(link)
	if err != nil {
		t.Fatal(err)
	}
	if page.Status < 400 || page.ByID("password") != nil {
		t.Errorf("the link works twice: status %d: %s", page.Status, page.Text())
	}
	form, err := late.FormOf("login")
	if err != nil {
		t.Fatal(err)
	}
	form.Values.Set("name", "Eve")
	form.Values.Set("login", "eve@example.org")
	form.Values.Set("password", "over the pass before noon")
	again, err := lateBrowser.Submit(form)
	if err != nil {
		t.Fatal(err)
	}
	if again.Status < 400 {
		t.Errorf("a late form is taken: status %d: %s", again.Status, again.Text())
	}
	if got := server.Command(t, "", "account", "show", "eve@example.org"); got.Code != 3 {
		t.Errorf("account show of nobody: exit code %d", got.Code)
	}
}
