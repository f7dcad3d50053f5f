package storage_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"simplon/identity"
	"simplon/storage"
)

func TestSessionsComeBackAsWritten(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		full := filled[identity.Session]()
		full.FrontID, full.AccountID = w.front.ID, w.anna.ID
		bare := w.session("ses_bare")
		must(t, db, func(tx *storage.Tx) error { return errors.Join(tx.CreateSession(full), tx.CreateSession(bare)) })
		for _, want := range []identity.Session{full, bare} {
			got, err := db.Session(want.ID)
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, want)
		}
		if _, err := db.Session("ses_9"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("Session of no id: %v", err)
		}
		refused(t, db, storage.ErrTaken, func(tx *storage.Tx) error { return tx.CreateSession(bare) })
	})
}

func TestSessionsInSetAreLiveAndTheOneProvedLastIsFirst(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		now := instant()
		at := func(id string, auth time.Duration, change ...func(*identity.Session)) identity.Session {
			s := w.session(id)
			s.AuthAt = now.Add(auth)
			for _, c := range change {
				c(&s)
			}
			return s
		}
		first, second := at("ses_1", -time.Minute), at("ses_2", -time.Hour)
		tie := at("ses_3", -time.Hour)
		must(t, db, func(tx *storage.Tx) (err error) {
			for _, s := range []identity.Session{
				second, first, tie,
				at("ses_4", 0, func(s *identity.Session) { s.EndedAt = now.Add(-time.Second) }),
				at("ses_5", 0, func(s *identity.Session) { s.ExpiresAt = now }),
				at("ses_6", 0, func(s *identity.Session) { s.SetHash = []byte("other") }),
			} {
				err = errors.Join(err, tx.CreateSession(s))
			}
			return err
		})
		got, err := db.SessionsInSet([]byte("set"), now)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, []identity.Session{first, tie, second})
		for _, hash := range [][]byte{nil, {}, []byte("se")} {
			if got, err := db.SessionsInSet(hash, now); err != nil || len(got) != 0 {
				t.Errorf("sessions of %q: %v, %v", hash, got, err)
			}
		}
	})
}

func TestRenewedSessionOpensUnderTheNewCookieOnly(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		s := w.session("ses_1")
		must(t, db, func(tx *storage.Tx) error { return tx.CreateSession(s) })
		other := filled[identity.Session]()
		s.SetHash, s.Methods, s.ACR, s.Browser, s.Network = other.SetHash, other.Methods, other.ACR, other.Browser, other.Network
		s.AuthAt, s.ExpiresAt = other.AuthAt, other.ExpiresAt
		renew := func(tx *storage.Tx) (bool, error) { return tx.RenewSession(s) }
		if !try(t, db, renew) {
			t.Fatal("a live session was not renewed")
		}
		got, err := db.Session(s.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, s)
		if old, err := db.SessionsInSet([]byte("set"), instant()); err != nil || len(old) != 0 {
			t.Errorf("the old cookie opens %v, %v", old, err)
		}
		try(t, db, func(tx *storage.Tx) (bool, error) { return tx.EndSession(s.ID, instant()) })
		if try(t, db, renew) {
			t.Error("an ended session was renewed")
		}
		s.ID = "ses_9"
		if try(t, db, renew) {
			t.Error("an absent session was renewed")
		}
	})
}

func TestEndSessionEndsWhatHangsOnIt(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		before, end := instant().Add(-time.Hour), instant().Add(time.Minute)
		opened, other := w.code("open", "ses_1"), w.code("other", "ses_2")
		opened.ExpiresAt, other.ExpiresAt = end.Add(time.Hour), end.Add(time.Hour)
		revoked := w.grant("grt_revoked", "ses_1", "openid")
		revoked.RevokedAt = before
		spent := w.code("spent", "ses_1")
		spent.SpentAt = before
		must(t, db, func(tx *storage.Tx) error {
			return errors.Join(
				tx.CreateSession(w.session("ses_1")), tx.CreateSession(w.session("ses_2")),
				tx.CreateGrant(w.grant("grt_plain", "ses_1", "openid", "email")),
				tx.CreateGrant(w.grant("grt_none", "ses_1")),
				tx.CreateGrant(w.grant("grt_offline", "ses_1", "openid", "offline_access", "email")),
				tx.CreateGrant(w.grant("grt_offline_first", "ses_1", "offline_access")),
				tx.CreateGrant(w.grant("grt_offline_last", "ses_1", "openid", "offline_access")),
				tx.CreateGrant(w.grant("grt_like_offline", "ses_1", "openid", "offlineXaccess", "offline_access2", "x:offline_access")),
				tx.CreateGrant(w.grant("grt_other", "ses_2", "openid")),
				tx.CreateGrant(revoked),
				tx.CreateCode(opened), tx.CreateCode(spent), tx.CreateCode(other))
		})
		endIt := func(tx *storage.Tx) (bool, error) { return tx.EndSession("ses_1", end) }
		if !try(t, db, endIt) {
			t.Fatal("the session did not end")
		}
		if s, err := db.Session("ses_1"); err != nil || !s.EndedAt.Equal(end) {
			t.Errorf("session %+v, %v", s, err)
		}
		if s, err := db.Session("ses_2"); err != nil || !s.EndedAt.IsZero() {
			t.Errorf("the other session %+v, %v", s, err)
		}
		for id, want := range map[string]time.Time{
			"grt_plain": end, "grt_none": end, "grt_like_offline": end, "grt_revoked": before,
			"grt_offline": {}, "grt_offline_first": {}, "grt_offline_last": {}, "grt_other": {},
		} {
			if g, err := db.Grant(id); err != nil || !g.RevokedAt.Equal(want) {
				t.Errorf("%s revoked at %v, %v, want %v", id, g.RevokedAt, err, want)
			}
		}
		for _, hash := range []string{"open", "spent", "other"} {
			// An open code has run out; it was not spent, so nobody is told of a replay.
			if c, err := db.Code([]byte(hash)); err != nil || c.SpentAt.IsZero() == (hash == "spent") {
				t.Errorf("code %s: %+v, %v", hash, c, err)
			}
			if got := try(t, db, func(tx *storage.Tx) (bool, error) { return tx.SpendCode([]byte(hash), end, end) }); got != (hash == "other") {
				t.Errorf("code %s can be spent: %t", hash, got)
			}
		}
		if try(t, db, endIt) {
			t.Error("it ended twice")
		}
		if try(t, db, func(tx *storage.Tx) (bool, error) { return tx.EndSession("ses_9", end) }) {
			t.Error("an absent session ended")
		}
	})
}

func TestDevicesComeBackAsWrittenAndRenew(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		d := filled[identity.Device]()
		d.FrontID, d.AccountID = w.front.ID, w.anna.ID
		expect := func() {
			t.Helper()
			got, err := db.Device(d.Hash, d.AccountID, d.FrontID, instant())
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, d)
		}
		must(t, db, func(tx *storage.Tx) error { return tx.RememberDevice(d) })
		expect()
		for name, err := range map[string]error{
			"another cookie":  second(db.Device([]byte("x"), d.AccountID, d.FrontID, instant())),
			"no cookie":       second(db.Device(nil, d.AccountID, d.FrontID, instant())),
			"another account": second(db.Device(d.Hash, w.beat.ID, d.FrontID, instant())),
			"another front":   second(db.Device(d.Hash, d.AccountID, "frt_2", instant())),
			"expired":         second(db.Device(d.Hash, d.AccountID, d.FrontID, d.ExpiresAt)),
		} {
			if !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		again := d
		again.ID, again.CreatedAt = "dev_new", d.CreatedAt.Add(time.Hour) // both stay what they were
		again.Browser, again.SeenAt, again.ExpiresAt = "Firefox", d.SeenAt.Add(time.Hour), d.ExpiresAt.Add(time.Hour)
		must(t, db, func(tx *storage.Tx) error { return tx.RememberDevice(again) })
		d.Browser, d.SeenAt, d.ExpiresAt = again.Browser, again.SeenAt, again.ExpiresAt
		expect()
	})
}

func second[T any](_ T, err error) error { return err }

func known(t *testing.T, db *storage.DB, w world, hashes ...string) (out []string) {
	t.Helper()
	for _, hash := range hashes {
		_, err := db.Device([]byte(hash), w.anna.ID, w.front.ID, instant())
		if err == nil {
			out = append(out, hash)
		} else if !errors.Is(err, storage.ErrNotFound) {
			t.Fatal(err)
		}
	}
	return out
}

func TestFiveBrowsersAreKnownAndTheOneSeenLongestAgoGoes(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		hashes := []string{"a", "b", "c", "d", "e", "f"}
		remember := func(i int, minute int) {
			t.Helper()
			d := w.device("dev_"+hashes[i], hashes[i], instant().Add(time.Duration(minute)*time.Minute))
			must(t, db, func(tx *storage.Tx) error { return tx.RememberDevice(d) })
		}
		beats := w.device("dev_beat", "a", instant().Add(-time.Hour))
		beats.AccountID = w.beat.ID
		must(t, db, func(tx *storage.Tx) error { return tx.RememberDevice(beats) })
		for i := range identity.DevicesPerAccount {
			remember(i, i)
		}
		remember(0, 10) // seen again: b is the oldest now
		policy := identity.LockPolicy{Threshold: 9, Wait: time.Minute, WaitMax: time.Minute}
		for _, lane := range []string{"dev_a", "dev_b"} {
			try(t, db, func(tx *storage.Tx) (bool, error) {
				_, ok, err := tx.ReserveAttempt(w.anna.ID, lane, policy, instant())
				return ok, err
			})
		}
		remember(5, 11)
		if got := known(t, db, w, hashes...); !slices.Equal(got, []string{"a", "c", "d", "e", "f"}) {
			t.Errorf("known browsers %q", got)
		}
		if _, err := db.Device([]byte("a"), w.beat.ID, w.front.ID, instant()); err != nil {
			t.Errorf("another account's browser: %v", err)
		}
		for lane, want := range map[string]int{"dev_a": 1, "dev_b": 0} {
			if l, err := db.Lane(w.anna.ID, lane); err != nil || l.Failures != want {
				t.Errorf("lane %s: %+v, %v", lane, l, err)
			}
		}
	})
}

func TestForgottenBrowserLosesItsLane(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		policy := identity.LockPolicy{Threshold: 9, Wait: time.Minute, WaitMax: time.Minute}
		must(t, db, func(tx *storage.Tx) error {
			_, _, err := tx.ReserveAttempt(w.anna.ID, "dev_1", policy, instant())
			return errors.Join(err, tx.RememberDevice(w.device("dev_1", "a", instant())), tx.RememberDevice(w.device("dev_2", "b", instant())))
		})
		must(t, db, func(tx *storage.Tx) error { return tx.ForgetDevice(w.beat.ID, "dev_2") }) // not Beat's
		must(t, db, func(tx *storage.Tx) error { return tx.ForgetDevice(w.anna.ID, "dev_1") })
		if got := known(t, db, w, "a", "b"); !slices.Equal(got, []string{"b"}) {
			t.Errorf("known browsers %q", got)
		}
		if l, err := db.Lane(w.anna.ID, "dev_1"); err != nil || l != (identity.Lane{}) {
			t.Errorf("its lane %+v, %v", l, err)
		}
	})
}

func TestManyBrowsersTooManyGoAtOnce(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		db := open(t, url)
		w := newWorld(t, db)
		var hashes []string
		must(t, db, func(tx *storage.Tx) (err error) {
			hashes = nil
			for i := range 12 {
				hashes = append(hashes, fmt.Sprintf("%02d", i))
				err = errors.Join(err, tx.RememberDevice(w.device("dev_"+hashes[i], hashes[i], instant()))) // all at one instant
			}
			return err
		})
		if got := known(t, db, w, hashes...); !slices.Equal(got, hashes[7:]) {
			t.Errorf("known browsers %q", got)
		}
	})
}
