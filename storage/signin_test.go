package storage_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"simplon/identity"
	"simplon/storage"
)

func create(t *testing.T, db *storage.DB, network string, signIns ...identity.SignIn) {
	t.Helper()
	must(t, db, func(tx *storage.Tx) (err error) {
		for _, s := range signIns {
			err = errors.Join(err, tx.CreateSignIn(s, network))
		}
		return err
	})
}

func signInOf(t *testing.T, db *storage.DB, id string) identity.SignIn {
	t.Helper()
	s, err := db.SignIn(id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSignInsComeBackAsWritten(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		full := filled[identity.SignIn]()
		full.FrontID = w.front.ID
		age := int64(0) // max_age=0 is not the absence of max_age
		full.Request.MaxAge = &age
		full.Request.LoginHint = "" // lives on as Login
		bare := w.signIn("sgn_bare")
		create(t, db, "192.0.2.0/24", full, bare)
		for _, want := range []identity.SignIn{full, bare} {
			same(t, signInOf(t, db, want.ID), want)
		}
		if _, err := db.SignIn("sgn_9"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("SignIn of no id: %v", err)
		}
		refused(t, db, storage.ErrTaken, func(tx *storage.Tx) error { return tx.CreateSignIn(bare, "") })
	})
}

func TestOpenSignInsAreCountedPerBrowserAndNetwork(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		at := func(id, browser string, change ...func(*identity.SignIn)) identity.SignIn {
			s := w.signIn(id)
			s.BrowserHash = []byte(browser)
			for _, c := range change {
				c(&s)
			}
			return s
		}
		create(t, db, "net1", at("sgn_1", "me"), at("sgn_2", "me"), at("sgn_3", "you"),
			at("sgn_4", "me", func(s *identity.SignIn) { s.ClosedAt = instant() }),
			at("sgn_5", "me", func(s *identity.SignIn) { s.ExpiresAt = instant() }))
		create(t, db, "net2", at("sgn_6", "me"))
		for _, c := range []struct {
			browser, network string
			mine, near       int
		}{{"me", "net1", 3, 3}, {"you", "net2", 1, 1}, {"nobody", "", 0, 0}, {"me", "net3", 3, 0}} {
			mine, near, err := db.OpenSignIns([]byte(c.browser), c.network, instant())
			if err != nil || mine != c.mine || near != c.near {
				t.Errorf("OpenSignIns(%s, %s) = %d, %d, %v", c.browser, c.network, mine, near, err)
			}
		}
	})
}

func TestOldestOpenSignInOfTheBrowserIsDropped(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		now := instant()
		at := func(id string, created time.Duration, change ...func(*identity.SignIn)) identity.SignIn {
			s := w.signIn(id)
			s.CreatedAt = now.Add(created)
			for _, c := range change {
				c(&s)
			}
			return s
		}
		create(t, db, "", at("sgn_young", -1*time.Minute), at("sgn_old", -2*time.Minute), at("sgn_old2", -2*time.Minute),
			at("sgn_expired", -4*time.Minute, func(s *identity.SignIn) { s.ExpiresAt = now }),
			at("sgn_closed", -4*time.Minute, func(s *identity.SignIn) { s.ClosedAt = now.Add(-time.Minute) }),
			at("sgn_other", -9*time.Minute, func(s *identity.SignIn) { s.BrowserHash = []byte("other") }))
		for i, id := range []string{"sgn_old", "sgn_old2", "sgn_young"} {
			at := now.Add(time.Duration(i+1) * time.Second)
			must(t, db, func(tx *storage.Tx) error { return tx.DropOldestSignIn([]byte("browser"), at) })
			if _, err := db.SignIn(id); !errors.Is(err, storage.ErrNotFound) {
				t.Errorf("%s is there: %v", id, err)
			}
		}
		must(t, db, func(tx *storage.Tx) error { return tx.DropOldestSignIn([]byte("browser"), now) })
		if s := signInOf(t, db, "sgn_expired"); !s.ClosedAt.IsZero() {
			t.Error("an expired sign-in was closed")
		}
		if s := signInOf(t, db, "sgn_other"); !s.ClosedAt.IsZero() {
			t.Error("another browser's sign-in was closed")
		}
		if s := signInOf(t, db, "sgn_closed"); !s.ClosedAt.Equal(now.Add(-time.Minute)) {
			t.Error("a closed sign-in was closed again")
		}
	})
}

// guardCase says whether a guarded update takes a sign-in in some state.
type guardCase struct {
	name   string
	change func(*identity.SignIn)
	want   bool
}

// checkGuards runs an update on sign-ins in several states, and once on one that
// is not there. It returns the rows as they were for those that changed.
func checkGuards(t *testing.T, db *storage.DB, w world, cases []guardCase, update func(tx *storage.Tx, id string) (bool, error)) {
	t.Helper()
	for i, c := range cases {
		s := w.signIn(fmt.Sprint("sgn_", i))
		c.change(&s)
		create(t, db, "", s)
		if got := try(t, db, func(tx *storage.Tx) (bool, error) { return update(tx, s.ID) }); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
		if !c.want {
			same(t, signInOf(t, db, s.ID), s)
		}
	}
	if try(t, db, func(tx *storage.Tx) (bool, error) { return update(tx, "sgn_absent") }) {
		t.Error("an absent sign-in was changed")
	}
}

func closed(s *identity.SignIn) { s.ClosedAt = instant() }

// proved is a sign-in in which Anna has proved who she is.
func proved(s *identity.SignIn) {
	s.LoginKey, s.AccountID, s.Methods = "anna@example.com", "acc_1", []string{identity.MethodPassword}
}

func TestSetLoginOnlyBeforeSomebodyIsProved(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		checkGuards(t, db, w, []guardCase{
			{"open", func(*identity.SignIn) {}, true},
			{"address typed before", func(s *identity.SignIn) { s.Login, s.LoginKey = "X@x.de", "x@x.de" }, true},
			{"consented by a session", func(s *identity.SignIn) { s.Consented, s.AccountID = true, "acc_2" }, true},
			{"closed", closed, false},
			{"proved", proved, false},
			{"refused", func(s *identity.SignIn) { s.Refusal = "access_denied" }, false},
		}, func(tx *storage.Tx, id string) (bool, error) {
			return tx.SetLogin(id, "Anna@example.com", "anna@example.com")
		})
		want := w.signIn("sgn_0")
		want.Login, want.LoginKey = "Anna@example.com", "anna@example.com"
		same(t, signInOf(t, db, want.ID), want)
		try(t, db, func(tx *storage.Tx) (bool, error) { return tx.SetLogin(want.ID, "", "") })
		same(t, signInOf(t, db, want.ID), w.signIn("sgn_0"))
	})
}

func TestProveSignInOnlyForTheAddressTypedAndOneAccount(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		anna := func(s *identity.SignIn) { s.LoginKey = "anna@example.com" }
		proof := filled[identity.SignIn]()
		proof.LoginKey, proof.AccountID = "anna@example.com", w.anna.ID
		checkGuards(t, db, w, []guardCase{
			{"open", anna, true},
			{"proved before", proved, true},
			{"consented by another account's session", func(s *identity.SignIn) { anna(s); s.Consented, s.AccountID = true, w.beat.ID }, true},
			{"closed", func(s *identity.SignIn) { anna(s); closed(s) }, false},
			{"another address typed meanwhile", func(s *identity.SignIn) { s.LoginKey = "beat@example.com" }, false},
			{"no address", func(*identity.SignIn) {}, false},
			{"proved by another account", func(s *identity.SignIn) { proved(s); s.AccountID = w.beat.ID }, false},
		}, func(tx *storage.Tx, id string) (bool, error) {
			proof.ID = id
			return tx.ProveSignIn(proof)
		})
		want := w.signIn("sgn_0")
		anna(&want)
		want.AccountID, want.SessionID, want.ManagingOrg, want.ViaConnection = proof.AccountID, proof.SessionID, proof.ManagingOrg, proof.ViaConnection
		want.Methods, want.AuthAt = proof.Methods, proof.AuthAt
		same(t, signInOf(t, db, want.ID), want)
	})
}

func TestConsentIsAnsweredOncePerAccount(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		cases := []guardCase{
			{"open", func(*identity.SignIn) {}, true},
			{"proved by the account", proved, true},
			{"consented by another account", func(s *identity.SignIn) { s.Consented, s.AccountID = true, w.beat.ID }, true},
			{"consented by the account", func(s *identity.SignIn) { s.Consented, s.AccountID = true, w.anna.ID }, false},
			{"closed", closed, false},
			{"refused", func(s *identity.SignIn) { s.Refusal = "access_denied" }, false},
			{"proved by another account", func(s *identity.SignIn) { proved(s); s.AccountID = w.beat.ID }, false},
		}
		checkGuards(t, db, w, cases, func(tx *storage.Tx, id string) (bool, error) { return tx.SetConsented(id, w.anna.ID, "") })
		want := w.signIn("sgn_0")
		want.Consented, want.AccountID = true, w.anna.ID
		same(t, signInOf(t, db, want.ID), want)

		create(t, db, "", w.signIn("sgn_no"))
		deny := func(tx *storage.Tx) (bool, error) { return tx.SetConsented("sgn_no", w.anna.ID, "access_denied") }
		if !try(t, db, deny) || try(t, db, deny) {
			t.Error("not exactly the first refusal counted")
		}
		want = w.signIn("sgn_no")
		want.Refusal, want.AccountID = "access_denied", w.anna.ID
		same(t, signInOf(t, db, want.ID), want)
	})
}

func TestSignInClosesOnce(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		checkGuards(t, db, w, []guardCase{
			{"open", func(*identity.SignIn) {}, true}, {"proved", proved, true}, {"closed", closed, false},
		}, func(tx *storage.Tx, id string) (bool, error) {
			return tx.CloseSignIn(id, "", instant().Add(time.Second))
		})
		want := w.signIn("sgn_0")
		want.ClosedAt = instant().Add(time.Second)
		same(t, signInOf(t, db, want.ID), want)
	})
}
