package sqldb_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"simplon/sqldb"
	"simplon/sqldb/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// onEach runs a test on both engines, each with the URL of an empty database.
func onEach(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) {
		test(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db"))
	})
	t.Run("postgres", func(t *testing.T) { test(t, pgtest.New(t)) })
}

// onEachDB is onEach with the database opened and the schema made.
func onEachDB(t *testing.T, schema string, test func(t *testing.T, db *sqldb.DB)) {
	onEach(t, func(t *testing.T, url string) {
		db := open(t, url)
		if schema != "" {
			mustTx(t, db, func(tx *sqldb.Tx) error {
				_, err := tx.Exec(schema)
				return err
			})
		}
		test(t, db)
	})
}

func open(t *testing.T, url string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil && !errors.Is(err, sqldb.ErrClosed) {
			t.Error(err)
		}
	})
	return db
}

func mustTx(t *testing.T, db *sqldb.DB, fn func(*sqldb.Tx) error) {
	t.Helper()
	if err := db.Tx(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// queryer is what DB and Tx have in common.
type queryer interface {
	QueryRow(query string, args ...any) sqldb.Row
}

func number(t *testing.T, q queryer, query string, args ...any) int64 {
	t.Helper()
	var n int64
	if err := q.QueryRow(query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOpenRefusesBadURLsWithoutShowingPasswords(t *testing.T) {
	for _, url := range []string{
		"", "secret", "mysql://u:secret@h/d", "sqlite:", "sqlite::memory:", "sqlite:/tmp/", "sqlite:/tmp/x?secret=1",
		"sqlite://secret/x.db", "postgres://u:secret@127.0.0.1:1/d", "postgres://u:secret@h:port/d",
		"sqlite:" + filepath.Join(t.TempDir(), "absent", "x.db"),
	} {
		db, err := sqldb.Open(t.Context(), sqldb.Config{URL: url})
		if err == nil {
			t.Errorf("%q opened", url)
			_ = db.Close()
			continue
		}
		if url != "sqlite://secret/x.db" && contains(err, "secret") {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
}

func TestOpenGivesUpWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	onEach(t, func(t *testing.T, url string) {
		if db, err := sqldb.Open(ctx, sqldb.Config{URL: url}); !errors.Is(err, context.Canceled) {
			t.Errorf("Open = %v, %v", db, err)
		}
	})
}

func TestEngineAndPing(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		db := open(t, url)
		if want := filepath.Base(t.Name()); string(db.Engine()) != want {
			t.Errorf("Engine = %q, want %q", db.Engine(), want)
		}
		if err := db.Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestCloseRefusesEverythingAndLeaksNothing(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		leaks := goleak.IgnoreCurrent()
		db := open(t, url)
		mustTx(t, db, func(tx *sqldb.Tx) error {
			_, err := tx.Exec("CREATE TABLE a (n BIGINT)")
			return err
		})
		if n := number(t, db, "SELECT count(*) FROM a"); n != 0 {
			t.Errorf("count = %d", n)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		var n int
		for what, err := range map[string]error{
			"Tx":       db.Tx(t.Context(), func(*sqldb.Tx) error { t.Error("ran after Close"); return nil }),
			"QueryRow": db.QueryRow("SELECT 1").Scan(&n),
			"Ping":     db.Ping(t.Context()),
			"Close":    db.Close(),
		} {
			if !errors.Is(err, sqldb.ErrClosed) {
				t.Errorf("%s after Close = %v", what, err)
			}
		}
		goleak.VerifyNone(t, leaks)
	})
}

func TestCloseWaitsForTheSQLiteTransactionAndTurnsTheQueueAway(t *testing.T) {
	db := open(t, "sqlite:"+filepath.Join(t.TempDir(), "a.db"))
	inside, leave := make(chan struct{}), make(chan struct{})
	first, second, closed := make(chan error, 1), make(chan error, 1), make(chan error, 1)
	go func() {
		first <- db.Tx(t.Context(), func(tx *sqldb.Tx) error {
			close(inside)
			<-leave
			_, err := tx.Exec("CREATE TABLE a (n BIGINT)")
			return err
		})
	}()
	<-inside
	go func() {
		second <- db.Tx(t.Context(), func(*sqldb.Tx) error { t.Error("ran while closing"); return nil })
	}()
	go func() { closed <- db.Close() }()
	if err := <-second; !errors.Is(err, sqldb.ErrClosed) {
		t.Errorf("queued transaction = %v", err)
	}
	close(leave)
	if err := errors.Join(<-first, <-closed); err != nil {
		t.Error(err)
	}
}

// clock is a fixed time for tests.
func clock() time.Time { return time.Date(2026, 2, 3, 4, 5, 6, 789000, time.UTC) }

func TestReadingWhileClosing(t *testing.T) {
	onEachDB(t, itemTable, func(t *testing.T, db *sqldb.DB) {
		together(8, func(i int) {
			if i == 0 {
				if err := db.Close(); err != nil {
					t.Error(err)
				}
				return
			}
			for {
				var n int64
				err := db.QueryRow("SELECT count(*) FROM item").Scan(&n)
				if errors.Is(err, sqldb.ErrClosed) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	})
}
