package sqldb_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"simplon/sqldb"
)

// together calls fn n times at once and waits for all.
func together(n int, fn func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() { <-start; fn(i) })
	}
	close(start)
	wg.Wait()
}

func TestOneOfManySpendsTheRow(t *testing.T) {
	onEachDB(t, "CREATE TABLE code (id TEXT PRIMARY KEY, spent_at BIGINT)", func(t *testing.T, db *sqldb.DB) {
		mustTx(t, db, func(tx *sqldb.Tx) error {
			_, err := tx.Exec("INSERT INTO code (id) VALUES ('a')")
			return err
		})
		var winners atomic.Int32
		together(50, func(i int) {
			var won int64
			err := db.Tx(t.Context(), func(tx *sqldb.Tx) (err error) {
				won, err = tx.Exec("UPDATE code SET spent_at = $2 WHERE id = $1 AND spent_at IS NULL", "a", i)
				return err
			})
			if err != nil {
				t.Error(err)
			} else {
				winners.Add(int32(won))
			}
		})
		if n := winners.Load(); n != 1 {
			t.Errorf("%d winners", n)
		}
	})
}

// Two doctors are on call and each may leave while the other stays: each
// transaction reads the other's row and writes its own.
func TestWriteSkewIsRefused(t *testing.T) {
	onEachDB(t, "CREATE TABLE doctor (id BIGINT PRIMARY KEY, on_call BOOLEAN NOT NULL)", func(t *testing.T, db *sqldb.DB) {
		for range 10 {
			mustTx(t, db, func(tx *sqldb.Tx) error {
				_, err := tx.Exec(`INSERT INTO doctor (id, on_call) VALUES (0, TRUE), (1, TRUE)
					ON CONFLICT (id) DO UPDATE SET on_call = TRUE`)
				return err
			})
			var runs atomic.Int32
			bothRead := make(chan struct{})
			meet := func() { // on PostgreSQL both first runs read before either writes
				if db.Engine() != sqldb.Postgres {
					return
				}
				switch runs.Add(1) {
				case 1:
					<-bothRead
				case 2:
					close(bothRead)
				}
			}
			together(2, func(me int) {
				err := db.Tx(t.Context(), func(tx *sqldb.Tx) error {
					var other bool
					if err := tx.QueryRow("SELECT on_call FROM doctor WHERE id = $1", 1-me).Scan(&other); err != nil {
						return err
					}
					meet()
					if !other {
						return nil
					}
					_, err := tx.Exec("UPDATE doctor SET on_call = FALSE WHERE id = $1", me)
					return err
				})
				if err != nil {
					t.Error(err)
				}
			})
			if n := number(t, db, "SELECT count(*) FROM doctor WHERE on_call"); n != 1 {
				t.Fatalf("%d doctors on call, want 1", n)
			}
			if n := runs.Load(); db.Engine() == sqldb.Postgres && n < 3 {
				t.Errorf("%d runs: one of two should have been refused and run again", n)
			}
		}
	})
}

func TestTxOnOrdersTransactionsOfOneKey(t *testing.T) {
	onEachDB(t, itemTable, func(t *testing.T, db *sqldb.DB) {
		mustTx(t, db, insert("hot", 0))
		var inside, runs atomic.Int32
		together(64, func(int) {
			err := db.TxOn(t.Context(), "hot", func(tx *sqldb.Tx) error {
				if inside.Add(1) != 1 {
					t.Error("two inside")
				}
				defer inside.Add(-1)
				runs.Add(1)
				_, err := tx.Exec("UPDATE item SET n = n + 1 WHERE id = $1", "hot")
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
		if n := number(t, db, "SELECT n FROM item"); n != 64 {
			t.Errorf("n = %d", n)
		}
		if n := runs.Load(); n != 64 {
			t.Errorf("%d runs: some were retried", n)
		}
	})
}

func TestGivingUpInTheQueueNeverRuns(t *testing.T) {
	onEachDB(t, itemTable, func(t *testing.T, db *sqldb.DB) {
		inside, leave := make(chan struct{}), make(chan struct{})
		holder := make(chan error, 1)
		go func() {
			holder <- db.TxOn(t.Context(), "k", func(tx *sqldb.Tx) error {
				close(inside)
				<-leave
				return insert("a", 1)(tx)
			})
		}()
		<-inside
		ctx, cancel := context.WithCancel(t.Context())
		queued := make(chan error, 1)
		go func() {
			queued <- db.TxOn(ctx, "k", func(*sqldb.Tx) error { t.Error("ran"); return nil })
		}()
		cancel()
		if err := <-queued; !errors.Is(err, context.Canceled) {
			t.Errorf("queued: %v", err)
		}
		close(leave)
		if err := <-holder; err != nil {
			t.Error(err)
		}
		mustTx(t, db, insert("b", 1)) // the line moves on
	})
}

func TestManyWritersNeverSeeBusy(t *testing.T) {
	onEachDB(t, itemTable, func(t *testing.T, db *sqldb.DB) {
		together(64, func(i int) {
			for j := range 4 {
				id := fmt.Sprint(i, "-", j)
				if err := db.Tx(t.Context(), insert(id, 1)); err != nil {
					t.Error(err)
				}
				var n int64
				if err := db.QueryRow("SELECT n FROM item WHERE id = $1", id).Scan(&n); err != nil {
					t.Error(err)
				}
			}
		})
		if n := number(t, db, "SELECT count(*) FROM item"); n != 256 {
			t.Errorf("%d rows", n)
		}
	})
}

// Two DB values on one file stand for two processes: SQLite's locks are the only
// thing between them.
func TestWritersOfTwoProcessesNeverSeeBusyOnSQLite(t *testing.T) {
	url := "sqlite:" + filepath.Join(t.TempDir(), "a.db")
	dbs := []*sqldb.DB{open(t, url), open(t, url)}
	mustTx(t, dbs[0], func(tx *sqldb.Tx) error { _, err := tx.Exec(itemTable); return err })
	together(32, func(i int) {
		db := dbs[i%2]
		err := db.Tx(t.Context(), func(tx *sqldb.Tx) error {
			number(t, tx, "SELECT count(*) FROM item") // read, then write: the trap of deferred transactions
			return insert(fmt.Sprint(i), 1)(tx)
		})
		if err != nil {
			t.Error(err)
		}
	})
	if n := number(t, dbs[0], "SELECT count(*) FROM item"); n != 32 {
		t.Errorf("%d rows", n)
	}
}

func TestReadersSeeCommittedRowsAndDoNotWaitForTheWriter(t *testing.T) {
	onEachDB(t, itemTable, func(t *testing.T, db *sqldb.DB) {
		mustTx(t, db, insert("a", 1))
		mustTx(t, db, func(tx *sqldb.Tx) error {
			if _, err := tx.Exec("UPDATE item SET n = 2"); err != nil {
				return err
			}
			if err := insert("b", 1)(tx); err != nil {
				return err
			}
			// The writer is in the middle of its transaction; reading finishes.
			together(8, func(int) {
				if n := number(t, db, "SELECT sum(n) FROM item"); n != 1 {
					t.Errorf("a reader saw uncommitted rows: %d", n)
				}
			})
			return nil
		})
		if n := number(t, db, "SELECT sum(n) FROM item"); n != 3 {
			t.Errorf("after commit: %d", n)
		}
	})
}
