package simplon_test

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The program on the page about go-oidc, as it stands there, signs a person in
// and out.
func TestDocsGoExampleSignsIn(t *testing.T) {
	dir := t.TempDir()
	source, example := filepath.Join(dir, "main.go"), filepath.Join(dir, "example")
	if err := os.WriteFile(source, []byte(blockOf(t, "docs/integrations/go-oidc.md", "go")), 0o600); err != nil {
		t.Fatal(err)
	}
	goOutput(t, "build", "-o", example, source)

	program, issuer, app := builtProgram(t), "http://localhost:"+freePort(t), "127.0.0.1:"+freePort(t)
	env := cleanEnvironment("SIMPLON_ISSUER="+issuer, "SIMPLON_PRIVATE_LISTEN=off", "SIMPLON_DATA_DIR="+filepath.Join(dir, "data"))
	start(t, dir, env, "Simplon is at", program, "serve")
	const password = "correct horse battery staple"
	create(t, program, env, password, "account", "create", "--login", "anna@example.org", "--password-stdin")
	client := create(t, program, env, "", "client", "create", "--name", "My app",
		"--redirect-uri", "http://"+app+"/callback", "--post-logout-uri", "http://"+app+"/")
	start(t, dir, cleanEnvironment("ISSUER="+issuer, "ADDRESS="+app, "CLIENT_ID="+client.ID, "CLIENT_SECRET="+client.Secret),
		"listening", example)

	person := newVisitor(t)
	person.open("http://" + app + "/login")
	person.submit("/login", url.Values{"login": {"anna@example.org"}})
	person.submit("/password", url.Values{"password": {password}})
	person.submit("/consent", url.Values{"decision": {"allow"}})
	person.open(person.sentOn())
	if person.at != "http://"+app+"/" || !strings.Contains(person.text, "Signed in as anna@example.org") {
		t.Fatalf("at %s the application says %s", person.at, person.text)
	}
	person.submit("/logout", url.Values{})
	if person.at != "http://"+app+"/" || !strings.Contains(person.text, "Sign in") {
		t.Errorf("after signing out, at %s: %s", person.at, person.text)
	}
	person.open("http://" + app + "/login")
	if !strings.Contains(person.text, `name="login"`) {
		t.Errorf("after signing out, Simplon does not ask who it is: %s", person.text)
	}
}

type created struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

func create(t *testing.T, program string, env []string, stdin string, args ...string) created {
	t.Helper()
	cmd := exec.Command(program, append(args, "--json")...)
	cmd.Env, cmd.Stdin = env, strings.NewReader(stdin)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("simplon %s: %v", strings.Join(args, " "), err)
	}
	var c created
	if err := json.Unmarshal(out, &c); err != nil {
		t.Fatal(err)
	}
	return c
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return fmt.Sprint(l.Addr().(*net.TCPAddr).Port)
}

// visitor is a browser without scripts.
type visitor struct {
	t       *testing.T
	client  *http.Client
	at      string
	text    string
	refresh string
}

func newVisitor(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, client: &http.Client{Jar: jar}}
}

func (v *visitor) open(address string) {
	v.t.Helper()
	v.take(v.client.Get(address))
}

func (v *visitor) take(answer *http.Response, err error) {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	v.at, v.text, v.refresh = answer.Request.URL.String(), string(body), answer.Header.Get("Refresh")
	if answer.StatusCode != http.StatusOK {
		v.t.Fatalf("%s: %s\n%s", v.at, answer.Status, v.text)
	}
}

// submit sends the form whose action ends so, with its hidden fields.
func (v *visitor) submit(action string, values url.Values) {
	v.t.Helper()
	for _, form := range regexp.MustCompile(`(?s)<form.*?</form>`).FindAllString(v.text, -1) {
		to := attribute(form, "action")
		if !strings.HasSuffix(to, action) {
			continue
		}
		for _, input := range regexp.MustCompile(`<input[^>]*type="hidden"[^>]*>`).FindAllString(form, -1) {
			if name := attribute(input, "name"); !values.Has(name) {
				values.Set(name, attribute(input, "value"))
			}
		}
		base, err := url.Parse(v.at)
		if err != nil {
			v.t.Fatal(err)
		}
		v.take(v.client.PostForm(base.JoinPath("/").ResolveReference(&url.URL{Path: to}).String(), values))
		return
	}
	v.t.Fatalf("at %s there is no form to %s:\n%s", v.at, action, v.text)
}

// sentOn is where the page sends the browser by its Refresh header.
func (v *visitor) sentOn() string {
	v.t.Helper()
	_, to, ok := strings.Cut(v.refresh, "url=")
	if !ok {
		v.t.Fatalf("%s sends nobody on:\n%s", v.at, v.text)
	}
	return strings.Trim(to, `"'`)
}

func attribute(tag, name string) string {
	m := regexp.MustCompile(name + `="([^"]*)"`).FindStringSubmatch(tag)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}
