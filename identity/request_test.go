package identity_test

import (
	"slices"
	"strings"
	"testing"

	"simplon/identity"
)

// RFC 7636, appendix B.
const (
	rfcVerifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	rfcChallenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

func TestChallengeOfTheRFCsVerifier(t *testing.T) {
	if !identity.ValidVerifier(rfcVerifier) || !identity.ValidChallenge(rfcChallenge) {
		t.Error("the RFC's own values are refused")
	}
	if got := identity.ChallengeOf(rfcVerifier); got != rfcChallenge {
		t.Errorf("ChallengeOf = %q, want %q", got, rfcChallenge)
	}
}

func TestValidVerifier(t *testing.T) {
	a := strings.Repeat("a", 43)
	for verifier, want := range map[string]bool{
		a: true, a[1:]: false, "": false,
		strings.Repeat("a", 128): true, strings.Repeat("a", 129): false,
		a + "-._~09AZ": true, a + "+": false, a + "/": false, a + "=": false, a + " ": false, a + "\n": false, a + "%": false, a + "é": false, a + "\x00": false,
	} {
		if got := identity.ValidVerifier(verifier); got != want {
			t.Errorf("ValidVerifier(%q) = %t", verifier, got)
		}
	}
}

func TestValidChallenge(t *testing.T) {
	for challenge, want := range map[string]bool{
		rfcChallenge: true, "": false, rfcChallenge[:42]: false, rfcChallenge + "=": false, rfcChallenge + "A": false,
		strings.Repeat("A", 43):                      true,
		rfcVerifier:                                  true,  // also 32 bytes: a plain challenge cannot be told by its form
		strings.Repeat("A", 42) + "B":                false, // bits beyond the 32 bytes
		strings.Replace(rfcChallenge, "-", "+", 1):   false, // not base64url
		rfcChallenge[:20] + "\n" + rfcChallenge[20:]: false,
		rfcChallenge[:20] + "\n" + rfcChallenge[21:]: false,
		rfcChallenge[:42] + "\n":                     false,
	} {
		if got := identity.ValidChallenge(challenge); got != want {
			t.Errorf("ValidChallenge(%q) = %t", challenge, got)
		}
	}
}

func TestParseMaxAge(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "1": 1, "00": 0, "0060": 60, "86400": 86400, "999999999": 999999999} {
		if n, ok := identity.ParseMaxAge(s); !ok || n == nil || *n != want {
			t.Errorf("ParseMaxAge(%q) = %v, %t", s, n, ok)
		}
	}
	if n, ok := identity.ParseMaxAge(""); n != nil || !ok {
		t.Errorf("ParseMaxAge of nothing = %v, %t", n, ok)
	}
	for _, s := range []string{"-1", "+1", " 1", "1 ", "1.0", "1e3", "0x10", "1000000000", "9223372036854775808", "١", "one", "1_0", "\n", "null"} {
		if n, ok := identity.ParseMaxAge(s); n != nil || ok {
			t.Errorf("ParseMaxAge(%q) = %v, %t", s, n, ok)
		}
	}
}

func TestParseScopesKeepsOrderAndDropsRepeats(t *testing.T) {
	for s, want := range map[string][]string{
		"": nil, " ": nil, "openid": {"openid"}, " openid  email openid ": {"openid", "email"},
		"email openid": {"email", "openid"}, "OpenID openid": {"OpenID", "openid"}, "a\tb c": {"a\tb", "c"},
	} {
		got := identity.ParseScopes(s)
		if !slices.Equal(got, want) {
			t.Errorf("ParseScopes(%q) = %q, want %q", s, got, want)
		}
		if again := identity.ParseScopes(got.String()); !slices.Equal(again, got) {
			t.Errorf("%q came back as %q", got, again)
		}
	}
}

func TestScopeSets(t *testing.T) {
	s := identity.Scopes{"openid", "email"}
	if !s.Has("email") || s.Has("e") || s.Has("openid email") || s.Has("") {
		t.Error("Has")
	}
	if !s.Cover(nil) || !s.Cover(identity.Scopes{"email"}) || s.Cover(identity.Scopes{"email", "profile"}) || identity.Scopes(nil).Cover(s) {
		t.Error("Cover")
	}
	if got := (identity.Scopes{"z", "email", "openid"}).Only([]string{"openid", "email", "profile"}); !slices.Equal(got, []string{"email", "openid"}) {
		t.Errorf("Only = %q", got)
	}
	if got := s.Only(nil); got != nil {
		t.Errorf("Only of nothing = %q", got)
	}
}

func TestValidScope(t *testing.T) {
	for _, s := range append(identity.StandardScopes(), "https://api.example/read", "a:b.c-d_e!#[]~", strings.Repeat("a", 100)) {
		if !identity.ValidScope(s) {
			t.Errorf("ValidScope(%q) = false", s)
		}
	}
	for _, s := range []string{"", "a b", " a", "a\tb", "a\n", `a"`, `a\`, "é", "a\x7f", strings.Repeat("a", 101)} {
		if identity.ValidScope(s) {
			t.Errorf("ValidScope(%q) = true", s)
		}
	}
}
