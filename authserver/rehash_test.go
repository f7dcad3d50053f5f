package authserver

import (
	"context"
	"strings"
	"testing"

	"simplon/identity"
	"simplon/secret"
)

// Signing in brings a password hash to today's parameters, once, and leaves the
// person signed in.
func TestSignInBringsAnOldHashUpToDate(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		const password = "a password for Ada alone"
		old, err := secret.NewPool(secret.PoolConfig{Params: secret.Params{MemoryKiB: 64, Time: 3, Threads: 1}})
		w.check(err)
		ada := w.person("ada@example.org", func(a *identity.Account) {
			ticket, err := old.Admit(context.Background(), false)
			w.check(err)
			defer ticket.Release()
			encoded, err := ticket.Hash(password)
			w.check(err)
			a.SealedPassword = w.ring.Seal(identity.PasswordContext(a.ID), []byte(encoded))
		})
		stored := func() string {
			account, err := w.db.Account(ada.ID)
			w.check(err)
			encoded, err := w.ring.Open(identity.PasswordContext(ada.ID), account.SealedPassword)
			w.check(err)
			return string(encoded)
		}
		if !strings.Contains(stored(), "m=64,t=3") {
			t.Fatalf("the old hash is %s", strings.SplitN(stored(), "$", 5)[3])
		}
		if w.browser().guess(ada.Login, "not Ada's password") || strings.Contains(stored(), "m=8,") {
			t.Fatal("a wrong password changed the hash")
		}
		if !w.browser().guess(ada.Login, password) {
			t.Fatal("the old hash does not sign in")
		}
		first := stored()
		if !strings.Contains(first, "m=8,t=1") {
			t.Error("the hash was not brought up to date")
		}
		if !w.browser().guess(ada.Login, password) || stored() != first {
			t.Error("the new hash does not sign in, or was made again")
		}
	})
}
