package storage_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"simplon/identity"
	"simplon/sqldb"
	"simplon/storage"
)

const racers = 50

// onTwoNodes runs a test on both engines with two handles on one database: what
// two nodes have, or a server and a command beside it.
func onTwoNodes(t *testing.T, test func(t *testing.T, nodes [2]*storage.DB)) {
	onEachURL(t, func(t *testing.T, url string) { test(t, [2]*storage.DB{open(t, url), open(t, url)}) })
}

// busy is a run that tries again where sqldb.DB.Tx says that trying later may
// succeed: those who lose a race for one row may use up their retries.
func busy(run func() error) error {
	for {
		if err := run(); !errors.Is(err, sqldb.ErrBusyRetries) {
			return err
		}
	}
}

// winners races one guarded call in transactions of both nodes and counts how
// often it answered true. No transaction may fail, not even for being busy: the
// loser of a single-use thing finds it spent when it runs again.
func winners(t *testing.T, nodes [2]*storage.DB, call func(tx *storage.Tx, i int) (bool, error)) int {
	t.Helper()
	var won atomic.Int32
	together(racers, func(i int) {
		var ok bool
		err := nodes[i%2].Tx(t.Context(), func(tx *storage.Tx) (err error) {
			ok, err = call(tx, i)
			return err
		})
		if err != nil {
			t.Errorf("racer %d: %v", i, err)
		} else if ok {
			won.Add(1)
		}
	})
	return int(won.Load())
}

// made turns a refusal because of another's row into false.
func made(err error) (bool, error) {
	if errors.Is(err, storage.ErrTaken) {
		return false, nil
	}
	return err == nil, err
}

func TestOneOfManyWins(t *testing.T) {
	later := instant().Add(time.Hour)
	races := []struct {
		name string
		put  func(tx *storage.Tx, w world) error // what they race for
		call func(tx *storage.Tx, i int) (bool, error)
	}{
		{"SpendCode",
			func(tx *storage.Tx, w world) error { return tx.CreateCode(w.code("c", "ses_1")) },
			func(tx *storage.Tx, _ int) (bool, error) { return tx.SpendCode([]byte("c"), instant(), instant()) }},
		{"SpendRefreshToken",
			func(tx *storage.Tx, w world) error {
				return errors.Join(tx.CreateGrant(w.grant("grt_1", "")),
					tx.CreateRefreshToken(identity.RefreshToken{Hash: []byte("r"), GrantID: "grt_1", ExpiresAt: later}))
			},
			func(tx *storage.Tx, _ int) (bool, error) { return tx.SpendRefreshToken([]byte("r"), instant()) }},
		{"SpendHandoff",
			func(tx *storage.Tx, _ world) error { return tx.CreateHandoff([]byte("h"), "/authorize", "a=b", later) },
			func(tx *storage.Tx, _ int) (bool, error) {
				params, err := tx.SpendHandoff([]byte("h"), "/authorize", instant())
				if errors.Is(err, storage.ErrNotFound) {
					return false, nil
				}
				return params == "a=b", err
			}},
		{"SpendSetupLink",
			func(tx *storage.Tx, _ world) error {
				return tx.CreateSetupLink(identity.SetupLink{Hash: []byte("s"), CreatedAt: instant(), ExpiresAt: later})
			},
			func(tx *storage.Tx, _ int) (bool, error) { return tx.SpendSetupLink([]byte("s"), instant()) }},
		{"CloseSignIn",
			func(tx *storage.Tx, w world) error { return tx.CreateSignIn(w.signIn("sgn_1"), "") },
			func(tx *storage.Tx, _ int) (bool, error) { return tx.CloseSignIn("sgn_1", "", instant()) }},
		{"SetConsented",
			func(tx *storage.Tx, w world) error { return tx.CreateSignIn(w.signIn("sgn_2"), "") },
			func(tx *storage.Tx, _ int) (bool, error) { return tx.SetConsented("sgn_2", "acc_1", "") }},
		{"EndSession",
			func(tx *storage.Tx, w world) error {
				return errors.Join(tx.CreateSession(w.session("ses_1")), tx.CreateGrant(w.grant("grt_2", "ses_1")), tx.CreateCode(w.code("d", "ses_1")))
			},
			func(tx *storage.Tx, _ int) (bool, error) { return tx.EndSession("ses_1", instant()) }},
		{"RevokeGrant",
			func(tx *storage.Tx, w world) error { return tx.CreateGrant(w.grant("grt_3", "")) },
			func(tx *storage.Tx, _ int) (bool, error) { return tx.RevokeGrant("grt_3", instant()) }},
		{"CreateAccount with one login key",
			func(*storage.Tx, world) error { return nil },
			func(tx *storage.Tx, i int) (bool, error) {
				return made(tx.CreateAccount(identity.Account{ID: fmt.Sprint("acc_new", i), LoginKey: "new@example.com", CreatedAt: instant()}))
			}},
		{"CreateSigningKey of one algorithm",
			func(*storage.Tx, world) error { return nil },
			func(tx *storage.Tx, i int) (bool, error) {
				return made(tx.CreateSigningKey(identity.SigningKey{ID: fmt.Sprint("key_", i), Alg: "ES256", Private: []byte("p"), CreatedAt: instant()}))
			}},
		{"CreateFront of one issuer",
			func(*storage.Tx, world) error { return nil },
			func(tx *storage.Tx, i int) (bool, error) {
				return made(tx.CreateFront(identity.Front{ID: fmt.Sprint("frt_new", i), Issuer: "https://new.example", CreatedAt: instant()}))
			}},
		{"CreateCode with one hash", // two answers of one sign-in
			func(*storage.Tx, world) error { return nil },
			func(tx *storage.Tx, i int) (bool, error) {
				return made(tx.CreateCode(identity.Code{Hash: []byte("e"), Grant: identity.Grant{ID: fmt.Sprint("grt_", i)}}))
			}},
	}
	onTwoNodes(t, func(t *testing.T, nodes [2]*storage.DB) {
		w := newWorld(t, nodes[0])
		for _, race := range races {
			t.Run(race.name, func(t *testing.T) {
				must(t, nodes[0], func(tx *storage.Tx) error { return race.put(tx, w) })
				if n := winners(t, nodes, race.call); n != 1 {
					t.Errorf("%d winners, want 1", n)
				}
			})
		}
	})
}

func TestOneAccountProvesASignIn(t *testing.T) {
	onTwoNodes(t, func(t *testing.T, nodes [2]*storage.DB) {
		w := newWorld(t, nodes[0])
		create(t, nodes[0], "", w.signIn("sgn_1"))
		accounts := []string{w.anna.ID, w.beat.ID}
		var proofs [2]atomic.Int32
		together(racers, func(i int) {
			who := i / 2 % 2 // both on both nodes
			var ok bool
			err := busy(func() error {
				return nodes[i%2].Tx(t.Context(), func(tx *storage.Tx) (err error) {
					ok, err = tx.ProveSignIn(identity.SignIn{ID: "sgn_1", AccountID: accounts[who], Methods: []string{identity.MethodPassword}, AuthAt: instant()})
					return err
				})
			})
			if err != nil {
				t.Errorf("racer %d: %v", i, err)
			} else if ok {
				proofs[who].Add(1)
			}
		})
		winner := slices.Index(accounts, signInOf(t, nodes[0], "sgn_1").AccountID)
		if winner < 0 || proofs[winner].Load() == 0 || proofs[1-winner].Load() != 0 {
			t.Errorf("account %d proved the sign-in, which took %d proofs of the first and %d of the second", winner, proofs[0].Load(), proofs[1].Load())
		}
	})
}

func TestOneSetupLinkOpensHoweverManyAreMade(t *testing.T) {
	onTwoNodes(t, func(t *testing.T, nodes [2]*storage.DB) {
		together(racers, func(i int) {
			err := busy(func() error {
				return nodes[i%2].Tx(t.Context(), func(tx *storage.Tx) error {
					return tx.CreateSetupLink(identity.SetupLink{Hash: []byte{byte(i)}, CreatedAt: instant(), ExpiresAt: instant().Add(time.Hour)})
				})
			})
			if err != nil {
				t.Errorf("racer %d: %v", i, err)
			}
		})
		open := 0
		for i := range racers {
			l, err := nodes[0].SetupLink([]byte{byte(i)})
			if err != nil {
				t.Fatal(err)
			}
			if l.SpentAt.IsZero() {
				open++
			}
		}
		if open != 1 {
			t.Errorf("%d links open, want 1", open)
		}
	})
}

func TestConsentLosesNoScope(t *testing.T) {
	onTwoNodes(t, func(t *testing.T, nodes [2]*storage.DB) {
		w := newWorld(t, nodes[0])
		var want identity.Scopes
		for i := range racers {
			want = append(want, fmt.Sprintf("scope-%02d", i))
		}
		together(racers, func(i int) {
			err := busy(func() error {
				return nodes[i%2].Tx(t.Context(), func(tx *storage.Tx) error {
					return tx.GiveConsent(w.anna.ID, w.client.ID, identity.Scopes{"openid", want[i]}, instant())
				})
			})
			if err != nil {
				t.Errorf("racer %d: %v", i, err)
			}
		})
		got, err := nodes[0].Consent(w.anna.ID, w.client.ID)
		if err != nil {
			t.Fatal(err)
		}
		if !got.Has("openid") || len(got) != racers+1 {
			t.Errorf("%d scopes, want %d", len(got), racers+1)
		}
		for _, scope := range want {
			if !got.Has(scope) {
				t.Errorf("%s was lost", scope)
			}
		}
	})
}

func TestFiveBrowsersStayKnownHoweverManyComeAtOnce(t *testing.T) {
	onTwoNodes(t, func(t *testing.T, nodes [2]*storage.DB) {
		w := newWorld(t, nodes[0])
		var hashes []string
		for i := range racers {
			hashes = append(hashes, fmt.Sprintf("%02d", i))
		}
		together(racers, func(i int) {
			err := busy(func() error {
				return nodes[i%2].Tx(t.Context(), func(tx *storage.Tx) error {
					return tx.RememberDevice(w.device("dev_"+hashes[i], hashes[i], instant().Add(time.Duration(i)*time.Second)))
				})
			})
			if err != nil {
				t.Errorf("racer %d: %v", i, err)
			}
		})
		if got := known(t, nodes[0], w, hashes...); len(got) != identity.DevicesPerAccount || got[len(got)-1] != hashes[racers-1] {
			t.Errorf("known browsers %q", got)
		}
	})
}

// With four known browsers two come at once, and neither sees the other's row.
func TestTwoBrowsersAtOnceDoNotBecomeSix(t *testing.T) {
	onTwoNodes(t, func(t *testing.T, nodes [2]*storage.DB) {
		w := newWorld(t, nodes[0])
		hashes := []string{"a", "b", "c", "d", "e", "f"}
		device := func(i int) identity.Device {
			return w.device("dev_"+hashes[i], hashes[i], instant().Add(time.Duration(i)*time.Second))
		}
		for i := range 4 {
			must(t, nodes[0], func(tx *storage.Tx) error { return tx.RememberDevice(device(i)) })
		}
		var runs atomic.Int32
		bothSaw := make(chan struct{})
		meet := func() { // on PostgreSQL neither commits before both have looked
			if nodes[0].Engine() == sqldb.SQLite {
				return
			}
			switch runs.Add(1) {
			case 1:
				<-bothSaw
			case 2:
				close(bothSaw)
			}
		}
		together(2, func(i int) {
			err := nodes[i].Tx(t.Context(), func(tx *storage.Tx) error {
				err := tx.RememberDevice(device(4 + i))
				meet()
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
		if got := known(t, nodes[0], w, hashes...); !slices.Equal(got, hashes[1:]) {
			t.Errorf("known browsers %q", got)
		}
	})
}

// Redeeming a code reads the session and makes a grant under it, while signing
// out ends the session and the grants that it sees: neither may miss the other.
func TestNoGrantOutlivesASessionThatEndsMeanwhile(t *testing.T) {
	onTwoNodes(t, func(t *testing.T, nodes [2]*storage.DB) {
		w := newWorld(t, nodes[0])
		must(t, nodes[0], func(tx *storage.Tx) (err error) {
			for i := range racers / 2 {
				session := fmt.Sprint("ses_", i)
				err = errors.Join(err, tx.CreateSession(w.session(session)), tx.CreateCode(w.code(fmt.Sprint(i), session)))
			}
			return err
		})
		redeem := func(ctx context.Context, db *storage.DB, i int) error {
			return db.Tx(ctx, func(tx *storage.Tx) error {
				session, err := tx.Session(fmt.Sprint("ses_", i))
				if err != nil || !session.Live(w.front.ID, 1, instant()) {
					return err
				}
				spent, err := tx.SpendCode([]byte(fmt.Sprint(i)), instant(), instant())
				if err != nil || !spent {
					return err
				}
				return tx.CreateGrant(w.grant(fmt.Sprint("grt_", i), session.ID, "openid"))
			})
		}
		together(racers, func(i int) {
			i, redeems := i/2, i%2 == 0
			err := busy(func() error {
				if redeems {
					return redeem(t.Context(), nodes[i%2], i)
				}
				return nodes[1-i%2].Tx(t.Context(), func(tx *storage.Tx) error {
					_, err := tx.EndSession(fmt.Sprint("ses_", i), instant())
					return err
				})
			})
			if err != nil {
				t.Errorf("racer %d: %v", i, err)
			}
		})
		for i := range racers / 2 {
			g, err := nodes[0].Grant(fmt.Sprint("grt_", i))
			if err != nil && !errors.Is(err, storage.ErrNotFound) {
				t.Fatal(err)
			}
			if err == nil && g.RevokedAt.IsZero() {
				t.Errorf("grant %d outlived its session", i)
			}
		}
	})
}
