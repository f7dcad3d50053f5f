package harness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"simplon/sqldb/pgtest"
)

// Engine is where a server keeps its facts.
type Engine string

// The engines every test runs on.
const (
	SQLite     Engine = "SQLite"
	PostgreSQL Engine = "PostgreSQL"
)

// OnEachEngine runs a test once on each engine.
func OnEachEngine(t *testing.T, test func(t *testing.T, engine Engine)) {
	for _, engine := range []Engine{SQLite, PostgreSQL} {
		t.Run(string(engine), func(t *testing.T) { test(t, engine) })
	}
}

// Settings are configuration keys and their values, as in the environment.
type Settings map[string]string

// roomy settings keep the limits for strangers out of the way of tests that are
// not about them: all requests of a test come from one address.
func roomy() Settings {
	return Settings{
		"limits.sign_ins_per_browser": "100",
		"limits.sign_ins_per_address": "100000",
		"limits.guesses_per_minute":   "100000",
		"password.queue":              "10000",
		"support.contact":             "mailto:help@example.org",
	}
}

// Server is one node: a running (or stopped) process and its folder. Not safe
// for concurrent use, but for Metrics, Logs and whatever only reads its fields.
type Server struct {
	Issuer  string // what people and applications use
	Address string // host:port of the public listener
	Private string // base URL of the private listener
	DataDir string
	Config  string // path of the configuration file
	Engine  Engine
	// DatabaseURL is the PostgreSQL database, "" on SQLite.
	DatabaseURL string

	suite    *Suite
	settings Settings
	args     []string // of serve
	process  *process
	past     string // what earlier processes of this node wrote
}

// Start starts a server on an empty database and a free port, waits until it is
// ready and ends it with the test. Settings come on top of roomy ones.
func (s *Suite) Start(tb testing.TB, engine Engine, settings Settings) *Server {
	tb.Helper()
	return s.startOn(tb, engine, settings)
}

// StartDemo starts a server with its demo applications on a free port of their
// own. Commands do not reach it: it keeps its data in a folder of its own.
func (s *Suite) StartDemo(tb testing.TB, engine Engine) *Server {
	tb.Helper()
	return s.startOn(tb, engine, Settings{"demo.listen": freeAddress(tb)}, "--demo")
}

func (s *Suite) startOn(tb testing.TB, engine Engine, settings Settings, args ...string) *Server {
	tb.Helper()
	return s.start(tb, func() *Server {
		node := &Server{suite: s, Engine: engine, DataDir: filepath.Join(shortDir(tb), "data"), args: args}
		if engine == PostgreSQL {
			node.DatabaseURL = pgtest.New(tb)
		}
		node.Address, node.Private = freeAddress(tb), freeAddress(tb)
		_, port, _ := net.SplitHostPort(node.Address)
		node.Issuer = "http://localhost:" + port
		node.settings = roomy()
		maps.Copy(node.settings, settings)
		return node
	})
}

// Join starts a second node with the issuer, database and keys of the first,
// which must be on PostgreSQL. Reach it with Browser.Via and App.Via.
func (s *Suite) Join(tb testing.TB, first *Server) *Server {
	tb.Helper()
	keys, err := os.ReadFile(filepath.Join(first.DataDir, "keys.json"))
	if err != nil {
		tb.Fatalf("read the first node's keys: %v", err)
	}
	return s.start(tb, func() *Server {
		node := &Server{suite: s, Engine: first.Engine, DataDir: filepath.Join(shortDir(tb), "data"),
			DatabaseURL: first.DatabaseURL, Issuer: first.Issuer, settings: maps.Clone(first.settings)}
		node.Address, node.Private = freeAddress(tb), freeAddress(tb)
		if err := os.MkdirAll(node.DataDir, 0o700); err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(node.DataDir, "keys.json"), keys, 0o600); err != nil {
			tb.Fatal(err)
		}
		return node
	})
}

// start tries again with another port when somebody took the free one first.
func (s *Suite) start(tb testing.TB, make func() *Server) *Server {
	tb.Helper()
	for range 5 {
		node := make()
		node.writeConfig(tb)
		err := node.run(tb)
		if err == nil {
			tb.Cleanup(func() { node.end(tb) })
			return node
		}
		if !strings.Contains(err.Error(), "address already in use") {
			tb.Fatal(err)
		}
	}
	tb.Fatal("no port stayed free in five tries")
	return nil
}

// shortDir is a folder with a short path, because a unix socket's may have 107
// bytes and the names of tests are long.
func shortDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "smp-")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			tb.Errorf("remove the server's folder: %v", err)
		}
	})
	return dir
}

// freeAddress is a loopback host:port that nobody listens on now.
func freeAddress(tb testing.TB) string {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// writeConfig writes every setting into a file, as an operator would.
func (n *Server) writeConfig(tb testing.TB) {
	tb.Helper()
	settings := maps.Clone(n.settings)
	settings["issuer"], settings["listen"] = n.Issuer, n.Address
	settings["private_listen"], settings["data_dir"] = n.Private, n.DataDir
	if n.DatabaseURL != "" {
		settings["database.url"] = n.DatabaseURL
	}
	n.Private = "http://" + n.Private
	n.Config = filepath.Join(filepath.Dir(n.DataDir), "simplon.yaml")
	if err := os.WriteFile(n.Config, []byte(yamlOf(settings)), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// yamlOf writes dotted keys as nested YAML (two levels at most). JSON strings
// are YAML strings.
func yamlOf(settings Settings) string {
	var text strings.Builder
	section := ""
	keys := slices.SortedFunc(maps.Keys(settings), func(a, b string) int {
		// Keys without a section first, so that sections stay in one piece.
		return strings.Compare(fmt.Sprint(strings.Contains(a, "."))+a, fmt.Sprint(strings.Contains(b, "."))+b)
	})
	for _, key := range keys {
		name, indent := key, ""
		if head, tail, ok := strings.Cut(key, "."); ok {
			if head != section {
				fmt.Fprintf(&text, "%s:\n", head)
				section = head
			}
			name, indent = tail, "  "
		}
		fmt.Fprintf(&text, "%s%s: %s\n", indent, name, yamlValue(settings[key]))
	}
	return text.String()
}

// yamlValue leaves numbers bare, because the strict loader wants them so.
func yamlValue(value string) string {
	if value != "" && strings.Trim(value, "0123456789") == "" || value == "true" || value == "false" {
		return value
	}
	quoted, _ := json.Marshal(value) // a string always marshals
	return string(quoted)
}

// run starts the process and waits until it is ready.
func (n *Server) run(tb testing.TB) error {
	tb.Helper()
	args := append([]string{"serve", "--config", n.Config}, n.args...)
	var err error
	n.process, err = startProcess(filepath.Dir(n.DataDir), environment(), nil, n.suite.Binary, args...)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err = Until(ctx, func() bool { return !n.process.running() || n.Ready() })
	if err == nil && !n.process.running() {
		err = errors.New("it ended")
	}
	if err != nil {
		return errors.Join(fmt.Errorf("wait for the server: %w; it wrote:\n%s", err, n.process.out.text()), n.process.kill())
	}
	return nil
}

// Ready tells whether /readyz of the private listener answers 200.
func (n *Server) Ready() bool {
	client := http.Client{Timeout: time.Second}
	answer, err := client.Get(n.Private + "/readyz")
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// Stop ends the server as an operator would (SIGTERM) and wants exit code 0.
func (n *Server) Stop(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.process.stop(ctx); err != nil {
		tb.Errorf("stop the server: %v", err)
	}
	n.past += n.process.out.text() + "\n"
}

// Kill ends the server as a power cut would.
func (n *Server) Kill(tb testing.TB) {
	tb.Helper()
	if err := n.process.kill(); err != nil {
		tb.Errorf("kill the server: %v", err)
	}
	n.past += n.process.out.text() + "\n"
}

// Run starts a stopped or killed server again on the same folder and ports.
func (n *Server) Run(tb testing.TB) {
	tb.Helper()
	if err := n.run(tb); err != nil {
		tb.Fatal(err)
	}
}

// end is the clean-up. A server that met an error of its own fails the test,
// whoever caused it; the log of a failed test is shown.
func (n *Server) end(tb testing.TB) {
	if n.process.running() {
		n.Stop(tb)
	}
	for line := range strings.SplitSeq(n.Logs(), "\n") {
		if strings.Contains(line, `"level":"ERROR"`) {
			tb.Errorf("the server at %s met an error: %s", n.Address, line)
		}
	}
	if tb.Failed() {
		all := strings.Split(n.Logs(), "\n")
		tb.Logf("the server at %s wrote last:\n%s", n.Address, strings.Join(all[max(0, len(all)-60):], "\n"))
	}
}

// Logs is everything the node has written since its first start.
func (n *Server) Logs() string {
	if n.process.running() {
		return n.past + n.process.out.text()
	}
	return n.past
}

// WaitLog waits for a line of the running process that contains all the texts.
func (n *Server) WaitLog(tb testing.TB, texts ...string) string {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	line, err := n.process.out.wait(ctx, func(line string) bool {
		for _, text := range texts {
			if !strings.Contains(line, text) {
				return false
			}
		}
		return true
	})
	if err != nil {
		tb.Fatalf("wait for a log line with %q: %v", texts, err)
	}
	return line
}

// Do sends one request to this node, whatever its address and Host say, without
// cookies and without following the answer.
func (n *Server) Do(tb testing.TB, r *http.Request) *Page {
	tb.Helper()
	page, err := send(n.plainClient(tb), r)
	if err != nil {
		tb.Fatal(err)
	}
	return page
}
