package sqldb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"simplon/sqldb"
)

// files makes a file system from name, text, name, text…
func files(pairs ...string) fstest.MapFS {
	m := fstest.MapFS{"embed.go": {Data: []byte("package migrations")}}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return m
}

func openAt(t *testing.T, url string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: url, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func migrate(t *testing.T, db *sqldb.DB, m fstest.MapFS) {
	t.Helper()
	if err := sqldb.Migrate(t.Context(), db, m, sqldb.MigrateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func version(t *testing.T, db *sqldb.DB) int {
	t.Helper()
	v, err := sqldb.SchemaVersion(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const (
	first  = "-- the first; of many\nCREATE TABLE a (n BIGINT);\nINSERT INTO a VALUES (1); INSERT INTO a VALUES (2);\n"
	second = "CREATE TABLE b (s TEXT); INSERT INTO b VALUES ('x;y''z')"
)

func TestMigrateAppliesInOrderOnceAndRecords(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		db := openAt(t, url)
		if v := version(t, db); v != 0 {
			t.Errorf("version before: %d", v)
		}
		migrate(t, db, files("0001_a.sql", first))
		migrate(t, db, files("0001_a.sql", first, "0002_b.sql", second)) // skips what is done
		migrate(t, db, files("0001_a.sql", strings.ReplaceAll(first, "\n", "\r\n"), "0002_b.sql", second))
		if v := version(t, db); v != 2 {
			t.Errorf("version after: %d", v)
		}
		if n := number(t, db, "SELECT sum(n) FROM a"); n != 3 {
			t.Errorf("sum = %d", n)
		}
		if n := number(t, db, "SELECT count(*) FROM b WHERE s = $1", "x;y'z"); n != 1 {
			t.Errorf("%d rows in b", n)
		}
		n := number(t, db, "SELECT count(*) FROM schema_migration WHERE applied_at = $1 AND name IN ('a', 'b') AND length(checksum) = 64",
			clock().UnixMicro())
		if n != 2 {
			t.Errorf("%d migrations recorded as expected", n)
		}
	})
}

func TestMigrateUsesTheEnginesOwnFile(t *testing.T) {
	m := files(
		"0001_a.sql", "CREATE TABLE a (who TEXT)",
		"0002_b.sql", "INSERT INTO a VALUES ('plain')",
		"0002_b.postgres.sql", "INSERT INTO a VALUES ('postgres')",
		"0003_c.postgres.sql", `CREATE FUNCTION f() RETURNS text LANGUAGE plpgsql AS $f$ BEGIN RETURN 'x;'; END; $f$;
			INSERT INTO a SELECT f() || 'postgres';`,
		"0003_c.sqlite.sql", `CREATE TRIGGER t AFTER INSERT ON a BEGIN
				UPDATE a SET who = who || ';'; DELETE FROM a WHERE who = ''; END;
			INSERT INTO a VALUES ('x');`,
	)
	onEach(t, func(t *testing.T, url string) {
		db := openAt(t, url)
		migrate(t, db, m)
		want := map[sqldb.Engine]string{sqldb.SQLite: "plain; x;", sqldb.Postgres: "postgres x;postgres"}[db.Engine()]
		var got []string
		err := db.Each("SELECT who FROM a ORDER BY who", nil, func(r sqldb.Row) error {
			var s string
			defer func() { got = append(got, s) }()
			return r.Scan(&s)
		})
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("rows %q, %v, want %q", got, err, want)
		}
	})
}

func TestMigrateRefusesAChangedFileAndANewerSchema(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		db := openAt(t, url)
		migrate(t, db, files("0001_a.sql", first, "0002_b.sql", second))
		for _, c := range []struct {
			name  string
			files fstest.MapFS
			want  error
		}{
			{"edited", files("0001_a.sql", first+" ", "0002_b.sql", second, "0003_c.sql", "CREATE TABLE c (n BIGINT)"), sqldb.ErrMigrationChanged},
			{"newer", files("0001_a.sql", first), sqldb.ErrSchemaNewer},
			{"newer and edited", files("0001_a.sql", first+" "), sqldb.ErrSchemaNewer},
		} {
			if err := sqldb.Migrate(t.Context(), db, c.files, sqldb.MigrateOptions{}); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		if v := version(t, db); v != 2 {
			t.Errorf("version = %d", v)
		}
		mustTx(t, db, func(tx *sqldb.Tx) error {
			_, err := tx.Exec("DELETE FROM schema_migration WHERE version = 1")
			return err
		})
		err := sqldb.Migrate(t.Context(), db, files("0001_a.sql", first, "0002_b.sql", second), sqldb.MigrateOptions{})
		if !errors.Is(err, sqldb.ErrMigrationChanged) {
			t.Errorf("hole in the record: %v", err)
		}
	})
}

func TestFailingMigrationLeavesNothingHalfDone(t *testing.T) {
	bad := "CREATE TABLE c (n BIGINT); INSERT INTO c VALUES (1); INSERT INTO missing VALUES (1)"
	onEach(t, func(t *testing.T, url string) {
		db := openAt(t, url)
		err := sqldb.Migrate(t.Context(), db, files("0001_a.sql", first, "0002_bad.sql", bad, "0003_b.sql", second), sqldb.MigrateOptions{})
		if !contains(err, "0002_bad, statement 3") {
			t.Errorf("err = %v", err)
		}
		if v := version(t, db); v != 1 {
			t.Errorf("version = %d", v)
		}
		// Nothing of 0002 is there, so a repaired file goes through.
		migrate(t, db, files("0001_a.sql", first, "0002_bad.sql", "CREATE TABLE c (n BIGINT)", "0003_b.sql", second))
		if n := number(t, db, "SELECT count(*) FROM c"); n != 0 {
			t.Errorf("%d rows in c", n)
		}
	})
}

// Several DB values stand for several processes.
func TestConcurrentMigrateRunsEachFileOnce(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		m := files("0001_a.sql", first)
		for i := 2; i < 8; i++ {
			m[fmt.Sprintf("%04d_more.sql", i)] = &fstest.MapFile{Data: []byte("INSERT INTO a VALUES (1)")}
		}
		dbs := make([]*sqldb.DB, 4)
		for i := range dbs {
			dbs[i] = openAt(t, url)
		}
		together(len(dbs), func(i int) {
			if err := sqldb.Migrate(t.Context(), dbs[i], m, sqldb.MigrateOptions{Copy: true}); err != nil {
				t.Error(err)
			}
		})
		if n := number(t, dbs[0], "SELECT count(*) FROM a"); n != 8 {
			t.Errorf("%d rows, want 8", n)
		}
	})
}

func TestMigrateGivesUpWaitingWithItsContext(t *testing.T) {
	m := files("0001_a.sql", first)
	onEach(t, func(t *testing.T, url string) {
		db, other := openAt(t, url), openAt(t, url)
		waitAndGiveUp := func() {
			ctx, cancel := context.WithCancel(t.Context())
			waiting := make(chan error, 1)
			go func() { waiting <- sqldb.Migrate(ctx, other, m, sqldb.MigrateOptions{}) }()
			for db.Engine() == sqldb.Postgres && number(t, db, `SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database
				WHERE locktype = 'advisory' AND NOT granted AND d.datname = current_database()`) == 0 {
			}
			cancel()
			if err := <-waiting; !errors.Is(err, context.Canceled) {
				t.Errorf("err = %v", err)
			}
		}
		if db.Engine() == sqldb.SQLite {
			mustTx(t, db, func(*sqldb.Tx) error { waitAndGiveUp(); return nil })
			return
		}
		// The line in the log is written while the lock is held.
		log := slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) { waitAndGiveUp(); return len(p), nil }), nil))
		if err := sqldb.Migrate(t.Context(), db, m, sqldb.MigrateOptions{Log: log}); err != nil {
			t.Error(err)
		}
	})
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestMigrationTablesKeepProgramsApart(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		db := openAt(t, url)
		migrate(t, db, files("0001_a.sql", first))
		opt := sqldb.MigrateOptions{Table: "shop_migration"}
		if err := sqldb.Migrate(t.Context(), db, files("0001_shop.sql", second), opt); err != nil {
			t.Fatal(err)
		}
		if n := number(t, db, "SELECT count(*) FROM shop_migration WHERE name = 'shop'"); n != 1 {
			t.Error("not recorded in its table")
		}
		opt.Table = "x; DROP TABLE a"
		if err := sqldb.Migrate(t.Context(), db, files("0001_shop.sql", second), opt); err == nil {
			t.Error("a bad table name was taken")
		}
	})
}

func TestMigrationFilesAreChecked(t *testing.T) {
	onEach(t, func(t *testing.T, url string) {
		db := openAt(t, url)
		for name, m := range map[string]fstest.MapFS{
			"none":             files(),
			"bad name":         files("0001_a.sql", first, "2_b.sql", second),
			"unknown engine":   files("0001_a.mysql.sql", first),
			"gap":              files("0001_a.sql", first, "0003_b.sql", second),
			"starts at two":    files("0002_a.sql", first),
			"twice":            files("0001_a.sql", first, "0001_b.sql", second),
			"names differ":     files("0001_a.sql", first, "0001_b.postgres.sql", second),
			"one engine only":  files("0001_a.sqlite.sql", first),
			"empty":            files("0001_a.sql", "-- nothing; here\n;"),
			"never closed":     files("0001_a.sql", "CREATE TABLE a (s TEXT DEFAULT 'x)"),
			"ends transaction": files("0001_a.sql", "CREATE TABLE a (n BIGINT); commit; CREATE TABLE b (n BIGINT)"),
		} {
			if err := sqldb.Migrate(t.Context(), db, m, sqldb.MigrateOptions{}); err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		if v := version(t, db); v != 0 {
			t.Errorf("version = %d", v)
		}
	})
}

func copies(t *testing.T, path string) []string {
	t.Helper()
	found, err := filepath.Glob(path + ".v*")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestMigrateCopiesASQLiteFileBeforeChangingIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "it's.db")
	db := openAt(t, "sqlite:"+path)
	var logged bytes.Buffer
	opt := sqldb.MigrateOptions{Copy: true, Log: slog.New(slog.NewTextHandler(&logged, nil))}
	one, two, three := files("0001_a.sql", first), files("0001_a.sql", first, "0002_b.sql", second),
		files("0001_a.sql", first, "0002_b.sql", second, "0003_c.sql", "DROP TABLE a", "0004_d.sql", "DROP TABLE b")
	run := func(m fstest.MapFS, want int) {
		t.Helper()
		if err := sqldb.Migrate(t.Context(), db, m, opt); err != nil {
			t.Fatal(err)
		}
		if got := copies(t, path); len(got) != want {
			t.Errorf("copies: %q, want %d", got, want)
		}
	}
	run(one, 0) // an empty file needs none
	run(one, 0) // nothing pending
	mustTx(t, db, func(tx *sqldb.Tx) error { _, err := tx.Exec("INSERT INTO a VALUES (40)"); return err })
	run(three, 1) // one for three migrations
	want := path + ".v0001-20260203T040506Z.copy"
	if got := copies(t, path); got[0] != want || !strings.Contains(logged.String(), "v0001-2026") {
		t.Fatalf("copies: %q, want %s; log: %s", got, want, logged.String())
	}
	info, err := os.Stat(want)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	old := openAt(t, "sqlite:"+want)
	if n := number(t, old, "SELECT sum(n) FROM a"); n != 43 || version(t, old) != 1 {
		t.Errorf("copy: sum = %d, version %d", n, version(t, old))
	}
	migrate(t, old, two) // a copy is a database like another
}

func TestMigrateCopiesAFileItNeverMigrated(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	db := openAt(t, "sqlite:"+path)
	mustTx(t, db, func(tx *sqldb.Tx) error { _, err := tx.Exec("CREATE TABLE other (n BIGINT)"); return err })
	if err := sqldb.Migrate(t.Context(), db, files("0001_a.sql", first), sqldb.MigrateOptions{Copy: true}); err != nil {
		t.Fatal(err)
	}
	if got := copies(t, path); len(got) != 1 || !strings.Contains(got[0], ".v0000-") {
		t.Errorf("copies: %q", got)
	}
}

func TestFailingCopyStopsTheMigration(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.db")
	db := openAt(t, "sqlite:"+path)
	migrate(t, db, files("0001_a.sql", first))
	// A folder that is not empty stands where the copy is written.
	if err := os.MkdirAll(path+".v0001-20260203T040506Z.copy.partial/x", 0o700); err != nil {
		t.Fatal(err)
	}
	err := sqldb.Migrate(t.Context(), db, files("0001_a.sql", first, "0002_b.sql", second), sqldb.MigrateOptions{Copy: true})
	if !contains(err, "copy before migration") {
		t.Errorf("err = %v", err)
	}
	if v := version(t, db); v != 1 {
		t.Errorf("version = %d", v)
	}
}
