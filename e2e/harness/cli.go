package harness

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Person is somebody with an account.
type Person struct {
	ID, Login, Password string
	GivenName           string
	FamilyName          string
}

// CommandResult is what a command left behind.
type CommandResult struct {
	Stdout, Stderr string
	Code           int
}

// Command runs a command of the binary with the node's configuration, whether
// the node runs or not.
func (n *Server) Command(tb testing.TB, stdin string, args ...string) CommandResult {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), n.suite.Binary, append(args, "--config", n.Config)...)
	cmd.Dir, cmd.Env, cmd.Stdin = filepath.Dir(n.DataDir), environment(), strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		tb.Fatalf("run simplon %s: %v", strings.Join(args, " "), err)
	}
	return CommandResult{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// CommandJSON runs a command with --json that must succeed and decodes its
// answer.
func (n *Server) CommandJSON(tb testing.TB, into any, stdin string, args ...string) {
	tb.Helper()
	result := n.Command(tb, stdin, append(args, "--json")...)
	if result.Code != 0 {
		tb.Fatalf("simplon %s: exit code %d\n%s%s", strings.Join(args, " "), result.Code, result.Stdout, result.Stderr)
	}
	if err := json.Unmarshal([]byte(result.Stdout), into); err != nil {
		tb.Fatalf("simplon %s --json: %v in\n%s", strings.Join(args, " "), err, result.Stdout)
	}
}

// NewPerson makes an account with a password that nobody else has.
func (n *Server) NewPerson(tb testing.TB, login string, flags ...string) Person {
	tb.Helper()
	p := Person{Login: login, Password: "correct horse battery " + login, GivenName: "Anna", FamilyName: "Muster"}
	args := append([]string{"account", "create", "--login", p.Login, "--given-name", p.GivenName,
		"--family-name", p.FamilyName, "--password-stdin"}, flags...)
	var made struct {
		ID string `json:"id"`
	}
	n.CommandJSON(tb, &made, p.Password+"\n", args...)
	if p.ID = made.ID; p.ID == "" {
		tb.Fatal("account create printed no id")
	}
	return p
}

// NewClient registers an application and returns its id and secret ("" for a
// public one).
func (n *Server) NewClient(tb testing.TB, flags ...string) (id, secret string) {
	tb.Helper()
	var made struct {
		ID     string `json:"id"`
		Secret string `json:"secret"`
	}
	n.CommandJSON(tb, &made, "", append([]string{"client", "create"}, flags...)...)
	if made.ID == "" {
		tb.Fatal("client create printed no id")
	}
	return made.ID, made.Secret
}
