package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func openFile(t *testing.T, path string) (*DB, *sqliteBackend) {
	t.Helper()
	db, err := Open(t.Context(), Config{URL: "sqlite:" + path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db, db.backend.(*sqliteBackend)
}

func write(t *testing.T, db *DB, statement string) {
	t.Helper()
	err := db.Tx(t.Context(), func(tx *Tx) error { _, err := tx.Exec(statement); return err })
	if err != nil {
		t.Fatal(err)
	}
}

func TestSQLiteFileNamesNeedNoEscaping(t *testing.T) {
	for _, name := range []string{"plain.db", "with space & mode=memory.db", "100%25.db", "é'\".db", "a+b;c.db"} {
		path := filepath.Join(t.TempDir(), name)
		db, _ := openFile(t, path)
		write(t, db, "CREATE TABLE a (n BIGINT)")
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
		var n int
		if err := db.QueryRow("SELECT count(*) FROM a").Scan(&n); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestSQLiteFilesAreTheOwnersOnly(t *testing.T) {
	dir := t.TempDir()
	db, _ := openFile(t, filepath.Join(dir, "a.db"))
	write(t, db, "CREATE TABLE a (n BIGINT)")
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 3 {
		t.Fatalf("files: %v, %v; want database, log and index", entries, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", e.Name(), info.Mode())
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) != 1 {
		t.Errorf("after Close: %v", left)
	}
}

func TestSQLitePragmas(t *testing.T) {
	db, b := openFile(t, filepath.Join(t.TempDir(), "a.db"))
	for name, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "trusted_schema": "0", "query_only": "0"} {
		var got string
		err := db.Tx(t.Context(), func(tx *Tx) error { return tx.QueryRow("PRAGMA " + name).Scan(&got) })
		if err != nil || got != want {
			t.Errorf("writer: %s = %q, %v, want %q", name, got, err, want)
		}
	}
	for name, want := range map[string]string{"journal_mode": "wal", "trusted_schema": "0", "query_only": "1"} {
		var got string
		if err := b.readers.QueryRow("PRAGMA " + name).Scan(&got); err != nil || got != want {
			t.Errorf("reader: %s = %q, %v, want %q", name, got, err, want)
		}
	}
	// "text" is a name, never a string: a misspelt column is an error.
	if err := db.QueryRow(`SELECT "no_such_column"`).Scan(new(string)); err == nil {
		t.Error("a double-quoted name became a string")
	}
}

// intruder is a connection like another process's.
func intruder(t *testing.T, path string) *sql.DB {
	t.Helper()
	pool, err := sqlitePool(sqliteDSN(path, writeOptions()), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}

func TestSQLiteLockedByAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db, b := openFile(t, path)
	write(t, db, "CREATE TABLE a (n BIGINT)")
	other := intruder(t, path)
	if _, err := other.Exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	never := func(*Tx) error { t.Error("ran without the lock"); return nil }

	err := b.writer.run(t.Context(), time.Nanosecond, never)
	if !errors.Is(err, ErrBusyRetries) || isSQLiteBusy(err) {
		t.Errorf("out of patience: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := b.writer.run(ctx, 0, never); !errors.Is(err, context.DeadlineExceeded) || isSQLiteBusy(err) {
		t.Errorf("given up: %v", err)
	}

	done := make(chan error, 1)
	go func() {
		done <- db.Tx(t.Context(), func(tx *Tx) error { _, err := tx.Exec("DELETE FROM a"); return err })
	}()
	if _, err := other.Exec("COMMIT"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Errorf("after the lock was free: %v", err)
	}
}

func TestSQLiteReopensAConnectionThatLostItsTransaction(t *testing.T) {
	db, b := openFile(t, filepath.Join(t.TempDir(), "a.db"))
	write(t, db, "CREATE TABLE a (n BIGINT)")
	before := b.writer.conn
	err := db.Tx(t.Context(), func(tx *Tx) error {
		// OR ROLLBACK undoes the whole transaction, as a full disk does.
		if _, err := tx.Exec("CREATE UNIQUE INDEX i ON a (n)"); err != nil {
			return err
		}
		_, err := tx.Exec("INSERT OR ROLLBACK INTO a VALUES (1), (1)")
		return err
	})
	if !IsUnique(err) {
		t.Errorf("err = %v", err)
	}
	write(t, db, "INSERT INTO a VALUES (1)")
	if b.writer.conn == before {
		t.Error("the connection is the same")
	}

	// COMMIT fails because the transaction is gone: nobody hears of success.
	err = db.Tx(t.Context(), func(tx *Tx) error {
		if _, err := tx.Exec("INSERT INTO a VALUES (2)"); err != nil {
			return err
		}
		_, err := tx.session.exec("ROLLBACK", nil)
		return err
	})
	if !errors.Is(err, ErrUnknownOutcome) {
		t.Errorf("err = %v", err)
	}
	write(t, db, "INSERT INTO a VALUES (3)")
	var n int
	if err := db.QueryRow("SELECT sum(n) FROM a").Scan(&n); err != nil || n != 4 {
		t.Errorf("sum = %d, %v", n, err)
	}
}

func TestSQLiteKeepsABoundedNumberOfStatements(t *testing.T) {
	db, b := openFile(t, filepath.Join(t.TempDir(), "a.db"))
	read := func(q interface {
		QueryRow(string, ...any) Row
	}, i int) {
		t.Helper()
		var n int
		if err := q.QueryRow(fmt.Sprintf("SELECT %d", i)).Scan(&n); err != nil || n != i {
			t.Fatalf("%d: %d, %v", i, n, err)
		}
	}
	err := db.Tx(t.Context(), func(tx *Tx) error {
		for i := range 2 * maxStatements {
			read(tx, i)
			read(tx, 0) // stays the youngest but one
			read(db, i)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c := b.writer.conn
	if len(c.byQ) > maxStatements || c.byAge.Len() != len(c.byQ) || c.byQ["SELECT 0"] == nil {
		t.Errorf("writer keeps %d statements, %d by age", len(c.byQ), c.byAge.Len())
	}
	if len(b.prepared) > maxStatements {
		t.Errorf("readers keep %d statements", len(b.prepared))
	}
}

func TestErrorsShowTheStatementShortened(t *testing.T) {
	db, _ := openFile(t, filepath.Join(t.TempDir(), "a.db"))
	err := db.QueryRow("SELECT *\n\tFROM missing WHERE x = $1 AND "+strings.Repeat("é", 100), "value").Scan(new(int))
	if err == nil || !strings.Contains(err.Error(), "SELECT * FROM missing") || len(err.Error()) > 300 || strings.Contains(err.Error(), "value") {
		t.Errorf("err = %v", err)
	}
}
