package authserver

import (
	"net/http"
	"testing"
	"time"

	"simplon/identity"
)

func TestRefreshRotatesAndReuseEndsTheGrant(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		shop, ada := w.app(), w.person("ada@example.org")
		first := w.walk(w.browser(), shop, ada)
		second := w.tokensOf(w.refresh(shop, first.refresh))
		if second.refresh == first.refresh || second.access == first.access || second.id == "" || second.scope != first.scope {
			t.Errorf("%+v then %+v", first, second)
		}
		// Within the grace a repeat gets the identical token, even after it moved on.
		w.clock.advance(w.server.TTL.RefreshGrace)
		if again := w.tokensOf(w.refresh(shop, first.refresh)); again.refresh != second.refresh {
			t.Error("a repeat within the grace gets another token")
		}
		third := w.tokensOf(w.refresh(shop, second.refresh))
		if again := w.tokensOf(w.refresh(shop, first.refresh)); again.refresh != second.refresh {
			t.Error("a repeat within the grace gets another token")
		}
		w.clock.advance(time.Microsecond)
		w.wantError(w.refresh(shop, first.refresh), http.StatusBadRequest, "invalid_grant")
		for _, token := range []string{first.refresh, second.refresh, third.refresh} {
			w.wantError(w.refresh(shop, token), http.StatusBadRequest, "invalid_grant")
		}
		for _, token := range []string{first.access, second.access, third.access} {
			if w.alive(token) {
				t.Error("an access token lives on")
			}
		}
		if n := w.count(`SELECT COUNT(*) FROM event WHERE kind = $1 AND account_id = $2`, identity.EventRefreshReplayed, ada.ID); n != 1 {
			t.Errorf("%d events", n)
		}
	})
}

func TestRefreshRacesGiveOneSuccessor(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		shop, ada := w.app(), w.person("ada@example.org")
		token := w.walk(w.browser(), shop, ada).refresh
		for range 3 {
			successors := map[string]bool{}
			for _, r := range parallel(20, func(int) reply { return w.refresh(shop, token) }) {
				successors[w.tokensOf(r).refresh] = true
			}
			if len(successors) != 1 {
				t.Fatalf("%d distinct successors", len(successors))
			}
			for s := range successors {
				token = s
			}
		}
	})
}

func TestRefreshIsBound(t *testing.T) {
	w := newWorld(t)
	shop, other, spa, ada := w.app(), w.app(), w.app(singlePage), w.person("ada@example.org")
	b := w.browser()
	got := w.walk(b, shop, ada, "scope", "openid offline_access")
	public := w.walk(b, spa, ada)
	w.wantError(w.refresh(other, got.refresh), http.StatusBadRequest, "invalid_grant")
	w.wantError(w.refresh(shop, public.refresh), http.StatusBadRequest, "invalid_grant")
	w.wantError(w.refresh(spa, got.refresh), http.StatusBadRequest, "invalid_grant")
	for _, scope := range []string{"openid email", "root", "openid profile offline_access", "email"} {
		w.wantError(w.refresh(shop, got.refresh, "scope", scope), http.StatusBadRequest, "invalid_scope")
	}
	next := w.tokensOf(w.refresh(shop, got.refresh, "scope", "openid")) // no refusal before spent it
	if w.tokensOf(w.refresh(shop, next.refresh)).scope != "openid offline_access" {
		t.Error("a narrower refresh narrowed the grant")
	}
	for _, token := range []string{"", got.refresh + "x", got.refresh[:len(got.refresh)-1]} {
		if r := w.refresh(shop, token); r.status != http.StatusBadRequest {
			t.Errorf("%q: %d", token, r.status)
		}
	}
	w.tokensOf(w.refresh(spa, public.refresh))
}

// Another client's attempts, or failed authentication, must not end a grant.
func TestRefreshReplayByAnotherClientEndsNothing(t *testing.T) {
	w := newWorld(t)
	shop, other, ada := w.app(), w.app(), w.person("ada@example.org")
	got := w.walk(w.browser(), shop, ada)
	next := w.tokensOf(w.refresh(shop, got.refresh))
	w.clock.advance(time.Minute)
	w.wantError(w.refresh(other, got.refresh), http.StatusBadRequest, "invalid_grant")
	wrong := shop
	wrong.secret = "x"
	w.wantError(w.refresh(wrong, got.refresh), http.StatusUnauthorized, "invalid_client")
	w.tokensOf(w.refresh(shop, next.refresh))
}

func TestRefreshEnds(t *testing.T) {
	idle := func(c *Config) { c.TTL.RefreshIdle, c.TTL.RefreshAbsolute = time.Hour, 150*time.Minute }
	w := newWorld(t, idle)
	shop, ada := w.app(), w.person("ada@example.org")
	b := w.browser()
	got := w.walk(b, shop, ada)
	w.clock.advance(time.Hour)
	w.wantError(w.refresh(shop, got.refresh), http.StatusBadRequest, "invalid_grant")

	got = w.walk(b, shop, ada, "max_age", "0")
	for range 2 {
		w.clock.advance(time.Hour - time.Second)
		got = w.tokensOf(w.refresh(shop, got.refresh))
	}
	w.clock.advance(25 * time.Minute)
	r := w.refresh(shop, got.refresh)
	got = w.tokensOf(r)
	if left := r.json["expires_in"].(float64); left != 302 {
		t.Errorf("the access token outlives its grant: %v s", left)
	}
	w.clock.advance(302 * time.Second)
	w.wantError(w.refresh(shop, got.refresh), http.StatusBadRequest, "invalid_grant")
	if w.alive(got.access) {
		t.Error("the access token lives on")
	}
}

func TestA14DisablingEndsTokensAtTheNextRequest(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		shop, other, ada := w.app(), w.app(), w.person("ada@example.org")
		b := w.browser()
		got, elsewhere := w.walk(b, shop, ada), w.walk(b, other, ada)
		w.disableClient(shop)
		if w.alive(got.access) {
			t.Error("an access token of a disabled client opens userinfo")
		}
		w.wantError(w.refresh(shop, got.refresh), http.StatusUnauthorized, "invalid_client")
		w.disableAccount(ada)
		if w.alive(elsewhere.access) {
			t.Error("an access token of a disabled account opens userinfo")
		}
		w.wantError(w.refresh(other, elsewhere.refresh), http.StatusBadRequest, "invalid_grant")
		if p := b.authorize(other); !p.isLogin() {
			t.Errorf("the session of a disabled account lives on: %s", p)
		}
		if p := b.authorize(other).at(ada.Login).submit("/password", "password", ada.password); p.status != http.StatusUnauthorized {
			t.Errorf("a disabled account signs in: %s", p)
		}
	})
}
