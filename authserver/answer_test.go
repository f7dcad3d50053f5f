package authserver

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"simplon/storage"
)

// A database that is too busy was an internal error to applications, which they
// do not try again.
func TestBusyDatabaseIsToldToClientsAsThat(t *testing.T) {
	w := newWorld(t)
	rec := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/oauth/token", nil)
	w.check(w.server.protocolAnswer(rec, r, fmt.Errorf("redeem: %w", storage.ErrBusy)))
	if rec.Code != http.StatusServiceUnavailable || rec.Header().Get("Retry-After") == "" || !strings.Contains(rec.Body.String(), `"temporarily_unavailable"`) {
		t.Errorf("%d %v %s", rec.Code, rec.Header(), rec.Body)
	}
}

func TestIDTokensCarryTheClaimsOfTheirScopes(t *testing.T) {
	w := newWorld(t)
	shop, ada := w.app(), w.person("ada@example.org")
	b := w.signedIn(ada)
	always := []string{"sub", "iss", "aud", "iat", "exp", "auth_time", "acr", "amr", "sid", "at_hash"}
	profile := []string{"name", "given_name", "family_name", "updated_at"}
	email := []string{"email", "email_verified"}
	for scope, groups := range map[string][][]string{
		"openid":                              {always},
		"openid profile":                      {always, profile},
		"openid email":                        {always, email},
		"openid profile email offline_access": {always, profile, email},
	} {
		want := map[string]bool{}
		for _, g := range groups {
			for _, name := range g {
				want[name] = true
			}
		}
		names := func(token string) map[string]bool {
			got := map[string]bool{}
			for name := range w.claims(token) {
				got[name] = true
			}
			return got
		}
		first := w.walk(b, shop, ada, "scope", scope, "nonce", "")
		if diff := cmp.Diff(want, names(first.id)); diff != "" {
			t.Errorf("%s: %s", scope, diff)
		}
		if first.refresh == "" {
			continue
		}
		// The nonce belongs to the first one only (OpenID Connect Core, section 12.2).
		nonced := w.walk(b, shop, ada, "scope", scope)
		if w.claims(nonced.id)["nonce"] != "n-1" {
			t.Error("no nonce")
		}
		if diff := cmp.Diff(want, names(w.tokensOf(w.refresh(shop, nonced.refresh)).id)); diff != "" {
			t.Errorf("%s, refreshed: %s", scope, diff)
		}
	}
}
