package storage_test

import (
	"errors"
	"testing"
	"time"

	"simplon/identity"
	"simplon/sqldb"
	"simplon/storage"
)

func TestGrantsComeBackAsWritten(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		full := filled[identity.Grant]()
		full.FrontID, full.AccountID, full.ClientID = w.front.ID, w.anna.ID, w.client.ID
		bare := w.grant("grt_bare", "")
		must(t, db, func(tx *storage.Tx) error { return errors.Join(tx.CreateGrant(full), tx.CreateGrant(bare)) })
		for _, want := range []identity.Grant{full, bare} {
			got, err := db.Grant(want.ID)
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, want)
		}
		if _, err := db.Grant("grt_9"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("Grant of no id: %v", err)
		}
		refused(t, db, storage.ErrTaken, func(tx *storage.Tx) error { return tx.CreateGrant(bare) })
	})
}

func TestGrantIsRevokedOnce(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		must(t, db, func(tx *storage.Tx) error { return tx.CreateGrant(w.grant("grt_1", "")) })
		revoke := func(id string, at time.Time) bool {
			t.Helper()
			return try(t, db, func(tx *storage.Tx) (bool, error) { return tx.RevokeGrant(id, at) })
		}
		if !revoke("grt_1", instant()) || revoke("grt_1", instant().Add(time.Hour)) || revoke("grt_9", instant()) {
			t.Error("not exactly the first call revoked")
		}
		if g, err := db.Grant("grt_1"); err != nil || !g.RevokedAt.Equal(instant()) {
			t.Errorf("%+v, %v", g, err)
		}
	})
}

func TestGrantUseIsRememberedHourly(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		db := open(t, url)
		w := newWorld(t, db)
		must(t, db, func(tx *storage.Tx) error { return tx.CreateGrant(w.grant("grt_1", "")) })
		touched := func(at time.Duration) time.Duration {
			t.Helper()
			must(t, db, func(tx *storage.Tx) error { return tx.TouchGrant("grt_1", instant().Add(at)) })
			used := number(t, raw(t, url), `SELECT used_at FROM grants WHERE id = 'grt_1'`)
			return time.UnixMicro(used).Sub(instant())
		}
		for _, c := range []struct{ at, want time.Duration }{
			{0, 0}, {time.Minute, 0}, {time.Hour, 0}, {time.Hour + time.Microsecond, time.Hour + time.Microsecond}, {time.Minute, time.Hour + time.Microsecond},
		} {
			if got := touched(c.at); got != c.want {
				t.Errorf("used at %v, remembered %v, want %v", c.at, got, c.want)
			}
		}
	})
}

func TestCodesComeBackAsWrittenAndAreSpentOnce(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		full := filled[identity.Code]()
		full.Grant.CreatedAt, full.Grant.ExpiresAt, full.Grant.RevokedAt = time.Time{}, time.Time{}, time.Time{} // set when redeemed
		bare := w.code("bare", "")
		bare.Grant.CreatedAt, bare.Grant.ExpiresAt = time.Time{}, time.Time{}
		must(t, db, func(tx *storage.Tx) error { return errors.Join(tx.CreateCode(full), tx.CreateCode(bare)) })
		for _, want := range []identity.Code{full, bare} {
			got, err := db.Code(want.Hash)
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, want)
		}
		for _, hash := range [][]byte{nil, {}, []byte("bar"), []byte("x")} {
			if _, err := db.Code(hash); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("Code(%q): %v", hash, err)
			}
		}
		refused(t, db, storage.ErrTaken, func(tx *storage.Tx) error { return tx.CreateCode(bare) })

		spend := func(hash []byte, at time.Time) bool {
			t.Helper()
			return try(t, db, func(tx *storage.Tx) (bool, error) { return tx.SpendCode(hash, at, at) })
		}
		if spend(bare.Hash, bare.ExpiresAt) {
			t.Error("an expired code was spent")
		}
		last := bare.ExpiresAt.Add(-time.Microsecond)
		if !spend(bare.Hash, last) || spend(bare.Hash, last) || spend(full.Hash, instant()) || spend([]byte("x"), instant()) {
			t.Error("not exactly the first call in time spent the code")
		}
		if c, err := db.Code(bare.Hash); err != nil || !c.SpentAt.Equal(last) {
			t.Errorf("%+v, %v", c, err)
		}
	})
}

func TestRefreshTokensComeBackAsWrittenAndAreSpentOnce(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		full := filled[identity.RefreshToken]()
		full.GrantID = "grt_1"
		open := identity.RefreshToken{Hash: []byte("open"), GrantID: "grt_1", CreatedAt: instant(), ExpiresAt: instant().Add(time.Hour)}
		must(t, db, func(tx *storage.Tx) error {
			return errors.Join(tx.CreateGrant(w.grant("grt_1", "")), tx.CreateRefreshToken(full), tx.CreateRefreshToken(open))
		})
		for _, want := range []identity.RefreshToken{full, open} {
			got, err := db.RefreshToken(want.Hash)
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, want)
		}
		if _, err := db.RefreshToken([]byte("x")); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("RefreshToken of no hash: %v", err)
		}
		refused(t, db, storage.ErrTaken, func(tx *storage.Tx) error { return tx.CreateRefreshToken(open) })

		spend := func(hash []byte, at time.Time) bool {
			t.Helper()
			return try(t, db, func(tx *storage.Tx) (bool, error) { return tx.SpendRefreshToken(hash, at) })
		}
		if spend(open.Hash, open.ExpiresAt) {
			t.Error("an expired token was spent")
		}
		if !spend(open.Hash, instant()) || spend(open.Hash, instant()) || spend(full.Hash, instant()) || spend([]byte("x"), instant()) {
			t.Error("not exactly the first call spent the token")
		}
		if got, err := db.RefreshToken(open.Hash); err != nil || !got.SpentAt.Equal(instant()) {
			t.Errorf("%+v, %v", got, err)
		}
		if err := db.Tx(t.Context(), func(tx *storage.Tx) error {
			return tx.CreateRefreshToken(identity.RefreshToken{Hash: []byte("lost"), GrantID: "grt_9"})
		}); err == nil || sqldb.IsUnique(err) {
			t.Errorf("a token of no grant: %v", err)
		}
	})
}
