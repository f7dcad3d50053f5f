package identity_test

import (
	"errors"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"simplon/identity"
)

func TestLoginKeyIsOneForAllSpellingsOfAnAddress(t *testing.T) {
	long := strings.Repeat("a", 64)
	for _, c := range []struct{ name, typed, want string }{
		{"plain", "anna@example.com", "anna@example.com"},
		{"space around", " \tanna@example.com\n", "anna@example.com"},
		{"case", "Anna.Meier@EXAMPLE.Com", "anna.meier@example.com"},
		{"case fold of sharp s", "STRAßE@example.com", "strasse@example.com"},
		{"dotted capital I stays itself", "İ@example.com", "i\u0307@example.com"},
		{"dotless i stays itself", "ı@example.com", "ı@example.com"},
		{"Kelvin sign", "\u212a@example.com", "k@example.com"},
		{"composed", "zo\u00eb@example.com", "zo\u00eb@example.com"},
		{"decomposed", "zoe\u0308@example.com", "zo\u00eb@example.com"},
		{"full width", "ａｎｎａ@example.com", "anna@example.com"},
		{"full width domain and stop", "anna@ｅｘａｍｐｌｅ．ｃｏｍ", "anna@example.com"},
		{"ligature", "\ufb01nn@example.com", "finn@example.com"},
		{"iota below", "\u1fb3\u0345@example.com", "αιι@example.com"},
		{"plus tag stays", "Anna+News@example.com", "anna+news@example.com"},
		{"dots stay", "a.n.n.a@gmail.com", "a.n.n.a@gmail.com"},
		{"unquoted specials", "!#$%&'*+-/=?^_`{|}~@example.com", "!#$%&'*+-/=?^_`{|}~@example.com"},
		{"digits", "007@example.com", "007@example.com"},
		{"Greek", "ΝΊΚΟΣ@example.com", "νίκοσ@example.com"},
		{"final sigma", "νίκος@example.com", "νίκοσ@example.com"},
		{"Japanese in three scripts", "日本カナかな@example.jp", "日本カナかな@example.jp"},
		{"IDN domain", "anna@München.DE", "anna@xn--mnchen-3ya.de"},
		{"IDN domain decomposed", "anna@mu\u0308nchen.de", "anna@xn--mnchen-3ya.de"},
		{"IDN domain as A-label", "anna@XN--MNCHEN-3YA.de", "anna@xn--mnchen-3ya.de"},
		{"sharp s of IDNA2008", "anna@faß.de", "anna@xn--fa-hia.de"},
		{"soft hyphen in the domain", "anna@exam\u00adple.com", "anna@example.com"},
		{"trailing dot", "anna@example.com.", "anna@example.com"},
		{"trailing ideographic full stop", "anna@example.com。", "anna@example.com"},
		{"trailing half-width full stop", "anna@example.com｡", "anna@example.com"},
		{"trailing full-width full stop", "anna@example.com．", "anna@example.com"},
		{"ideographic full stop inside", "anna@例え。jp", "anna@xn--r8jz45g.jp"},
		{"this machine", "anna@localhost", "anna@localhost"},
		{"longest local part", long + "@example.com", long + "@example.com"},
		{"longest address", long + "@" + domainOf(254-65), long + "@" + domainOf(254-65)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := identity.LoginKey(c.typed)
			if err != nil || got != c.want {
				t.Fatalf("LoginKey(%+q) = %+q, %v, want %+q", c.typed, got, err, c.want)
			}
			if again, err := identity.LoginKey(got); err != nil || again != got {
				t.Errorf("LoginKey of the key %+q = %+q, %v", got, again, err)
			}
		})
	}
}

// domainOf is a domain of n bytes, n from 129 to 190.
func domainOf(n int) string {
	label := strings.Repeat("d", 62)
	return label + "." + label + "." + strings.Repeat("e", n-2*63)
}

func TestLoginKeyRefusesWhatCanBeNoAddress(t *testing.T) {
	long := strings.Repeat("a", 65)
	for name, typed := range map[string]string{
		"nothing": "", "spaces": "   ", "no at": "anna", "no local part": "@example.com", "no domain": "anna@",
		"two ats": "anna@home@example.com", "full-width at": "anna＠example.com",
		"full-width at in the local part": "an＠na@example.com", "full-width at in the domain": "anna@ex＠ample.com",
		"not UTF-8": "ann\xff@example.com", "not UTF-8 in the domain": "anna@ex\xffample.com",
		"quoted": `"anna"@example.com`, "quoted space": `"anna meier"@example.com`, "backslash": `an\na@example.com`,
		"space inside": "anna meier@example.com", "no-break space": "anna\u00a0meier@example.com",
		"line break": "anna\n@example.com", "NUL": "anna\x00@example.com", "DEL": "anna\x7f@example.com", "C1 control": "anna\u0085b@example.com",
		"comma": "anna,beat@example.com", "angle brackets": "<anna@example.com>", "comment": "anna(home)@example.com",
		"right-to-left override": "ann\u202ea@example.com", "right-to-left mark": "anna\u200f@example.com", "isolate": "\u2066anna\u2069@example.com",
		"zero-width space": "an\u200bna@example.com", "zero-width joiner": "an\u200dna@example.com", "byte order mark": "\ufeffanna@example.com",
		"soft hyphen": "an\u00adna@example.com", "grapheme joiner": "an\u034fna@example.com", "Hangul filler": "an\u3164na@example.com",
		"variation selector": "anna\ufe0f@example.com", "Mongolian variation selector": "anna\u180b@example.com",
		"tag character": "anna\U000e0041@example.com", "private use": "anna\ue000@example.com", "emoji": "anna🙂@example.com",
		"Cyrillic a among Latin": "\u0430nna@example.com", "Greek o among Latin": "j\u03bfhn@example.com",
		"Latin among Cyrillic": "\u043f\u0430\u0440aл\u044c@example.com", "Hangul among Han": "日본@example.jp",
		"leading dot": ".anna@example.com", "trailing dot before at": "anna.@example.com", "two dots": "anna..meier@example.com",
		"dot leader that is three dots": "anna\u2026b@example.com",
		"long local part":               long + "@example.com", "long address": "a@" + domainOf(190) + "." + domainOf(150),
		"local part that grows too long": strings.Repeat("\ufb03", 21) + "aa@example.com",
		"bare host":                      "anna@example", "two trailing dots": "anna@example.com..", "two trailing full stops": "anna@example.com。。",
		"dot and full stop": "anna@example.com.。", "only a dot": "anna@.", "only a full stop": "anna@。",
		"leading dot in the domain": "anna@.example.com", "empty label": "anna@example..com", "address literal": "anna@[127.0.0.1]",
		"underscore": "anna@ex_ample.com", "hyphen first": "anna@-example.com", "hyphen last": "anna@example-.com",
		"bad A-label": "anna@xn--a.com", "A-label of ASCII": "anna@xn--abc-.com", "bidi rule": "anna@\u05d0a.com", "port": "anna@example.com:25",
		"long label": "anna@" + strings.Repeat("d", 64) + ".com",
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := identity.LoginKey(typed); !errors.Is(err, identity.ErrLogin) || got != "" {
				t.Errorf("LoginKey(%+q) = %+q, %v, want ErrLogin", typed, got, err)
			}
		})
	}
}

func TestLookAlikesNeverShareAKey(t *testing.T) {
	keys := map[string]string{}
	for _, typed := range []string{
		"ace@example.com", "\u0430\u0441\u0435@example.com", // Latin, Cyrillic
		"ooo@example.com", "\u03bf\u03bf\u03bf@example.com", "\u043e\u043e\u043e@example.com", // Latin, Greek, Cyrillic
		"ace@\u0430\u0441\u0435.com", "ace@ace.com", // domains
		"i@example.com", "ı@example.com", "İ@example.com", "anna+a@example.com", "anna@example.com", "a.nna@example.com",
	} {
		key, err := identity.LoginKey(typed)
		if err != nil {
			t.Fatalf("LoginKey(%+q): %v", typed, err)
		}
		if other, taken := keys[key]; taken {
			t.Errorf("%+q and %+q share the key %+q", typed, other, key)
		}
		keys[key] = typed
	}
}

func FuzzLoginKey(f *testing.F) {
	for _, seed := range []string{
		"anna@example.com", "Anna+x@MÜNCHEN.de", "a@example.com。", "a@example.com..", "ａ@ｂ．ｃ", "\u1fb3\u0345@x.de", "İ@x.de", "ſ@x.de",
		"\u212a@x.de", "a@xn--mnchen-3ya.de", "\"a b\"@x.de", "\u0430nna@x.de", "日本カナ@例え.jp", "a\ufe0f@x.de", "a@[::1]", "ΐ@x.de", "a@ß.de",
		"\u0345a@x.de", "\u0958@x.de", "\uac00\u11a8@x.de", "a@a\u0323\u0307.de", " a@x.de. ", "", "@", "a@\xff",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		key, err := identity.LoginKey(typed)
		for form, other := range map[string]string{"NFC": norm.NFC.String(typed), "NFD": norm.NFD.String(typed)} {
			// A form may be too long to be an address at all.
			if otherKey, otherErr := identity.LoginKey(other); otherErr == nil && err == nil && otherKey != key {
				t.Fatalf("%+q: key %+q, but %+q in %s", typed, key, otherKey, form)
			}
		}
		if err != nil {
			if key != "" || !errors.Is(err, identity.ErrLogin) {
				t.Fatalf("LoginKey(%+q) = %+q, %v", typed, key, err)
			}
			return
		}
		if again, err := identity.LoginKey(key); err != nil || again != key {
			t.Fatalf("the key %+q of %+q has the key %+q, %v", key, typed, again, err)
		}
		if upper, err := identity.LoginKey(strings.ToUpper(typed)); err == nil && upper != key && ascii(typed) {
			t.Fatalf("%+q: key %+q, in capitals %+q", typed, key, upper)
		}
		local, domain, _ := strings.Cut(key, "@")
		if len(key) > 254 || local == "" || domain == "" || strings.HasSuffix(domain, ".") || !ascii(domain) || strings.Contains(domain, "@") {
			t.Fatalf("%+q has the key %+q", typed, key)
		}
		for _, r := range key {
			if unicode.IsControl(r) || unicode.IsSpace(r) || unicode.Is(unicode.Bidi_Control, r) || unicode.IsUpper(r) {
				t.Fatalf("%+q has the key %+q with %+q in it", typed, key, r)
			}
		}
	})
}

func ascii(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}

func TestDeliverableAddressIsABareAddress(t *testing.T) {
	for typed, want := range map[string]bool{
		"anna@example.com": true, "Anna+x@Example.COM": true, "zoë@example.com": true, "anna@münchen.de": true,
		"": false, "anna": false, "Anna <anna@example.com>": false, "anna@example.com, beat@example.com": false,
		"anna@example.com\r\nBcc: beat@example.com": false, "anna@example.com\n": false, "anna@example.com (home)": false,
		`"anna"@example.com`: false, "anna:beat@example.com;": false, " anna@example.com": false, "anna@exam\x00ple.com": false,
	} {
		if got := identity.DeliverableAddress(typed); got != want {
			t.Errorf("DeliverableAddress(%q) = %t", typed, got)
		}
	}
}

func TestLoginKeyOfEveryLetterIsItsOwnKey(t *testing.T) {
	for r := rune(0x80); r <= unicode.MaxRune; r++ {
		if !unicode.In(r, unicode.L, unicode.M, unicode.N) {
			continue
		}
		typed := string(r) + "@example.com"
		key, err := identity.LoginKey(typed)
		if err != nil {
			continue
		}
		if again, err := identity.LoginKey(key); err != nil || again != key {
			t.Errorf("the key %+q of %+q has the key %+q, %v", key, typed, again, err)
		}
		if nfd, err := identity.LoginKey(norm.NFD.String(typed)); err != nil || nfd != key {
			t.Errorf("%+q has the key %+q, decomposed %+q, %v", typed, key, nfd, err)
		}
	}
}
