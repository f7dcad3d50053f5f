package storage_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"simplon/identity"
	"simplon/storage"
)

func TestClientsComeBackAsWritten(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		full := filled[identity.Client]()
		full.FrontID = w.front.ID
		must(t, db, func(tx *storage.Tx) error { return tx.CreateClient(full) })
		for _, want := range []identity.Client{full, w.client} {
			got, err := db.Client(want.ID)
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, want)
		}
		if _, err := db.Client("app_9"); !errors.Is(err, storage.ErrNotFound) {
			t.Errorf("Client of no id: %v", err)
		}
		refused(t, db, storage.ErrTaken, func(tx *storage.Tx) error { return tx.CreateClient(w.client) })
	})
}

func TestClientsArePagedOldestFirst(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		want := []identity.Client{w.client}
		must(t, db, func(tx *storage.Tx) error {
			want = want[:1]
			for i := range 6 {
				c := w.client
				c.ID, c.CreatedAt = fmt.Sprint("app_2", i), w.client.CreatedAt.Add(time.Duration(i/3)*time.Second)
				want = append(want, c)
				if err := tx.CreateClient(c); err != nil {
					return err
				}
			}
			return nil
		})
		for _, limit := range []int{1, 2, 3, 7, 8} {
			same(t, pages(t, limit, db.Clients, func(c identity.Client) (time.Time, string) { return c.CreatedAt, c.ID }), want)
		}
	})
}

func TestOnlyOriginsOfSinglePageApplicationsInUseAreRegistered(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		spa := w.client
		spa.ID, spa.Kind, spa.Auth = "app_spa", identity.ClientSPA, identity.AuthNone
		spa.RedirectURIs = []string{"https://spa.example/cb", "https://spa.example/silent", "http://localhost:3000/cb"}
		off := spa
		off.ID, off.RedirectURIs, off.DisabledAt = "app_off", []string{"https://off.example/"}, instant()
		server := w.client
		server.ID, server.RedirectURIs = "app_web", []string{"https://web.example/cb"}
		must(t, db, func(tx *storage.Tx) error {
			return errors.Join(tx.CreateClient(spa), tx.CreateClient(off), tx.CreateClient(server),
				tx.CreateFront(identity.Front{ID: "frt_2", Issuer: "https://other.example"}))
		})
		for _, c := range []struct {
			front, origin string
			want          bool
		}{
			{"frt_1", "https://spa.example", true}, {"frt_1", "http://localhost:3000", true}, {"frt_2", "https://spa.example", false},
			{"frt_1", "https://off.example", false}, {"frt_1", "https://web.example", false},
			{"frt_1", "null", false}, {"frt_1", "", false}, {"frt_1", "https://SPA.example", false},
		} {
			if got, err := db.OriginRegistered(c.front, c.origin); got != c.want || err != nil {
				t.Errorf("OriginRegistered(%s, %s) = %t, %v", c.front, c.origin, got, err)
			}
		}
	})
}

func TestClientSecretIsReplacedWhereThereIsOne(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		c := w.client
		c.ID, c.SecretHash = "app_2", []byte("old")
		must(t, db, func(tx *storage.Tx) error { return tx.CreateClient(c) })
		c.SecretHash, c.UpdatedAt = []byte("new"), instant().Add(time.Hour)
		must(t, db, func(tx *storage.Tx) error { return tx.SetClientSecret(c.ID, c.SecretHash, c.UpdatedAt) })
		got, err := db.Client(c.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, c)
		for _, id := range []string{w.client.ID, "app_9"} { // public, absent
			refused(t, db, storage.ErrNotFound, func(tx *storage.Tx) error { return tx.SetClientSecret(id, []byte("x"), instant()) })
		}
	})
}

func TestConsentGrows(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		w := newWorld(t, db)
		expect := func(account string, want ...string) {
			t.Helper()
			got, err := db.Consent(account, w.client.ID)
			if err != nil {
				t.Fatal(err)
			}
			same(t, got, identity.Scopes(want))
		}
		give := func(scopes ...string) {
			t.Helper()
			must(t, db, func(tx *storage.Tx) error { return tx.GiveConsent(w.anna.ID, w.client.ID, scopes, instant()) })
		}
		expect(w.anna.ID)
		give()
		expect(w.anna.ID)
		give("openid", "email")
		expect(w.anna.ID, "openid", "email")
		give("profile", "openid")
		expect(w.anna.ID, "openid", "email", "profile")
		give()
		expect(w.anna.ID, "openid", "email", "profile")
		expect(w.beat.ID)
		if err := db.Tx(t.Context(), func(tx *storage.Tx) error {
			return tx.GiveConsent(w.anna.ID, "app_9", identity.Scopes{"openid"}, instant())
		}); err == nil {
			t.Error("consent to a client that is not there")
		}
	})
}
