package web

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func FuzzCookie(f *testing.F) {
	for _, seed := range []string{"", "b=x", "b=x; b=y", "b=x;b=x", `b="q"`, "b", "=;b==", "b=\x00", "b=" + strings.Repeat("A", 24), "a=1; b=" + strings.Repeat("A", 5000)} {
		f.Add(seed)
	}
	s := testSite(f, "http://localhost:8080")
	f.Fuzz(func(t *testing.T, header string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Cookie"] = []string{header}
		value := s.Cookie(r, "b")
		if len(value) > maxCookie {
			t.Errorf("%d bytes", len(value))
		}
		for _, c := range r.CookiesNamed("b") {
			if value != "" && c.Value != value {
				t.Errorf("%q chosen among different values", value)
			}
		}
		if id := s.KnownBrowser(r); id != "" && (len(id) != 24 || strings.ContainsAny(id, " ;,\"\\\r\n")) {
			t.Errorf("browser id %q", id)
		}
	})
}

func FuzzForwardedFor(f *testing.F) {
	for _, seed := range []string{"", "1.2.3.4", "1.2.3.4, 10.0.0.1", "[::1]:80", "10.0.0.1,10.0.0.2", ",", "x, 1.2.3.4", "fe80::1%eth0", "::ffff:10.0.0.1"} {
		f.Add(seed)
	}
	proxies := netip.MustParsePrefix("10.0.0.0/8")
	peer := netip.MustParseAddr("10.0.0.1")
	f.Fuzz(func(t *testing.T, chain string) {
		addr := forwardedFor(peer, chain, proxies.Contains)
		if !addr.IsValid() || addr.Zone() != "" || addr.Is4In6() {
			t.Errorf("%q gives %v", chain, addr)
		}
		// What the client wrote to the left of a true hop changes nothing.
		if got := forwardedFor(peer, chain+", 198.51.100.1", proxies.Contains); got.String() != "198.51.100.1" {
			t.Errorf("%q shadows the true hop: %v", chain, got)
		}
	})
}

func FuzzAcceptLanguage(f *testing.F) {
	for _, seed := range []string{"", "de", "de-CH, en;q=0.5", "*", "x-klingon", "de;q=2", "en-u-ca-buddhist", strings.Repeat("a-", 100), "\xff"} {
		f.Add(seed)
	}
	c, err := loadCatalogues()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if lang := c.match(header); lang != "" && !c.knows(lang) {
			t.Errorf("%q gives %q", header, lang)
		}
	})
}
