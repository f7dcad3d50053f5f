package storage_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"simplon/identity"
	"simplon/storage"
)

func TestAccountsComeBackAsWritten(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		full := filled[identity.Account]()
		bare := identity.Account{ID: "acc_bare", Login: "b", LoginKey: "b", CreatedAt: instant(), UpdatedAt: instant()}
		must(t, db, func(tx *storage.Tx) error { return errors.Join(tx.CreateAccount(full), tx.CreateAccount(bare)) })
		for _, want := range []identity.Account{full, bare} {
			got, err := db.Account(want.ID)
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, want)
			if got, err = db.AccountByLogin(want.LoginKey); err != nil {
				t.Fatal(err)
			}
			same(t, got, want)
		}
		for _, key := range []string{"", "nobody", "B", full.Login} {
			if _, err := db.AccountByLogin(key); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("AccountByLogin(%q): %v", key, err)
			}
		}
		if _, err := db.Account("b"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("Account of no id: %v", err)
		}
	})
}

func TestLoginKeyIsTakenOnce(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		again := w.anna
		again.ID = "acc_9"
		refused(t, db, storage.ErrTaken, func(tx *storage.Tx) error { return tx.CreateAccount(again) })
		if _, err := db.Account("acc_9"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("the refused account: %v", err)
		}
		again.ID, again.LoginKey = w.anna.ID, "other@example.com"
		refused(t, db, storage.ErrTaken, func(tx *storage.Tx) error { return tx.CreateAccount(again) })
	})
}

// pages reads everything through a paged method, so many rows at a time.
func pages[T any](t *testing.T, limit int, read func(after time.Time, id string, limit int) ([]T, error), key func(T) (time.Time, string)) []T {
	t.Helper()
	var out []T
	var after time.Time
	var id string
	for {
		page, err := read(after, id, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) > limit {
			t.Fatalf("%d rows, limit %d", len(page), limit)
		}
		if len(page) == 0 {
			return out
		}
		out = append(out, page...)
		after, id = key(page[len(page)-1])
	}
}

func TestAccountsArePagedOldestFirst(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		var want []identity.Account
		for i := range 10 { // three of each instant, made in another order than listed
			at := instant().Add(time.Duration(i/3) * time.Microsecond)
			want = append(want, identity.Account{ID: fmt.Sprintf("acc_%02d", i), LoginKey: fmt.Sprint(i), CreatedAt: at, UpdatedAt: at})
		}
		must(t, db, func(tx *storage.Tx) (err error) {
			for i := range want {
				err = errors.Join(err, tx.CreateAccount(want[(i*7)%10]))
			}
			return err
		})
		for _, limit := range []int{1, 2, 3, 4, 10, 11} {
			same(t, pages(t, limit, db.Accounts, func(a identity.Account) (time.Time, string) { return a.CreatedAt, a.ID }), want)
		}
	})
}

func TestAdministratorsAreThoseInUse(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		count := func(want int) {
			t.Helper()
			if n, err := db.Administrators(); n != want || err != nil {
				t.Errorf("Administrators = %d, %v, want %d", n, err, want)
			}
		}
		newWorld(t, db)
		count(0)
		must(t, db, func(tx *storage.Tx) error {
			return errors.Join(
				tx.CreateAccount(identity.Account{ID: "acc_a", LoginKey: "a", Administrator: true, CreatedAt: instant()}),
				tx.CreateAccount(identity.Account{ID: "acc_b", LoginKey: "b", Administrator: true, CreatedAt: instant(), DisabledAt: instant()}))
		})
		count(1)
	})
}

func TestPasswordIsRehashedOnlyWhileItIsTheSame(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		a := identity.Account{ID: "acc_1", LoginKey: "a", SealedPassword: []byte("old"), CreatedAt: instant()}
		none := identity.Account{ID: "acc_2", LoginKey: "b", CreatedAt: instant()}
		must(t, db, func(tx *storage.Tx) error { return errors.Join(tx.CreateAccount(a), tx.CreateAccount(none)) })
		for _, c := range []struct{ id, old, sealed, want string }{
			{"acc_1", "changed meanwhile", "new", "old"},
			{"acc_2", "", "new", ""},
			{"acc_1", "old", "new", "new"},
			{"acc_1", "old", "newer", "new"},
		} {
			must(t, db, func(tx *storage.Tx) error { return tx.ReplacePasswordHash(c.id, []byte(c.old), []byte(c.sealed)) })
			if got, err := db.Account(c.id); err != nil || string(got.SealedPassword) != c.want {
				t.Errorf("%+v: %q, %v", c, got.SealedPassword, err)
			}
		}
	})
}
