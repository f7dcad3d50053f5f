package identity

import (
	"errors"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// ErrLogin says that what was typed can be no login address.
var ErrLogin = errors.New("not a valid login address")

// maxLogin bounds a typed login address in bytes (RFC 5321, section 4.5.3.1.3).
const maxLogin = 254

// LoginKey returns the one canonical key of a typed login address: what lanes,
// limits, discovery and the unique index all use. The local part is NFKC and
// case-folded, of one script and free of controls, spaces and bidirectional
// marks; the domain is its IDNA2008 A-label without a trailing dot. Plus tags
// and dots stay: they matter to some mail systems, so we never merge them.
// Two addresses that look alike in two scripts get two keys or ErrLogin, never
// one. Applying LoginKey to its own result changes nothing.
func LoginKey(typed string) (string, error) {
	typed = strings.TrimSpace(typed)
	if typed == "" || len(typed) > maxLogin || !utf8.ValidString(typed) {
		return "", ErrLogin
	}
	at := strings.LastIndexByte(typed, '@')
	if at <= 0 || at == len(typed)-1 {
		return "", ErrLogin
	}
	local, err := localKey(typed[:at])
	if err != nil {
		return "", err
	}
	domain, err := domainKey(typed[at+1:])
	if err != nil {
		return "", err
	}
	key := local + "@" + domain
	if len(key) > maxLogin {
		return "", ErrLogin
	}
	return key, nil
}

func localKey(local string) (string, error) {
	// Folding can undo normalisation and the other way round, so go on until
	// nothing changes; three rounds suffice for every code point, the rest is
	// refused rather than stored under two keys.
	key := local
	for range 4 {
		next := norm.NFKC.String(cases.Fold().String(norm.NFKC.String(key)))
		if next == key {
			break
		}
		key = next
	}
	if norm.NFKC.String(cases.Fold().String(norm.NFKC.String(key))) != key {
		return "", ErrLogin
	}
	if key == "" || len(key) > 64 || key[0] == '.' || key[len(key)-1] == '.' || strings.Contains(key, "..") {
		return "", ErrLogin
	}
	var script *unicode.RangeTable
	for _, r := range key {
		if !localRune(r) {
			return "", ErrLogin
		}
		s := scriptOf(r)
		if s == nil {
			continue
		}
		if script != nil && script != s {
			return "", ErrLogin
		}
		script = s
	}
	return key, nil
}

// localRune tells whether a rune may stand in a local part: the unquoted
// characters of RFC 5321 and letters, marks and digits beyond ASCII (RFC 6531),
// but for those that nobody sees.
func localRune(r rune) bool {
	if r < 0x80 {
		return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune(".!#$%&'*+-/=?^_`{|}~", r)
	}
	return unicode.In(r, unicode.L, unicode.M, unicode.Nd) &&
		!unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// scriptOf returns the script a rune belongs to, or nil where it belongs to
// none in particular. Han, Hiragana and Katakana count as one, as they are
// written together.
func scriptOf(r rune) *unicode.RangeTable {
	if unicode.In(r, unicode.Common, unicode.Inherited) {
		return nil
	}
	if unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana) {
		return unicode.Han
	}
	for name, table := range unicode.Scripts {
		if name != "Common" && name != "Inherited" && unicode.Is(table, r) {
			return table
		}
	}
	return unicode.Other
}

func domainKey(domain string) (string, error) {
	profile := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true),
		idna.ValidateLabels(true), idna.VerifyDNSLength(true), idna.Transitional(false))
	a, err := profile.ToASCII(norm.NFKC.String(domain))
	if err != nil {
		return "", ErrLogin
	}
	// Only now every kind of full stop is a dot; the profile lets any number of
	// them end a domain.
	a = strings.TrimSuffix(a, ".")
	if strings.HasSuffix(a, ".") || !strings.Contains(a, ".") && a != "localhost" {
		return "", ErrLogin
	}
	if again, err := profile.ToASCII(a); err != nil || again != a {
		return "", ErrLogin
	}
	return a, nil
}

// DeliverableAddress tells whether mail can be addressed to what was typed: a
// bare address without display name, comment or line break. The typed form, not
// the key, is where mail goes.
func DeliverableAddress(typed string) bool {
	if strings.ContainsAny(typed, "\r\n\x00<>,;:\"() ") {
		return false
	}
	parsed, err := mail.ParseAddress(typed)
	return err == nil && parsed.Name == "" && parsed.Address == typed
}
