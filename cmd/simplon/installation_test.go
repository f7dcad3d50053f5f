package main

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Looking must not make: in a wrong folder these answered an empty list, as if
// all accounts were gone, and left keys and a database behind.
func TestCommandsThatLookMakeNoInstallation(t *testing.T) {
	commands := [][]string{
		{"account", "list"}, {"account", "show", "a@example.org"}, {"client", "list"}, {"client", "show", "app_0"},
		{"client", "rotate-secret", "app_0", "--yes"},
	}
	s := newTestSite(t, "")
	empty := newTestSite(t, "") // has a database, but nobody's
	must(t, os.Mkdir(empty.data, 0o700))
	must(t, os.WriteFile(filepath.Join(empty.data, "simplon.db"), nil, 0o600))
	for _, args := range commands {
		s.want(t, 1, "no installation in "+s.data, args...)
		if names := tree(t, s.dir); len(names) != 2 {
			t.Errorf("%q made %q", args, names)
		}
		empty.want(t, 1, "no installation in the database", args...)
		if _, err := os.Stat(filepath.Join(empty.data, "keys.json")); err == nil {
			t.Errorf("%q made a key ring", args)
		}
	}
}

func TestCommandsThatMakeBeginAnInstallation(t *testing.T) {
	for _, args := range [][]string{
		{"account", "create", "--login", "a@example.org"}, {"client", "create", "--name", "A", "--redirect-uri", "https://a.example/cb"}, {"setup-link"},
	} {
		s := newTestSite(t, "")
		s.want(t, 0, "", args...)
		s.want(t, 0, "", "account", "list")
	}
}

// Only a server moves an installation: a command without --config used to.
func TestCommandsDoNotMoveTheIssuer(t *testing.T) {
	s := newTestSite(t, "issuer: http://localhost:1234\n")
	s.want(t, 0, "", "account", "create", "--login", "a@example.org")
	s.write(t, "issuer: https://id.example.org\n")
	for _, args := range [][]string{{"account", "list"}, {"account", "create", "--login", "b@example.org"}, {"setup-link"}} {
		s.want(t, 1, "the issuer of this installation is http://localhost:1234, the configuration says https://id.example.org", args...)
	}
	s.write(t, "issuer: http://localhost:1234\n")
	s.want(t, 0, "", "account", "list")
	s.write(t, "issuer: https://id.example.org\n")
	log, stop := s.serve(t)
	if code := stop(); code != exitOK || !strings.Contains(log.text(), "the issuer changed") {
		t.Errorf("serve with a new issuer: code %d\n%s", code, log.text())
	}
	s.want(t, 0, "", "account", "list")
}

// With a ring of its own, a command sealed a password that no server could open.
func TestForeignRingIsRefused(t *testing.T) {
	ours, theirs := newTestSite(t, ""), newTestSite(t, "")
	for _, s := range []*site{ours, theirs} {
		s.want(t, 0, "", "account", "create", "--login", "a@example.org")
	}
	right, wrong := filepath.Join(ours.data, "keys.json"), filepath.Join(theirs.data, "keys.json")
	kept, err := os.ReadFile(right)
	must(t, err)
	foreign, err := os.ReadFile(wrong)
	must(t, err)
	must(t, os.WriteFile(right, foreign, 0o600))
	for _, args := range [][]string{{"account", "create", "--login", "b@example.org"}, {"account", "list"}, {"setup-link"}, {"serve"}} {
		ours.want(t, 1, "is not the key ring of this database", args...)
	}
	if now, err := os.ReadFile(right); !slices.Equal(now, foreign) {
		t.Errorf("the foreign ring was touched: %v", err)
	}
	must(t, os.Remove(right))
	for _, args := range [][]string{{"account", "create", "--login", "b@example.org"}, {"account", "list"}, {"serve"}} {
		ours.want(t, 1, "keys.json is missing", args...)
	}
	must(t, os.WriteFile(right, kept, 0o600))
	ours.want(t, 0, "", "account", "list")
}

// A power cut after the ring was saved and before the database has its proof: the
// next start goes on with that ring.
func TestRingWithoutDatabaseIsUsed(t *testing.T) {
	s := newTestSite(t, "")
	s.want(t, 0, "", "account", "create", "--login", "a@example.org")
	path := filepath.Join(s.data, "keys.json")
	before, err := os.ReadFile(path)
	must(t, err)
	must(t, os.Remove(filepath.Join(s.data, "simplon.db")))
	_, stop := s.serve(t)
	if code := stop(); code != exitOK {
		t.Errorf("serve: code %d", code)
	}
	if after, err := os.ReadFile(path); !slices.Equal(before, after) {
		t.Errorf("another ring: %v", err)
	}
}

// A start that fails late ends everything that it began, and closes what it
// opened: the next one works.
func TestStartThatFailsLeavesNothingRunning(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := newTestSite(t, "private_listen: "+taken.Addr().String()+"\n")
	s.want(t, 1, "private listener: listen tcp", "serve")
	must(t, os.Mkdir(filepath.Join(s.data, setupLinkName), 0o700)) // greet fails
	must(t, taken.Close())
	s.want(t, 1, "set-up link", "serve")
	must(t, os.Remove(filepath.Join(s.data, setupLinkName)))
	_, stop := s.serve(t)
	if code := stop(); code != exitOK {
		t.Errorf("serve: code %d", code)
	}
}

// The second start on the same socket used to fail, after a clean stop too.
func TestPrivateSocketSurvivesRestarts(t *testing.T) {
	s := newTestSite(t, "")
	path := filepath.Join(s.dir, "private.sock")
	s.write(t, "private_listen: unix:"+path+"\n")
	for range 2 {
		log, stop := s.serve(t)
		c, err := dialPrivately(t.Context(), path)
		must(t, err)
		must(t, c.Close())
		if code := stop(); code != exitOK || !strings.Contains(log.text(), path) {
			t.Errorf("serve: code %d\n%s", code, log.text())
		}
	}
}

func TestOpenDataFolderIsWarnedOf(t *testing.T) {
	s := newTestSite(t, "")
	must(t, os.Mkdir(s.data, 0o700))
	for mode, warned := range map[fs.FileMode]bool{0o700: false, 0o755: true} {
		must(t, os.Chmod(s.data, mode))
		log, stop := s.serve(t)
		if code := stop(); code != exitOK || strings.Contains(log.text(), "data_dir is open") != warned {
			t.Errorf("mode %v: code %d\n%s", mode, code, log.text())
		}
	}
	must(t, os.Chmod(s.data, 0o707))
	s.want(t, 1, "everybody may write", "serve")
}

func TestScopesAreSplitOnSpacesAndCommas(t *testing.T) {
	s := newTestSite(t, "")
	code, out, errOut := s.run(t, "client", "create", "--name", "A", "--redirect-uri", "https://a.example/cb", "--scope", "openid profile", "--scope", "email,offline_access")
	if code != exitOK || !strings.Contains(out, "scopes         openid profile email offline_access\n") {
		t.Errorf("code %d\n%s%s", code, out, errOut)
	}
}

func TestRefusalIsOneLine(t *testing.T) {
	s := newTestSite(t, "")
	for _, uri := range []string{"https://*.example/cb", "http://a.example/cb", "nonsense"} {
		code, _, errOut := s.run(t, "client", "create", "--name", "A", "--redirect-uri", uri)
		if code != exitFailed || strings.Count(errOut, "\n") != 1 {
			t.Errorf("%s: code %d\n%s", uri, code, errOut)
		}
	}
}
