package pgtest_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"simplon/sqldb/pgtest"
)

func TestMain(m *testing.M) {
	if os.Getenv("PGTEST_CHILD") != "" {
		childMain()
	}
	os.Exit(pgtest.Main(m))
}

func query[T any](t *testing.T, url, sql string) T {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var v T
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

func exec1(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func TestNewGivesEmptySeparateDatabasesAndDropsThem(t *testing.T) {
	outer := pgtest.New(t)
	var inner, name string
	t.Run("one", func(t *testing.T) {
		inner = pgtest.New(t)
		if inner == outer {
			t.Fatal("two tests share a database")
		}
		exec1(t, inner, "CREATE TABLE a (b BIGINT)")
		name = query[string](t, inner, "SELECT current_database()")
	})
	if n := query[int](t, outer, "SELECT count(*) FROM pg_class WHERE relname = 'a'"); n != 0 {
		t.Error("a fresh database is not empty")
	}
	if n := query[int](t, outer, "SELECT count(*) FROM pg_database WHERE datname = '"+name+"'"); n != 0 {
		t.Error("the database outlived its test")
	}
}

func TestNewFromPreparesOnceUnderConcurrency(t *testing.T) {
	var prepared atomic.Int32
	urls := make([]string, 8)
	var wg sync.WaitGroup
	for i := range urls {
		wg.Go(func() {
			urls[i] = pgtest.NewFrom(t, "pgtest_once", func(url string) {
				prepared.Add(1)
				exec1(t, url, "CREATE TABLE a AS SELECT 7 AS b")
			})
		})
	}
	wg.Wait()
	for i, url := range urls {
		exec1(t, url, "INSERT INTO a VALUES (8)")
		if n := query[int](t, url, "SELECT count(*) FROM a"); n != 2 {
			t.Errorf("copy %d has %d rows, want 2: copies are not separate", i, n)
		}
	}
	// A server shared by several runs of this test has the template already.
	if n := prepared.Load(); n > 1 || n == 0 && os.Getenv(pgtest.EnvServer) == "" {
		t.Errorf("prepared %d times", n)
	}
}

// childMain is the whole program of a process that gets killed while its server
// runs: it prints the server's folder and waits.
func childMain() {
	server, err := pgtest.Start(context.Background())
	if err != nil {
		os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	os.Stdout.WriteString(server.URL() + "\n")
	select {}
}

func TestServerDiesWithAKilledProcess(t *testing.T) {
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "PGTEST_CHILD=1")
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err, child.Wait())
	}
	url = strings.TrimSpace(url)
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(config.Host) }) // else a later run's job
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait()
	// The connection ends when the server does; the test's own time limit is the
	// only clock here.
	if _, err := conn.WaitForNotification(t.Context()); err == nil {
		t.Fatal("the server went on")
	}
}

func TestStopLeavesNothing(t *testing.T) {
	server, err := pgtest.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	config, err := pgx.ParseConfig(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(server.Stop(), server.Stop()); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(config.Host); len(left) > 0 {
		t.Errorf("left behind: %s", left)
	}
	if conn, err := pgx.Connect(t.Context(), server.URL()); err == nil {
		_ = conn.Close(t.Context())
		t.Error("the server still answers")
	}
}
