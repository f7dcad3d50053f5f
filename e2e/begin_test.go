package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"simplon/e2e/harness"
)

// twoNodes are prepared on one empty PostgreSQL database with one issuer.
func twoNodes(t *testing.T) []*harness.Server {
	t.Helper()
	first, second := suite.Prepare(t, harness.PostgreSQL, nil), suite.Prepare(t, harness.PostgreSQL, nil)
	second.DatabaseURL, second.Issuer = first.DatabaseURL, first.Issuer
	nodes := []*harness.Server{first, second}
	for _, n := range nodes {
		n.WriteConfig(t)
	}
	return nodes
}

// Two nodes that begin an installation at the same moment each make a key ring,
// and only one can stay. The loser used to keep its own, and commands on that node
// sealed passwords which no server could open.
func TestTwoFirstStartsAtOnceLeaveOneKeyRing(t *testing.T) {
	for round := range 4 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			nodes := twoNodes(t)
			results := harness.AtOnce(2, func(i int) error { return nodes[i].TryRun(t) })
			won, lost := nodes[0], nodes[1]
			if results[0] != nil {
				won, lost = lost, won
				results[1], results[0] = results[0], results[1]
			}
			if results[0] != nil || results[1] == nil {
				t.Fatalf("the nodes ended with %v and %v", results[0], results[1])
			}
			if code, text := lost.ExitCode(), results[1].Error(); code != 1 || !strings.Contains(text, "keys.json") || !strings.Contains(text, "copy") {
				t.Errorf("the loser ended with code %d: %s", code, text)
			}
			if _, err := os.Stat(filepath.Join(lost.DataDir, "keys.json")); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the loser keeps a key ring: %v", err)
			}
			if got := lost.Command(t, "a long night on the pass\n", "account", "create", "--login", "a@example.org", "--password-stdin"); got.Code != 1 || !strings.Contains(got.Stderr, "keys.json is missing") {
				t.Errorf("a command of the loser: %+v", got)
			}
			copyKeys(t, won, lost)
			if err := lost.TryRun(t); err != nil {
				t.Fatalf("the loser with the winner's ring: %v", err)
			}
			wantBothSignIn(t, won, lost)
		})
	}
}

// With the same ring on both, two first starts at once both go well.
func TestTwoFirstStartsWithOneRing(t *testing.T) {
	for round := range 4 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			nodes := twoNodes(t)
			other := suite.Prepare(t, harness.SQLite, nil) // makes a ring for them
			other.WriteConfig(t)
			if made := other.Command(t, "", "setup-link"); made.Code != 0 {
				t.Fatalf("%+v", made)
			}
			for _, n := range nodes {
				copyKeys(t, other, n)
			}
			for i, err := range harness.AtOnce(2, func(i int) error { return nodes[i].TryRun(t) }) {
				if err != nil {
					t.Fatalf("node %d: %v", i, err)
				}
			}
			wantBothSignIn(t, nodes[0], nodes[1])
		})
	}
}

func copyKeys(t *testing.T, from, to *harness.Server) {
	t.Helper()
	keys, err := os.ReadFile(filepath.Join(from.DataDir, "keys.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(to.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to.DataDir, "keys.json"), keys, 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantBothSignIn makes a person on each node and signs it in on the other.
func wantBothSignIn(t *testing.T, a, b *harness.Server) {
	t.Helper()
	app := a.NewApp(t)
	for login, way := range map[string][2]*harness.Server{"one@example.org": {a, b}, "two@example.org": {b, a}} {
		person := way[0].NewPerson(t, login)
		browser := a.NewBrowser(t).Via(t, way[1])
		if code, _ := app.SignIn(t, browser, person); code == "" {
			t.Errorf("%s cannot sign in", login)
		}
	}
}

// Commands at the same moment, without a server, wait for each other; so does a
// server that starts meanwhile.
func TestCommandsWaitForEachOther(t *testing.T) {
	node := suite.Prepare(t, harness.SQLite, nil)
	node.WriteConfig(t)
	if made := node.Command(t, "", "setup-link"); made.Code != 0 {
		t.Fatalf("%+v", made)
	}
	const commands = 6
	for i, err := range harness.AtOnce(commands+1, func(i int) error {
		if i == commands {
			return node.TryRun(t)
		}
		got := node.Command(t, "", "account", "create", "--login", fmt.Sprintf("p%d@example.org", i))
		if got.Code != 0 {
			return fmt.Errorf("%+v", got)
		}
		return nil
	}) {
		if err != nil {
			t.Errorf("number %d: %v", i, err)
		}
	}
	var all []struct{ Login string }
	node.CommandJSON(t, &all, "", "account", "list")
	if len(all) != commands {
		t.Errorf("%d accounts", len(all))
	}
}

// Behind a proxy on this machine people keep their own addresses, without a key
// that says so: else the limits of one would be those of all.
func TestProxyOnThisMachineIsTrusted(t *testing.T) {
	node := suite.Prepare(t, harness.SQLite, nil)
	node.Issuer = "https://id.example.org"
	node.WriteConfig(t)
	if err := node.TryRun(t); err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequest(http.MethodGet, "http://"+node.Address+"/.well-known/openid-configuration", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "id.example.org"
	r.Header.Set("X-Forwarded-For", "203.0.113.9, 198.51.100.7")
	if page := node.Do(t, r); page.Status != http.StatusOK {
		t.Errorf("status %d", page.Status)
	}
	node.WaitLog(t, `"msg":"request"`, `"address":"198.51.100.7"`)
}
