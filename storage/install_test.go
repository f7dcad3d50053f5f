package storage_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"simplon/identity"
	"simplon/sqldb"
	"simplon/sqldb/pgtest"
	"simplon/storage"
)

func TestMigrateTwiceIsMigratingOnce(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		if err := db.Migrate(t.Context(), sqldb.MigrateOptions{Copy: true}); err != nil {
			t.Error(err)
		}
		if err := db.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		if db.Engine() != sqldb.SQLite && db.Engine() != sqldb.Postgres {
			t.Errorf("engine %q", db.Engine())
		}
	})
}

func TestOpenNamesItsRefusal(t *testing.T) {
	if db, err := storage.Open(t.Context(), sqldb.Config{URL: "mysql:x"}); err == nil || db != nil {
		t.Errorf("Open = %v, %v", db, err)
	}
}

func TestTransactionsAreAllOrNothing(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		broken := errors.New("broken")
		for name, run := range map[string]func(context.Context, func(*storage.Tx) error) error{
			"Tx":   db.Tx,
			"TxOn": func(ctx context.Context, fn func(*storage.Tx) error) error { return db.TxOn(ctx, "key", fn) },
		} {
			before := db.Statements()
			err := run(t.Context(), func(tx *storage.Tx) error {
				if err := tx.CreateSession(w.session("ses_1")); err != nil {
					return err
				}
				if _, err := tx.Session("ses_1"); err != nil {
					t.Errorf("%s: a transaction does not see its own row: %v", name, err)
				}
				return broken
			})
			if !errors.Is(err, broken) {
				t.Errorf("%s: error %v", name, err)
			}
			if _, err := db.Session("ses_1"); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("%s: after the rollback: %v", name, err)
			}
			if n := db.Statements() - before; n != 4 { // BEGIN, INSERT, two SELECTs
				t.Errorf("%s: %d statements counted, want 4", name, n)
			}
		}
	})
}

func TestEpochBeginsAtOne(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		db := open(t, url)
		if n, err := db.Epoch(); n != 1 || err != nil {
			t.Errorf("Epoch = %d, %v", n, err)
		}
		for value, want := range map[string]int64{"42": 42, "x": 0} {
			if err := raw(t, url).Tx(t.Context(), func(tx *sqldb.Tx) error {
				_, err := tx.Exec(`UPDATE meta SET value = $1 WHERE key = 'epoch'`, value)
				return err
			}); err != nil {
				t.Fatal(err)
			}
			if n, err := db.Epoch(); n != want || (err == nil) != (want != 0) {
				t.Errorf("Epoch of %q = %d, %v", value, n, err)
			}
		}
	})
}

func TestFronts(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		if _, err := db.DefaultFront(); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("DefaultFront of an empty database: %v", err)
		}
		if _, err := db.FrontByIssuer("https://login.example"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("FrontByIssuer of an empty database: %v", err)
		}
		theirs := filled[identity.Front]()
		ours := identity.Front{ID: "frt_1", Issuer: "https://login.example", RPID: "login.example", CreatedAt: theirs.CreatedAt.Add(time.Hour)}
		must(t, db, func(tx *storage.Tx) error { return errors.Join(tx.CreateFront(theirs), tx.CreateFront(ours)) })
		got, err := db.FrontByIssuer(theirs.Issuer)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, theirs)
		if got, err = db.DefaultFront(); err != nil {
			t.Fatal(err)
		}
		same(t, got, ours)

		refused(t, db, storage.ErrTaken, func(tx *storage.Tx) error {
			return tx.CreateFront(identity.Front{ID: "frt_2", Issuer: ours.Issuer})
		})
		ours.Issuer = "https://id.example"
		must(t, db, func(tx *storage.Tx) error { return tx.MoveFront(ours.ID, ours.Issuer) })
		if got, err = db.FrontByIssuer(ours.Issuer); err != nil {
			t.Fatal(err)
		}
		same(t, got, ours)
		if _, err := db.FrontByIssuer("https://login.example"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("the old issuer: %v", err)
		}
	})
}

func TestSigningKeysAreOnePerAlgorithm(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		if keys, err := db.SigningKeys(); err != nil || len(keys) != 0 {
			t.Errorf("SigningKeys = %v, %v", keys, err)
		}
		second, first := filled[identity.SigningKey](), filled[identity.SigningKey]()
		first.ID, first.Alg, first.CreatedAt = "key_1", "ES256", second.CreatedAt.Add(-time.Hour)
		must(t, db, func(tx *storage.Tx) error {
			return errors.Join(tx.CreateSigningKey(second), tx.CreateSigningKey(first))
		})
		keys, err := db.SigningKeys()
		if err != nil {
			t.Fatal(err)
		}
		same(t, keys, []identity.SigningKey{first, second})
		refused(t, db, storage.ErrTaken, func(tx *storage.Tx) error {
			return tx.CreateSigningKey(identity.SigningKey{ID: "key_2", Alg: "ES256", Private: []byte("x")})
		})
	})
}

func TestEventsComeNewestFirst(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		full := filled[identity.Event]()
		full.AccountID = "acc_1"
		want := []identity.Event{full}
		for i := range 5 { // two of one instant, ordered by id
			want = append(want, identity.Event{ID: fmt.Sprint("evt_", 9-i), AccountID: "acc_1", Kind: identity.EventSignedIn,
				At: full.At.Add(-time.Duration(1+i/2) * time.Hour)})
		}
		other := identity.Event{ID: "evt_other", AccountID: "acc_2", At: full.At}
		must(t, db, func(tx *storage.Tx) error {
			err := tx.Record(other)
			for _, e := range want {
				err = errors.Join(err, tx.Record(e))
			}
			return err
		})
		for limit, n := range map[int]int{0: 0, 1: 1, 4: 4, 100: 6} {
			got, err := db.Events("acc_1", limit)
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, want[:n])
		}
		refused(t, db, storage.ErrTaken, func(tx *storage.Tx) error { return tx.Record(other) })
		if got, err := db.Events("acc_3", 10); err != nil || len(got) != 0 {
			t.Errorf("events of nobody: %v, %v", got, err)
		}
	})
}

// An installation is there from the transaction that begins it, and its proof
// never changes.
func TestInstallationIsBegunOnce(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		db := open(t, url)
		wantInstalled(t, db, false) // tables, but nobody's
		if _, err := db.RingProof(); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("RingProof of an empty database: %v", err)
		}
		proof := []byte{0, 1, 254, 255}
		must(t, db, func(tx *storage.Tx) error {
			return errors.Join(tx.CreateFront(identity.Front{ID: "frt_1", Issuer: "https://id.example", CreatedAt: instant()}), tx.CreateRingProof(proof))
		})
		wantInstalled(t, db, true)
		refused(t, db, storage.ErrTaken, func(tx *storage.Tx) error { return tx.CreateRingProof([]byte("another")) })
		got, err := db.RingProof()
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, proof)
		if err := raw(t, url).Tx(t.Context(), func(tx *sqldb.Tx) error {
			_, err := tx.Exec(`UPDATE meta SET value = '%' WHERE key = 'ring_proof'`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := db.RingProof(); err == nil || errors.Is(err, storage.ErrNotFound) {
			t.Errorf("a broken proof: %v", err)
		}
	})
}

func TestDatabaseWithoutTablesHoldsNoInstallation(t *testing.T) {
	for name, url := range map[string]string{"sqlite": "sqlite:" + filepath.Join(t.TempDir(), "new.db"), "postgres": pgtest.New(t)} {
		t.Run(name, func(t *testing.T) { wantInstalled(t, open(t, url), false) })
	}
}

func wantInstalled(t *testing.T, db *storage.DB, want bool) {
	t.Helper()
	if got, err := db.Installed(); got != want || err != nil {
		t.Errorf("Installed = %v, %v", got, err)
	}
}
