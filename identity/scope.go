package identity

import (
	"slices"
	"strings"
)

// The scopes of OpenID Connect Core, section 5.4 and 11, that we serve.
const (
	ScopeOpenID  = "openid"
	ScopeProfile = "profile"
	ScopeEmail   = "email"
	ScopeOffline = "offline_access"
)

// StandardScopes lists the scopes every installation knows, in the order pages
// show them.
func StandardScopes() []string {
	return []string{ScopeOpenID, ScopeProfile, ScopeEmail, ScopeOffline}
}

// ValidScope tells whether a text is one scope token (RFC 6749, section 3.3) of
// at most 100 characters.
func ValidScope(s string) bool {
	if s == "" || len(s) > 100 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// Scopes is a set of scopes in the order asked, without repeats.
type Scopes []string

// ParseScopes reads the space-delimited form.
func ParseScopes(s string) Scopes {
	var out Scopes
	for _, f := range strings.Split(s, " ") {
		if f != "" && !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	return out
}

func (s Scopes) String() string { return strings.Join(s, " ") }

// Has tells whether the scope is in the set.
func (s Scopes) Has(scope string) bool { return slices.Contains(s, scope) }

// Cover tells whether every scope of asked is in s.
func (s Scopes) Cover(asked Scopes) bool {
	for _, a := range asked {
		if !s.Has(a) {
			return false
		}
	}
	return true
}

// Only returns what s and allowed share, in the order of s.
func (s Scopes) Only(allowed []string) Scopes {
	var out Scopes
	for _, a := range s {
		if slices.Contains(allowed, a) {
			out = append(out, a)
		}
	}
	return out
}
