package storage_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"simplon/identity"
	"simplon/sqldb"
	"simplon/storage"
)

func TestHandoffIsSpentOnceAndOnItsPathOnly(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		expires := instant().Add(time.Minute)
		must(t, db, func(tx *storage.Tx) error { return tx.CreateHandoff([]byte("h"), "/authorize", "a=b&c=%00é", expires) })
		refused(t, db, storage.ErrTaken, func(tx *storage.Tx) error { return tx.CreateHandoff([]byte("h"), "/x", "", expires) })
		spend := func(hash, path string, at time.Time) (string, error) {
			var params string
			err := db.Tx(t.Context(), func(tx *storage.Tx) (err error) {
				params, err = tx.SpendHandoff([]byte(hash), path, at)
				return err
			})
			return params, err
		}
		for name, err := range map[string]error{
			"unknown":      second(spend("x", "/authorize", instant())),
			"another path": second(spend("h", "/end_session", instant())),
			"expired":      second(spend("h", "/authorize", expires)),
		} {
			if !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if params, err := spend("h", "/authorize", instant()); params != "a=b&c=%00é" || err != nil {
			t.Errorf("spent: %q, %v", params, err)
		}
		if params, err := spend("h", "/authorize", instant()); params != "" || !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("spent again: %q, %v", params, err)
		}
	})
}

func TestOnlyTheNewestSetupLinkOpens(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		first, newest := filled[identity.SetupLink](), filled[identity.SetupLink]()
		first.Hash, newest.Hash = []byte("first"), []byte("newest")
		first.SpentAt, newest.SpentAt = time.Time{}, time.Time{}
		newest.Emergency = false
		newest.CreatedAt = first.CreatedAt.Add(time.Minute)
		expect := func(want identity.SetupLink) {
			t.Helper()
			got, err := db.SetupLink(want.Hash)
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, want)
		}
		spend := func(hash []byte, at time.Time) bool {
			t.Helper()
			return try(t, db, func(tx *storage.Tx) (bool, error) { return tx.SpendSetupLink(hash, at) })
		}
		must(t, db, func(tx *storage.Tx) error { return tx.CreateSetupLink(first) })
		expect(first)
		must(t, db, func(tx *storage.Tx) error { return tx.CreateSetupLink(newest) })
		first.SpentAt = newest.CreatedAt
		expect(first)
		expect(newest)
		if spend(first.Hash, newest.CreatedAt) || spend([]byte("x"), newest.CreatedAt) || spend(newest.Hash, newest.ExpiresAt) {
			t.Error("an ended, absent or expired link opened")
		}
		if !spend(newest.Hash, newest.CreatedAt) || spend(newest.Hash, newest.CreatedAt) {
			t.Error("not exactly the first call spent the link")
		}
		if _, err := db.SetupLink([]byte("x")); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("SetupLink of no hash: %v", err)
		}
		refused(t, db, storage.ErrTaken, func(tx *storage.Tx) error { return tx.CreateSetupLink(first) })
	})
}

const day = 24 * time.Hour

// put inserts one row of each kind that Prune knows, all of one age: ends is when
// they expire, touched when their lanes were used.
func put(t *testing.T, db *storage.DB, w world, name string, ends, touched time.Time) {
	t.Helper()
	must(t, db, func(tx *storage.Tx) error {
		signIn, session, grant, code := w.signIn(name), w.session(name), w.grant(name, name), w.code(name, name)
		device := w.device(name, name, instant())
		signIn.ExpiresAt, session.ExpiresAt, grant.ExpiresAt, code.ExpiresAt, device.ExpiresAt = ends, ends, ends, ends, ends
		code.ForgetAt = ends.Add(day)
		grants := errors.Join(tx.CreateGrant(grant), tx.CreateGrant(w.grant("of-"+name, name)))
		_, _, of := tx.ReserveAttempt("acc_1", name, policy(9), touched)
		_, _, nobodys := tx.ReserveAttempt("x"+name, identity.LaneUnknown, policy(9), touched)
		return errors.Join(tx.CreateSignIn(signIn, ""), tx.CreateSession(session), grants, tx.CreateCode(code), tx.RememberDevice(device), of, nobodys,
			tx.CreateHandoff([]byte(name), "/", "", ends),
			tx.CreateRefreshToken(identity.RefreshToken{Hash: []byte(name), GrantID: "of-" + name, ExpiresAt: ends}),
			tx.CreateSetupLink(identity.SetupLink{Hash: []byte(name), ExpiresAt: ends}))
	})
}

// left tells which kinds of rows of the name there are.
func left(t *testing.T, db *sqldb.DB, name string) (kinds []string) {
	t.Helper()
	hash := []byte(name)
	for _, k := range []struct {
		kind, query string
		arg         any
	}{
		{"code", `SELECT COUNT(*) FROM code WHERE hash = $1`, hash},
		{"device", `SELECT COUNT(*) FROM device WHERE id = $1`, name},
		{"grant", `SELECT COUNT(*) FROM grants WHERE id = $1`, name},
		{"handoff", `SELECT COUNT(*) FROM handoff WHERE hash = $1`, hash},
		{"lane", `SELECT COUNT(*) FROM lane WHERE subject = 'acc_1' AND lane = $1`, name},
		{"lane of nobody", `SELECT COUNT(*) FROM lane WHERE subject = $1`, "x" + name},
		{"refresh token", `SELECT COUNT(*) FROM refresh_token WHERE hash = $1`, hash},
		{"session", `SELECT COUNT(*) FROM session WHERE id = $1`, name},
		{"set-up link", `SELECT COUNT(*) FROM setup_link WHERE hash = $1`, hash},
		{"sign-in", `SELECT COUNT(*) FROM signin WHERE id = $1`, name},
	} {
		if number(t, db, k.query, k.arg) > 0 {
			kinds = append(kinds, k.kind)
		}
	}
	return kinds
}

func TestPruneKeepsWhatSomeRuleStillNeeds(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		db := open(t, url)
		w := newWorld(t, db)
		now := instant()
		all := []string{"code", "device", "grant", "handoff", "lane", "lane of nobody", "refresh token", "session", "set-up link", "sign-in"}
		dayOld := []string{"lane", "session"}
		cases := []struct {
			name          string
			ends, touched time.Duration
			want          []string
		}{
			{"live", time.Hour, 0, all},
			{"edge", 0, -day, all},
			{"past", -time.Microsecond, -day, []string{"code", "grant", "lane", "lane of nobody", "refresh token", "session", "set-up link", "sign-in"}},
			{"dayold", -day - time.Microsecond, -day - time.Microsecond, dayOld},
			{"monthedge", -30 * day, -365 * day, dayOld},
			{"old", -30*day - time.Microsecond, -365*day - time.Microsecond, nil},
		}
		for i, c := range cases {
			of := w
			if i >= identity.DevicesPerAccount { // one more browser would be forgotten
				of.anna = w.beat
			}
			put(t, db, of, c.name, now.Add(c.ends), now.Add(c.touched))
		}
		event := identity.Event{ID: "evt_1", At: now.Add(-1000 * day), AccountID: w.anna.ID}
		must(t, db, func(tx *storage.Tx) error {
			return errors.Join(tx.Record(event), tx.GiveConsent(w.anna.ID, w.client.ID, identity.Scopes{"openid"}, now.Add(-1000*day)))
		})
		must(t, db, func(tx *storage.Tx) error {
			_, err := tx.Prune(now, 1000)
			return err
		})
		for _, c := range cases {
			if got := left(t, raw(t, url), c.name); !slices.Equal(got, c.want) {
				t.Errorf("%s: left %q, want %q", c.name, got, c.want)
			}
		}
		if events, err := db.Events(w.anna.ID, 10); err != nil || len(events) != 1 {
			t.Errorf("events: %v, %v", events, err)
		}
		if scopes, err := db.Consent(w.anna.ID, w.client.ID); err != nil || len(scopes) != 1 {
			t.Errorf("consent: %v, %v", scopes, err)
		}
		if clients, err := db.Clients(time.Time{}, "", 10); err != nil || len(clients) != 1 {
			t.Errorf("clients: %v, %v", clients, err)
		}
	})
}

// A spent refresh token in its life is what shows reuse; a locked lane is what
// keeps strangers out, of addresses that nobody has too.
func TestPruneKeepsSpentTokensAndLockedLanes(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		db := open(t, url)
		w := newWorld(t, db)
		now := instant()
		week := identity.LockPolicy{Threshold: 1, Wait: 7 * day, WaitMax: 7 * day}
		must(t, db, func(tx *storage.Tx) error {
			_, ok, err := tx.ReserveAttempt("xlocked", identity.LaneUnknown, week, now.Add(-2*day))
			if !ok {
				t.Error("the attempt that locks was refused")
			}
			return errors.Join(err, tx.CreateGrant(w.grant("grt_1", "")), tx.CreateRefreshToken(identity.RefreshToken{
				Hash: []byte("spent"), GrantID: "grt_1", ExpiresAt: now.Add(time.Hour), SpentAt: now.Add(-60 * day)}))
		})
		must(t, db, func(tx *storage.Tx) error {
			_, err := tx.Prune(now, 1000)
			return err
		})
		if _, err := db.RefreshToken([]byte("spent")); err != nil {
			t.Errorf("the spent token: %v", err)
		}
		if l, err := db.Lane("xlocked", identity.LaneUnknown); err != nil || !l.Locked(now) {
			t.Errorf("the locked lane: %+v, %v", l, err)
		}
	})
}

func TestPruneTakesSoManyOfEachKindAndCountsThem(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		db := open(t, url)
		w := newWorld(t, db)
		old := instant().Add(-400 * day)
		for i := range 5 {
			put(t, db, w, fmt.Sprint("n", i), old, old) // lanes all touched at once
		}
		rows := func() (n int64) {
			for _, table := range []string{"code", "device", "grants", "handoff", "lane", "refresh_token", "session", "setup_link", "signin"} {
				n += number(t, raw(t, url), `SELECT COUNT(*) FROM `+table)
			}
			return n
		}
		prune := func() (n int64) {
			t.Helper()
			must(t, db, func(tx *storage.Tx) (err error) {
				n, err = tx.Prune(instant(), 2)
				return err
			})
			return n
		}
		const kinds = 10 // of which the two of lanes are bounded each
		for _, want := range []int64{2 * kinds, 2 * kinds} {
			before := rows()
			if n := prune(); n != want || before-rows() != n {
				t.Errorf("pruned %d, %d rows went, want %d", n, before-rows(), want)
			}
		}
		for range 3 {
			prune()
		}
		if n := prune(); n != 0 {
			t.Errorf("pruned %d of nothing", n)
		}
		if n := rows(); n != 5 { // the grants of the refresh tokens live on
			t.Errorf("%d rows left, want 5", n)
		}
	})
}
