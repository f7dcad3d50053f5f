package authserver

import (
	"testing"
)

func TestWalkFromApplicationToUserinfo(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		ada, shop := w.person("ada@example.org"), w.app(thirdParty)
		b := w.browser()
		page := b.authorize(shop).prove(ada)
		if !page.isConsent() {
			t.Fatalf("no consent page: %d %s", page.status, page.path)
		}
		target, values := page.submit("/consent", "decision", "allow").answer()
		if want := "https://shop.example/cb?"; target[:len(want)] != want {
			t.Errorf("sent to %s", target)
		}
		if values.Get("state") != "st-1" || values.Get("iss") != w.issuer {
			t.Errorf("answer %v", values)
		}
		got := w.tokensOf(w.redeem(shop, values.Get("code")))
		if got.scope != "openid profile email offline_access" || got.refresh == "" {
			t.Errorf("tokens %+v", got)
		}
		claims := w.claims(got.id)
		for name, want := range map[string]any{
			"iss": w.issuer, "sub": ada.ID, "aud": shop.ID, "nonce": "n-1", "acr": "urn:simplon:acr:single",
			"iat": float64(w.clock.now().Unix()), "exp": float64(w.clock.now().Add(w.server.TTL.IDToken).Unix()),
			"auth_time": float64(w.clock.now().Unix()), "at_hash": halfHash("ES256", got.access),
		} {
			if claims[name] != want {
				t.Errorf("ID token %s is %v, want %v", name, claims[name], want)
			}
		}
		info := w.userinfo(got.access)
		if info.json["sub"] != ada.ID || info.json["email"] != ada.Login || info.json["name"] != "Ada Byron" || info.json["email_verified"] != true {
			t.Errorf("userinfo %s", info.body)
		}
	})
}
