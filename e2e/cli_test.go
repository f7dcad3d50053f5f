package e2e

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"simplon/e2e/harness"
)

// The commands of an operator, through the admin socket of a running server and,
// with none, on the data folder itself: the same verbs, the same answers.
func TestCommands(t *testing.T) {
	harness.OnEachEngine(t, func(t *testing.T, engine harness.Engine) {
		server := suite.Start(t, engine, nil)
		for _, running := range []bool{true, false} {
			how := "through the admin socket"
			if !running {
				how = "without a server"
				server.Stop(t)
			}
			t.Run(how, func(t *testing.T) {
				walkAccounts(t, server, running)
				walkClients(t, server)
			})
		}
		server.Run(t)
		wantPrivateFiles(t, server.DataDir)
	})
}

func walkAccounts(t *testing.T, server *harness.Server, running bool) {
	login := "first@example.org"
	if !running {
		login = "second@example.org"
	}
	anna := server.NewPerson(t, login)
	var shown struct {
		ID, Login   string
		HasPassword bool `json:"has_password"`
	}
	server.CommandJSON(t, &shown, "", "account", "show", strings.ToUpper(login))
	if shown.ID != anna.ID || shown.Login != login || !shown.HasPassword {
		t.Errorf("account show: %+v", shown)
	}
	var all []struct{ ID string }
	server.CommandJSON(t, &all, "", "account", "list")
	if len(all) == 0 || all[len(all)-1].ID != anna.ID {
		t.Errorf("account list: %+v does not end in %s", all, anna.ID)
	}
	if text := server.Command(t, "", "account", "list"); !strings.Contains(text.Stdout, login) {
		t.Errorf("account list for people: %+v", text)
	}
	for what, c := range map[string]struct {
		stdin string
		args  []string
		code  int
		says  string
	}{
		"taken":          {"another good passphrase\n", []string{"account", "create", "--login", login, "--password-stdin"}, 1, "exists already"},
		"no address":     {"", []string{"account", "create", "--login", "nobody"}, 1, "not a valid e-mail address"},
		"short password": {"short\n", []string{"account", "create", "--login", "b@example.org", "--password-stdin"}, 1, "at least 15"},
		"empty password": {"\n", []string{"account", "create", "--login", "b@example.org", "--password-stdin"}, 2, "empty"},
		"no login":       {"", []string{"account", "create"}, 2, "--login"},
		"password flag":  {"", []string{"account", "create", "--login", "b@example.org", "--password", "x"}, 2, "--password"},
		"unknown verb":   {"", []string{"account", "burn"}, 2, "burn"},
		"unknown person": {"", []string{"account", "show", "ghost@example.org"}, 3, "no account"},
		"unknown client": {"", []string{"client", "show", "app_0"}, 3, "no application"},
	} {
		got := server.Command(t, c.stdin, c.args...)
		if got.Code != c.code || !strings.Contains(got.Stderr, c.says) || got.Stdout != "" {
			t.Errorf("%s: %+v, want code %d and %q on standard error", what, got, c.code, c.says)
		}
	}
}

func walkClients(t *testing.T, server *harness.Server) {
	id, secret := server.NewClient(t, "--name", "Nordwand Wiki", "--redirect-uri", "https://wiki.example/cb")
	if secret == "" {
		t.Fatal("a web application got no secret")
	}
	shown := server.Command(t, "", "client", "show", id, "--json")
	if shown.Code != 0 || strings.Contains(shown.Stdout, secret) || strings.Contains(shown.Stdout, `"secret"`) {
		t.Errorf("client show: %+v", shown)
	}
	if list := server.Command(t, "", "client", "list"); !strings.Contains(list.Stdout, id) {
		t.Errorf("client list: %+v", list)
	}
	if asked := server.Command(t, "", "client", "rotate-secret", id); asked.Code != 2 || !strings.Contains(asked.Stderr, "--yes") {
		t.Errorf("rotate-secret without --yes: %+v", asked)
	}
	var rotated struct{ ID, Secret string }
	server.CommandJSON(t, &rotated, "", "client", "rotate-secret", id, "--yes")
	if rotated.ID != id || rotated.Secret == "" || rotated.Secret == secret {
		t.Error("rotate-secret gave no new secret")
	}
	public, none := server.NewClient(t, "--name", "Single page", "--kind", "spa", "--redirect-uri", "https://spa.example/cb")
	if none != "" {
		t.Error("a single-page application got a secret")
	}
	for what, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"wildcard":          {[]string{"client", "create", "--name", "X", "--redirect-uri", "https://*.example/cb"}, 1, "'*'"},
		"http":              {[]string{"client", "create", "--name", "X", "--redirect-uri", "http://wiki.example/cb"}, 1, "https"},
		"fragment":          {[]string{"client", "create", "--name", "X", "--redirect-uri", "https://wiki.example/cb#x"}, 1, "fragment"},
		"script":            {[]string{"client", "create", "--name", "X", "--kind", "native", "--redirect-uri", "javascript:alert"}, 1, "reversed domain name"},
		"public, no PKCE":   {[]string{"client", "create", "--name", "X", "--kind", "spa", "--redirect-uri", "https://x.example/", "--insecure-pkce-optional"}, 1, "PKCE"},
		"kind":              {[]string{"client", "create", "--name", "X", "--kind", "toaster", "--redirect-uri", "https://x.example/"}, 2, "kind"},
		"secret of public":  {[]string{"client", "rotate-secret", public, "--yes"}, 1, "no secret"},
		"secret of nothing": {[]string{"client", "rotate-secret", "app_0", "--yes"}, 3, "no application"},
	} {
		got := server.Command(t, "", c.args...)
		if got.Code != c.code || !strings.Contains(got.Stderr, c.says) {
			t.Errorf("%s: %+v, want code %d and %q", what, got, c.code, c.says)
		}
	}
}

// wantPrivateFiles checks that nobody else on the machine can read or write
// anything in the data folder.
func wantPrivateFiles(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if mode := info.Mode().Perm(); mode&0o077 != 0 && path != dir {
			t.Errorf("%s has mode %o", path, mode)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A rotated secret is refused at once by the running server, the new one taken.
func TestRotatedSecretWorksAtOnce(t *testing.T) {
	harness.OnEachEngine(t, func(t *testing.T, engine harness.Engine) {
		server := suite.Start(t, engine, nil)
		anna := server.NewPerson(t, "anna@example.org")
		app := server.NewApp(t)
		var rotated struct{ Secret string }
		server.CommandJSON(t, &rotated, "", "client", "rotate-secret", app.ID, "--yes")
		b := server.NewBrowser(t)
		code, verifier := app.SignIn(t, b, anna)
		if answer, err := app.Redeem(code, verifier); err != nil || answer.Status != 401 {
			t.Errorf("the old secret: %v, status %d", err, answer.Status)
		}
		app.Secret = rotated.Secret
		if answer, err := app.Redeem(code, verifier); err != nil || answer.Status != 200 {
			t.Errorf("the new secret: %v, status %d %s", err, answer.Status, answer.Error)
		}
	})
}

// Two servers never share a data folder, and what a killed one left behind (its
// lock, its socket) delays nobody.
func TestOneServerPerDataFolder(t *testing.T) {
	server := suite.Start(t, harness.SQLite, nil)
	second := server.Command(t, "", "serve")
	if second.Code != 1 || !strings.Contains(second.Stderr, "another simplon uses") {
		t.Errorf("a second server: %+v", second)
	}
	server.Kill(t)
	if _, err := os.Lstat(filepath.Join(server.DataDir, "admin.sock")); err != nil {
		t.Errorf("the killed server left no socket, so this test shows nothing: %v", err)
	}
	if after := server.Command(t, "", "account", "list"); after.Code != 0 {
		t.Errorf("a command after the kill: %+v", after)
	}
	server.Run(t)
	if after := server.Command(t, "", "account", "list"); after.Code != 0 {
		t.Errorf("a command after the restart: %+v", after)
	}
}

// The emergency link makes a further administrator and touches no account.
func TestSetupLinkEmergency(t *testing.T) {
	server := suite.Start(t, harness.SQLite, nil)
	chief := server.NewPerson(t, "chief@example.org", "--administrator")
	if plain := server.Command(t, "", "setup-link"); plain.Code != 1 || !strings.Contains(plain.Stderr, "--emergency") {
		t.Errorf("a plain link beside an administrator: %+v", plain)
	}
	quiet := server.Command(t, "", "setup-link", "--emergency")
	if quiet.Code != 0 || strings.Contains(quiet.Stdout, "/setup/") {
		t.Errorf("the link was printed to what is no terminal: %+v", quiet)
	}
	raw, err := os.ReadFile(filepath.Join(server.DataDir, "setup-link"))
	if err != nil {
		t.Fatal(err)
	}
	b := server.NewBrowser(t)
	page, err := b.Get(strings.TrimSpace(string(raw)))
	if err != nil {
		t.Fatal(err)
	}
	form, err := page.FormOf("password")
	if err != nil {
		t.Fatal(err)
	}
	form.Values.Set("name", "Second Chief")
	form.Values.Set("login", "second@example.org")
	form.Values.Set("password", "a long night on the pass")
	if page, err = b.Submit(form); err != nil || page.Status != 200 {
		t.Fatalf("submit: %v %+v", err, page)
	}
	var all []struct {
		Login         string
		Administrator bool
	}
	server.CommandJSON(t, &all, "", "account", "list")
	if len(all) != 2 || !all[0].Administrator || !all[1].Administrator || all[0].Login != chief.Login {
		t.Errorf("accounts: %+v", all)
	}
	if code, _ := server.NewApp(t).SignIn(t, server.NewBrowser(t), chief); code == "" {
		t.Error("the first administrator cannot sign in any more")
	}
}

// init writes a configuration that check-config accepts and never overwrites one.
func TestInitAndCheckConfig(t *testing.T) {
	server := suite.Start(t, harness.SQLite, nil)
	dir := t.TempDir()
	made := server.Command(t, "", "init", "--issuer", "https://id.example.org", "--dir", dir)
	path := filepath.Join(dir, "config.yaml")
	info, err := os.Stat(path)
	if made.Code != 0 || err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("init: %+v, %v", made, err)
	}
	if again := server.Command(t, "", "init", "--issuer", "https://id.example.org", "--dir", dir); again.Code != 2 {
		t.Errorf("init over a file: %+v", again)
	}
	if checked := server.Command(t, "", "check-config"); checked.Code != 0 {
		t.Errorf("check-config: %+v", checked)
	}
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("issuer: http://localhost:8080\nlockout:\n  treshold: 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := *server
	wrong.Config = bad
	if got := wrong.Command(t, "", "check-config"); got.Code != 2 || !strings.Contains(got.Stderr, "bad.yaml:3:3") || !strings.Contains(got.Stderr, "treshold") {
		t.Errorf("a misspelt key: %+v", got)
	}
	if got := server.Command(t, "", "version", "--json"); got.Code != 0 || !strings.Contains(got.Stdout, `"version"`) {
		t.Errorf("version: %+v", got)
	}
}
