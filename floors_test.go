// These tests are the law of the project: which package may import which, who
// owns which foreign library, and the rules of style that a machine can judge.
// The tables are in this file, the checkers in floors_rules_test.go, and the
// proof that each checker catches what it should in floors_proof_test.go.
package simplon_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"testing"
)

// The units. A unit is a top-level folder with all below it; under cmd and
// modules it is one folder further down.
//
// edges says whom a unit may import besides itself: down only, never sideways.
// inTests adds what its tests may import besides that.
func floorLaw() law {
	floor0 := []string{"identity", "secret", "sqldb", "web"}
	floor3 := unitRule{
		edges:   []string{"identity", "secret", "web", "storage"},
		inTests: []string{"sqldb"},
	}
	module := unitRule{edges: []string{"modules/rp", "web", "sqldb"}}
	return law{
		module: "simplon",
		units: map[string]unitRule{
			".": {}, // the root holds no code

			"identity": {}, "secret": {}, "sqldb": {}, "web": {}, // floor 0

			"storage": {edges: []string{"identity", "secret", "sqldb"}}, // floor 1

			"notify": {edges: []string{"identity", "storage", "secret", "web"}, inTests: []string{"sqldb"}}, // floor 2

			"authserver": floor3, "account": floor3, "mfa": floor3,
			"recovery": floor3, "federation": floor3, "console": floor3,

			"cmd/simplon": {edges: slices.Concat(floor0, []string{ // floor 4
				"storage", "notify",
				"authserver", "account", "mfa", "recovery", "federation", "console",
				"modules/*",
			})},

			"modules/rp": {edges: []string{"web", "sqldb"}},
			"modules/*":  module, // relying parties: the provider's public doors only

			// e2e drives the binary from outside; sqldb opens a database or starts
			// a server, and knows no noun that could be used to reach around.
			"e2e": {edges: []string{"sqldb"}},
			"bench": {edges: slices.Concat(floor0, []string{
				"storage", "notify",
				"authserver", "account", "mfa", "recovery", "federation", "console", "e2e",
			})},
		},
		owners: map[string][]string{
			// Of the standard library, what belongs to one place.
			"crypto/aes":    {"secret"},
			"crypto/cipher": {"secret"},
			"database/sql":  {"sqldb"},
			"html/template": {"web", "notify", "modules/*"},
			"net/smtp":      {"notify"},

			"code.dny.dev/ssrf":                   {"authserver", "federation", "notify"},
			"github.com/alecthomas/kong":          {"cmd/simplon"},
			"github.com/chromedp":                 {"e2e"},
			"github.com/coreos/go-oidc":           {"e2e", "bench"},
			"github.com/go-jose/go-jose":          {"authserver", "federation", "e2e", "bench"},
			"github.com/go-webauthn":              {"mfa"},
			"github.com/goccy/go-yaml":            {"cmd/simplon"},
			"github.com/jackc/pgx":                {"sqldb"},
			"github.com/pquerna/otp":              {"mfa"},
			"github.com/prometheus/client_golang": {"cmd/simplon", "authserver"},
			"github.com/redis/go-redis":           {"storage"},
			"github.com/wneessen/go-mail":         {"notify"},
			"github.com/zitadel/oidc":             {"authserver", "federation", "modules/rp"},
			"github.com/zitadel/passwap":          {"secret"},
			"golang.org/x/crypto":                 {"secret"},
			"golang.org/x/net":                    {"identity", "web", "modules/rp", "e2e"},
			"golang.org/x/oauth2":                 {"modules/rp", "e2e", "bench"},
			"golang.org/x/sync":                   {"cmd/simplon", "storage", "sqldb", "secret", "notify", "e2e", "bench"},
			"golang.org/x/sys":                    {"cmd/simplon", "sqldb"},
			"golang.org/x/text":                   {"identity", "web", "notify", "modules/*"},
			"golang.org/x/time":                   {"authserver", "web", "storage"},
			"modernc.org/sqlite":                  {"sqldb"},
		},
		testOwners: map[string][]string{
			"github.com/chromedp":      {"web"}, // pages are looked at in a browser
			"github.com/jackc/pgx":     {"e2e"}, // a stranger looks into the database
			"modernc.org/sqlite":       {"e2e"},
			"github.com/google/go-cmp": {"*"},
			"go.uber.org/goleak":       {"*"},
			"pgregory.net/rapid":       {"*"},
		},
	}
}

// goOutput runs the go command at the root of the module.
func goOutput(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("go", args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %v: %v\n%s", args, err, stderr.String())
	}
	return out
}

func report(t *testing.T, violations []string) {
	t.Helper()
	for _, v := range violations {
		t.Error(v)
	}
}

func TestFloorsOfImports(t *testing.T) {
	var packages []goPackage
	dec := json.NewDecoder(bytes.NewReader(goOutput(t, "list", "-e", "-json", "./...")))
	for {
		var p goPackage
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
	if len(packages) < 2 {
		t.Fatalf("go list found %d packages", len(packages))
	}
	report(t, checkImports(packages, floorLaw()))
}

func TestFloorsOfSource(t *testing.T) {
	violations, files, err := checkSource(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Fatalf("only %d files were looked at", files)
	}
	report(t, violations)
}

func TestFloorsOfGoMod(t *testing.T) {
	var mod goMod
	if err := json.Unmarshal(goOutput(t, "mod", "edit", "-json"), &mod); err != nil {
		t.Fatal(err)
	}
	if len(mod.Require) == 0 {
		t.Fatal("go.mod requires nothing")
	}
	report(t, checkGoMod(mod))
}
