package sqldb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"simplon/sqldb"
)

func contains(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }

const itemTable = "CREATE TABLE item (id TEXT PRIMARY KEY, n BIGINT NOT NULL)"

func insert(id string, n int64) func(*sqldb.Tx) error {
	return func(tx *sqldb.Tx) error {
		_, err := tx.Exec("INSERT INTO item (id, n) VALUES ($1, $2)", id, n)
		return err
	}
}

func TestTxCommitsAndSeesItsOwnWrites(t *testing.T) {
	onEachDB(t, itemTable, func(t *testing.T, db *sqldb.DB) {
		mustTx(t, db, func(tx *sqldb.Tx) error {
			if err := insert("a", 7)(tx); err != nil {
				return err
			}
			if n := number(t, tx, "SELECT n FROM item WHERE id = $1", "a"); n != 7 {
				t.Errorf("inside: n = %d", n)
			}
			return nil
		})
		if n := number(t, db, "SELECT n FROM item WHERE id = $1", "a"); n != 7 {
			t.Errorf("after: n = %d", n)
		}
	})
}

func TestErrorRollsBackAndIsReturned(t *testing.T) {
	onEachDB(t, itemTable, func(t *testing.T, db *sqldb.DB) {
		mine := errors.New("mine")
		err := db.Tx(t.Context(), func(tx *sqldb.Tx) error {
			if err := insert("a", 1)(tx); err != nil {
				return err
			}
			return mine
		})
		if !errors.Is(err, mine) {
			t.Errorf("err = %v", err)
		}
		if n := number(t, db, "SELECT count(*) FROM item"); n != 0 {
			t.Errorf("%d rows stayed", n)
		}
		mustTx(t, db, insert("a", 1)) // and the next one works
	})
}

func TestPanicRollsBackAndContinuesInTheCaller(t *testing.T) {
	onEachDB(t, itemTable, func(t *testing.T, db *sqldb.DB) {
		func() {
			defer func() {
				if r := recover(); r != "mine" {
					t.Errorf("recovered %v", r)
				}
			}()
			_ = db.Tx(t.Context(), func(tx *sqldb.Tx) error {
				if err := insert("a", 1)(tx); err != nil {
					return err
				}
				return tx.Each("SELECT id FROM item", nil, func(sqldb.Row) error { panic("mine") })
			})
			t.Error("Tx returned")
		}()
		ended := make(chan struct{})
		go func() { // what t.FailNow does inside a closure
			defer close(ended)
			_ = db.Tx(t.Context(), func(tx *sqldb.Tx) error {
				_ = insert("b", 1)(tx)
				runtime.Goexit()
				return nil
			})
		}()
		<-ended
		if n := number(t, db, "SELECT count(*) FROM item"); n != 0 {
			t.Errorf("%d rows stayed", n)
		}
		mustTx(t, db, insert("a", 1))
	})
}

func TestUniqueViolationIsToldApart(t *testing.T) {
	schema := "CREATE TABLE u (id TEXT PRIMARY KEY, a BIGINT UNIQUE, b BIGINT NOT NULL CHECK (b > 0))"
	onEachDB(t, schema, func(t *testing.T, db *sqldb.DB) {
		add := func(id string, a, b any) error {
			return db.Tx(t.Context(), func(tx *sqldb.Tx) error {
				_, err := tx.Exec("INSERT INTO u (id, a, b) VALUES ($1, $2, $3)", id, a, b)
				return err
			})
		}
		if err := add("1", 1, 1); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name   string
			err    error
			unique bool
		}{
			{"primary key", add("1", 2, 1), true},
			{"unique column", add("2", 1, 1), true},
			{"not null", add("3", 3, nil), false},
			{"check", add("4", 4, 0), false},
			{"other error", errors.New("UNIQUE constraint failed"), false},
			{"nil", nil, false},
		} {
			if c.name != "nil" && c.err == nil {
				t.Errorf("%s: no error", c.name)
			}
			if got := sqldb.IsUnique(c.err); got != c.unique {
				t.Errorf("%s: IsUnique(%v) = %v", c.name, c.err, got)
			}
			if got := sqldb.IsUnique(fmt.Errorf("add: %w", c.err)); got != c.unique {
				t.Errorf("%s wrapped: IsUnique = %v", c.name, got)
			}
		}
	})
}

func TestAffectedCounts(t *testing.T) {
	onEachDB(t, itemTable, func(t *testing.T, db *sqldb.DB) {
		mustTx(t, db, func(tx *sqldb.Tx) error {
			for _, c := range []struct {
				query string
				want  int64
			}{
				{"INSERT INTO item (id, n) VALUES ('a', 1), ('b', 1)", 2},
				{"INSERT INTO item (id, n) VALUES ('a', 2) ON CONFLICT DO NOTHING", 0},
				{"INSERT INTO item (id, n) VALUES ('a', 2), ('c', 2) ON CONFLICT (id) DO NOTHING", 1},
				{"INSERT INTO item (id, n) VALUES ('a', 3) ON CONFLICT (id) DO UPDATE SET n = excluded.n", 1},
				{"UPDATE item SET n = 3 WHERE id = 'a'", 1}, // also when nothing changes
				{"UPDATE item SET n = 4 WHERE id = 'x'", 0},
				{"UPDATE item SET n = 5 WHERE id = 'a' RETURNING id", 1},
				{"DELETE FROM item", 3},
			} {
				if n, err := tx.Exec(c.query); err != nil || n != c.want {
					t.Errorf("%s: %d, %v, want %d", c.query, n, err, c.want)
				}
			}
			return nil
		})
	})
}

func TestNumberedBindsMayRepeatAndComeInAnyOrder(t *testing.T) {
	onEachDB(t, itemTable, func(t *testing.T, db *sqldb.DB) {
		mustTx(t, db, func(tx *sqldb.Tx) error {
			for i, id := range []string{"a", "b", "c"} {
				if err := insert(id, int64(i))(tx); err != nil {
					return err
				}
			}
			n, err := tx.Exec("UPDATE item SET n = $2 WHERE id = $1 AND n <> $2 OR id = $3 AND id <> $1", "a", int64(9), "b")
			if err != nil || n != 2 {
				t.Errorf("updated %d, %v", n, err)
			}
			return nil
		})
		read := "SELECT count(*) FROM item WHERE n = $2 AND id >= $1 AND id >= $1 AND n < $2 + 1"
		if n := number(t, db, read, "a", int64(9)); n != 2 {
			t.Errorf("read %d", n)
		}
	})
}

func TestWrongNumberOfArgumentsIsAnError(t *testing.T) {
	onEachDB(t, itemTable, func(t *testing.T, db *sqldb.DB) {
		for _, args := range [][]any{{}, {"a", "b"}} {
			var n int64
			if err := db.QueryRow("SELECT n FROM item WHERE id = $1", args...).Scan(&n); err == nil || errors.Is(err, sqldb.ErrNoRows) {
				t.Errorf("read with %d arguments: %v", len(args), err)
			}
			err := db.Tx(t.Context(), func(tx *sqldb.Tx) error {
				_, err := tx.Exec("DELETE FROM item WHERE id = $1", args...)
				return err
			})
			if err == nil {
				t.Errorf("write with %d arguments worked", len(args))
			}
		}
	})
}

func TestValuesRoundTrip(t *testing.T) {
	schema := "CREATE TABLE v (id BIGINT PRIMARY KEY, s TEXT, n BIGINT, b BOOLEAN, d BYTEA)"
	type text string
	onEachDB(t, schema, func(t *testing.T, db *sqldb.DB) {
		rows := []struct {
			s any
			n int64
			b bool
			d []byte
		}{
			{"", 0, false, []byte{}},
			{"é ' ; $1 \n", 1<<63 - 1, true, []byte("123")}, // digits must stay bytes
			{text("named"), -1 << 63, true, []byte{0, 0xff, '\'', 0}},
			{nil, 1, false, nil},
		}
		for i, r := range rows {
			mustTx(t, db, func(tx *sqldb.Tx) error {
				_, err := tx.Exec("INSERT INTO v (id, s, n, b, d) VALUES ($1, $2, $3, $4, $5)", i, r.s, r.n, r.b, r.d)
				return err
			})
			check := func(q queryer) {
				t.Helper()
				var s *string
				var n int64
				var b, equal, null bool
				var d []byte
				row := q.QueryRow("SELECT s, n, b, n > 0, d, d IS NULL FROM v WHERE id = $1 AND b = $2", i, r.b)
				if err := row.Scan(&s, &n, &b, &equal, &d, &null); err != nil {
					t.Fatalf("row %d: %v", i, err)
				}
				if (s == nil) != (r.s == nil) || s != nil && *s != fmt.Sprint(r.s) {
					t.Errorf("row %d: s = %v", i, s)
				}
				if n != r.n || b != r.b || equal != (r.n > 0) {
					t.Errorf("row %d: %d %v %v", i, n, b, equal)
				}
				if !bytes.Equal(d, r.d) || null != (r.d == nil) {
					t.Errorf("row %d: d = %#v, want %#v", i, d, r.d)
				}
			}
			check(db)
			mustTx(t, db, func(tx *sqldb.Tx) error { check(tx); return nil })
		}
		if n := number(t, db, "SELECT count(*) FROM v WHERE d = $1", []byte("123")); n != 1 {
			t.Errorf("found %d rows by their bytes", n)
		}
		if n := number(t, db, "SELECT sum(n) FROM v WHERE n IN (0, 1)"); n != 1 {
			t.Errorf("sum = %d", n)
		}
	})
}

func TestEachVisitsRowsInOrderAndStopsAtAnError(t *testing.T) {
	onEachDB(t, itemTable, func(t *testing.T, db *sqldb.DB) {
		mustTx(t, db, func(tx *sqldb.Tx) error {
			_, err := tx.Exec("INSERT INTO item (id, n) VALUES ('a', 1), ('b', 2), ('c', 3)")
			return err
		})
		mine := errors.New("enough")
		check := func(each func(string, []any, func(sqldb.Row) error) error) {
			t.Helper()
			var seen string
			read := func(stop string) error {
				seen = ""
				return each("SELECT id FROM item WHERE n >= $1 ORDER BY n", []any{1}, func(r sqldb.Row) error {
					var id string
					if err := r.Scan(&id); err != nil {
						return err
					}
					if seen += id; id == stop {
						return mine
					}
					return nil
				})
			}
			if err := read(""); err != nil || seen != "abc" {
				t.Errorf("saw %q, %v", seen, err)
			}
			if err := read("b"); err != mine || seen != "ab" {
				t.Errorf("saw %q, %v", seen, err)
			}
		}
		check(db.Each)
		mustTx(t, db, func(tx *sqldb.Tx) error { check(tx.Each); return insert("d", 4)(tx) })
	})
}

func TestNoRows(t *testing.T) {
	onEachDB(t, itemTable, func(t *testing.T, db *sqldb.DB) {
		var n int
		if err := db.QueryRow("SELECT n FROM item").Scan(&n); !errors.Is(err, sqldb.ErrNoRows) {
			t.Errorf("DB: %v", err)
		}
		mustTx(t, db, func(tx *sqldb.Tx) error {
			if err := tx.QueryRow("UPDATE item SET n = 1 RETURNING n").Scan(&n); !errors.Is(err, sqldb.ErrNoRows) {
				t.Errorf("Tx: %v", err)
			}
			return insert("a", 1)(tx) // an absent row is no failure
		})
	})
}

func TestFirstFailureEndsTheTransaction(t *testing.T) {
	onEachDB(t, itemTable, func(t *testing.T, db *sqldb.DB) {
		mustTx(t, db, insert("a", 1))
		err := db.Tx(t.Context(), func(tx *sqldb.Tx) error {
			if err := insert("b", 1)(tx); err != nil {
				return err
			}
			first := insert("a", 2)(tx)
			if !sqldb.IsUnique(first) {
				t.Errorf("first: %v", first)
			}
			if later := insert("c", 1)(tx); !errors.Is(later, first) {
				t.Errorf("later statement: %v", later)
			}
			return nil // forgets the error
		})
		if !sqldb.IsUnique(err) {
			t.Errorf("Tx = %v", err)
		}
		if n := number(t, db, "SELECT count(*) FROM item"); n != 1 {
			t.Errorf("%d rows, want 1", n)
		}
	})
}

func TestScanMismatchLeavesTheTransactionUsable(t *testing.T) {
	onEachDB(t, itemTable, func(t *testing.T, db *sqldb.DB) {
		mustTx(t, db, func(tx *sqldb.Tx) error {
			if err := insert("a", 1)(tx); err != nil {
				return err
			}
			var n int
			if err := tx.QueryRow("SELECT id FROM item").Scan(&n); err == nil {
				t.Error("text scanned into int")
			}
			return insert("b", 1)(tx)
		})
	})
}

func TestStatementInsideScanIsRefused(t *testing.T) {
	onEachDB(t, itemTable, func(t *testing.T, db *sqldb.DB) {
		mustTx(t, db, insert("a", 1))
		err := db.Tx(t.Context(), func(tx *sqldb.Tx) error {
			return tx.Each("SELECT id FROM item", nil, func(sqldb.Row) error {
				_, err := tx.Exec("DELETE FROM item")
				return err
			})
		})
		if !contains(err, "inside the scan") {
			t.Errorf("err = %v", err)
		}
	})
}

func TestTxIsUselessAfterItsClosure(t *testing.T) {
	onEachDB(t, itemTable, func(t *testing.T, db *sqldb.DB) {
		var kept *sqldb.Tx
		mustTx(t, db, func(tx *sqldb.Tx) error { kept = tx; return nil })
		if err := insert("a", 1)(kept); !errors.Is(err, sqldb.ErrTxDone) {
			t.Errorf("err = %v", err)
		}
	})
}

func TestForeignKeysAreChecked(t *testing.T) {
	onEachDB(t, itemTable, func(t *testing.T, db *sqldb.DB) {
		mustTx(t, db, func(tx *sqldb.Tx) error {
			_, err := tx.Exec(`CREATE TABLE part (id TEXT PRIMARY KEY, item TEXT NOT NULL REFERENCES item (id),
				late TEXT REFERENCES item (id) DEFERRABLE INITIALLY DEFERRED)`)
			return err
		})
		for _, query := range []string{
			"INSERT INTO part (id, item) VALUES ('p', 'none')",
			"INSERT INTO part (id, item) VALUES ('p', 'none') RETURNING id",
			"INSERT INTO part (id, item, late) VALUES ('p', 'a', 'none')", // found at COMMIT
		} {
			err := db.Tx(t.Context(), func(tx *sqldb.Tx) error {
				if _, err := tx.Exec("INSERT INTO item (id, n) VALUES ('a', 1)"); err != nil {
					return err
				}
				var id string
				err := tx.QueryRow(query).Scan(&id)
				if errors.Is(err, sqldb.ErrNoRows) {
					err = nil
				}
				return err
			})
			if err == nil || sqldb.IsUnique(err) || errors.Is(err, sqldb.ErrUnknownOutcome) {
				t.Errorf("%s: %v", query, err)
			}
			if n := number(t, db, "SELECT count(*) FROM item"); n != 0 {
				t.Errorf("%s: %d rows stayed", query, n)
			}
		}
	})
}

func TestStatementsAreCounted(t *testing.T) {
	onEachDB(t, itemTable, func(t *testing.T, db *sqldb.DB) {
		count := func(fn func()) uint64 {
			before := db.Statements()
			fn()
			return db.Statements() - before
		}
		var n int64
		if got := count(func() { _ = db.QueryRow("SELECT n FROM item").Scan(&n) }); got != 1 {
			t.Errorf("a read counts %d", got)
		}
		if got := count(func() { db.QueryRow("SELECT n FROM item") }); got != 0 {
			t.Errorf("a row nobody scans counts %d", got)
		}
		if got := count(func() {
			mustTx(t, db, func(tx *sqldb.Tx) error {
				_ = tx.QueryRow("SELECT n FROM item").Scan(&n)
				return insert("a", 1)(tx)
			})
		}); got != 3 {
			t.Errorf("a transaction of two statements counts %d, want 3", got)
		}
	})
}

func TestReadsOutsideTransactionsCannotWriteOnSQLite(t *testing.T) {
	onEachDB(t, itemTable, func(t *testing.T, db *sqldb.DB) {
		if db.Engine() != sqldb.SQLite {
			return
		}
		var id string
		if err := db.QueryRow("INSERT INTO item (id, n) VALUES ('a', 1) RETURNING id").Scan(&id); err == nil {
			t.Error("a read wrote")
		}
	})
}

func TestCancelledContextNeverRuns(t *testing.T) {
	onEachDB(t, itemTable, func(t *testing.T, db *sqldb.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := db.Tx(ctx, func(*sqldb.Tx) error { t.Error("ran"); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("err = %v", err)
		}
	})
}

func TestOnceBegunATransactionFinishesWhateverItsContextSays(t *testing.T) {
	onEachDB(t, itemTable, func(t *testing.T, db *sqldb.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		err := db.Tx(ctx, func(tx *sqldb.Tx) error {
			cancel()
			return insert("a", 1)(tx)
		})
		if err != nil {
			t.Errorf("err = %v", err)
		}
		if n := number(t, db, "SELECT count(*) FROM item"); n != 1 {
			t.Errorf("%d rows", n)
		}
	})
}
