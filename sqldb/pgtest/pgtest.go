// Package pgtest gives tests fresh, empty PostgreSQL databases.
//
// It owns a private server per test process, or uses the one named by
// SIMPLON_TEST_POSTGRES so that many test processes share one, and it owns the
// databases it makes there. It knows no table; migrations and rows are the
// tests' own. A missing PostgreSQL fails the test and never skips it.
//
// A package that uses it should end its tests with
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
// so that the server's files are removed. Without it, and when the process is
// killed, the kernel ends the server and a later run removes the files.
package pgtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"hash/fnv"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// EnvServer names the environment variable with the superuser URL of a server to
// use instead of starting one. That server may be in use by other test
// processes at the same time.
const EnvServer = "SIMPLON_TEST_POSTGRES"

const adminTimeout = time.Minute

// shared is the server of this process. It is global because tests of a package
// have nothing else in common; nothing but this file touches it.
var shared process

type process struct {
	mu     sync.Mutex
	server *Server // nil until needed, and when EnvServer is set
	err    error   // of the first start; later tests need not wait for it again
}

// Main runs the tests, then stops the server that they may have started. It
// returns the exit code.
func Main(m *testing.M) int {
	code := m.Run()
	if err := shared.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		code = max(code, 1)
	}
	return code
}

// New returns the URL of a fresh, empty database and drops it when the test
// ends, whoever is still connected.
func New(tb testing.TB) string {
	tb.Helper()
	admin := adminURL(tb)
	return createDatabase(tb, admin, "")
}

// NewFrom returns the URL of a fresh copy of a template database and drops it
// when the test ends. The template is made once per server and name: prepare
// fills it through the URL it gets and must close its connections. Processes
// that share a server share its templates, so the name must say what is inside
// (for instance a version or checksum). tb.Fatal in prepare is fine.
func NewFrom(tb testing.TB, template string, prepare func(url string)) string {
	tb.Helper()
	admin := adminURL(tb)
	name := templateName(tb, template)
	makeTemplate(tb, admin, name, prepare)
	return createDatabase(tb, admin, name)
}

func templateName(tb testing.TB, template string) string {
	tb.Helper()
	// Databases have names of at most 63 bytes, ours get a suffix while made.
	if !regexp.MustCompile(`^[a-z0-9_]{1,50}$`).MatchString(template) {
		tb.Fatalf("pgtest: template name %q: want at most 50 of a-z, 0-9 and _", template)
	}
	return "tpl_" + template
}

// makeTemplate holds an advisory lock, so that of all processes one prepares and
// the others wait. The template appears under its name only when it is whole.
func makeTemplate(tb testing.TB, admin, name string, prepare func(url string)) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
	defer cancel()
	conn := connect(ctx, tb, admin)
	defer conn.Close(context.Background()) // frees the lock
	hash := fnv.New64a()
	hash.Write([]byte("pgtest:" + name))
	run(ctx, tb, conn, fmt.Sprintf("SELECT pg_advisory_lock(%d)", int64(hash.Sum64())))
	var done bool
	err := conn.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = $1)", name).Scan(&done)
	if err != nil {
		tb.Fatalf("pgtest: look for template: %v", err)
	}
	if done {
		return
	}
	draft := name + "_draft"
	run(ctx, tb, conn, "DROP DATABASE IF EXISTS "+draft+" WITH (FORCE)") // left by a killed process
	run(ctx, tb, conn, "CREATE DATABASE "+draft+" TEMPLATE template0")
	prepare(databaseURL(tb, admin, draft))
	if tb.Failed() {
		tb.FailNow() // prepare may have called Errorf: do not keep its work
	}
	run(ctx, tb, conn, "ALTER DATABASE "+draft+" RENAME TO "+name)
}

// createDatabase makes a database with a random name. An empty template is
// PostgreSQL's own.
func createDatabase(tb testing.TB, admin, template string) string {
	tb.Helper()
	if template == "" {
		template = "template0"
	}
	name := "t_" + strings.ToLower(rand.Text())
	withAdmin(tb, admin, "CREATE DATABASE "+name+" TEMPLATE "+template)
	tb.Cleanup(func() { withAdmin(tb, admin, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	return databaseURL(tb, admin, name)
}

func withAdmin(tb testing.TB, admin, statement string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), adminTimeout)
	defer cancel()
	conn := connect(ctx, tb, admin)
	defer conn.Close(ctx)
	run(ctx, tb, conn, statement)
}

func connect(ctx context.Context, tb testing.TB, url string) *pgx.Conn {
	tb.Helper()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		tb.Fatalf("pgtest: connect: %v", err)
	}
	return conn
}

func run(ctx context.Context, tb testing.TB, conn *pgx.Conn, statement string) {
	tb.Helper()
	if _, err := conn.Exec(ctx, statement); err != nil {
		tb.Fatalf("pgtest: %s: %v", statement, err)
	}
}

// databaseURL is the admin URL with another database.
func databaseURL(tb testing.TB, admin, name string) string {
	tb.Helper()
	u, err := url.Parse(admin)
	if err != nil {
		tb.Fatalf("pgtest: %s is not a URL", EnvServer)
	}
	u.Path = "/" + name
	return u.String()
}

// adminURL returns the superuser URL of the server, starting it if need be.
func adminURL(tb testing.TB) string {
	tb.Helper()
	if url := os.Getenv(EnvServer); url != "" {
		return url
	}
	url, err := shared.url()
	if err != nil {
		tb.Fatal(err)
	}
	return url
}

func (p *process) url() (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server == nil && p.err == nil {
		p.server, p.err = Start(context.Background())
	}
	if p.err != nil {
		return "", p.err
	}
	return p.server.URL(), nil
}

func (p *process) stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server == nil {
		return nil
	}
	defer func() { p.server = nil }()
	return p.server.Stop()
}
