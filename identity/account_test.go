package identity_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"simplon/identity"
)

const least = 15 // NIST SP 800-63B-4, 3.1.1.2: a password used alone

func TestNewPasswordsThatPeopleMayChoose(t *testing.T) {
	keys := []rune("🗝🚲🌋🦊🍋🎻🧊🪁")
	var emoji strings.Builder
	random := rand.New(rand.NewPCG(1, 2))
	for range 64 {
		emoji.WriteRune(keys[random.IntN(len(keys))])
	}
	for name, typed := range map[string]string{
		"passphrase":                "correct horse battery staple",
		"German passphrase":         "Montag regnet es im Simplontal wieder",
		"passphrase with a name":    "anna likes quiet mountain huts",
		"passphrase with the brand": "simplon pass closes in november",
		"passphrase with password":  "my password is a secret sentence",
		"spaces count":              "m a q k w z e p",
		"only spaces around":        "  two quiet foxes  ",
		"64 emoji":                  emoji.String(),
		"15 emoji":                  "🗝🚲🌋🦊🍋🎻🧊🪁🐚🍄🧵🛶🏔🧭🪵",
		"Cyrillic":                  "корабль лавирует опять",
		"Chinese":                   "山高月小水落石出清風徐來水波不興",
		"random digits":             "928374610582736",
		"hexadecimal":               "9f86d081884c7d659a2f",
		"random symbols":            "}~;%=\\/^_[!*:'+",
		"no composition rules":      "quietfoxesunderoldbridges",
		"composed and decomposed":   "zoe\u0308 zo\u00eb und ihr Velo",
		"1024 bytes":                strings.Repeat("lorem ipsum dolor sit ", 46) + "amet vel nec",
		"manager's choice":          "cX7$kQ2!mZ9@pL4",
	} {
		if err := identity.CheckNewPassword(typed, least, "Anna", "Meier", "anna.meier@example.com"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTwentyRandomLettersAreAPassword(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 20000 {
		typed := make([]byte, 20)
		for i := range typed {
			typed[i] = byte('a' + random.IntN(26))
		}
		if err := identity.CheckNewPassword(string(typed), least, "Anna", "Meier", "anna.meier@example.com"); err != nil {
			t.Fatalf("%s: %v", typed, err)
		}
	}
}

func TestNewPasswordsThatNobodyMayChoose(t *testing.T) {
	for name, c := range map[string]struct {
		typed string
		want  error
	}{
		"nothing":                    {"", identity.ErrPasswordMissing},
		"14 characters":              {"quiet foxes un", identity.ErrPasswordShort},
		"14 emoji of 56 bytes":       {strings.Repeat("🗝🚲", 7), identity.ErrPasswordShort},
		"decomposed letters are one": {strings.Repeat("o\u0308a", 7), identity.ErrPasswordShort},
		"1025 bytes":                 {strings.Repeat("lorem ipsum dolor sit ", 46) + "amet vel nec!", identity.ErrPasswordLong},
		"1025 bytes of emoji":        {strings.Repeat("🗝", 256) + "x", identity.ErrPasswordLong},
		"not UTF-8":                  {"quiet foxes under \xff bridges", identity.ErrPasswordLong},
		"own name":                   {"AnnaMeierAnnaMeier", identity.ErrPasswordCommon},
		"own name and a year":        {"Anna-Meier-1984", identity.ErrPasswordCommon},
		"own address":                {"anna.meier@example.com", identity.ErrPasswordCommon},
		"own address and digits":     {"anna.meier@example.com1", identity.ErrPasswordCommon},
		"own name decomposed":        {"Zoe\u0308-Anna-Zo\u00eb-Meier", identity.ErrPasswordCommon},
		"product":                    {"simplonsimplonsimplon", identity.ErrPasswordCommon},
		"product and year":           {"Simplon Simplon 2026!", identity.ErrPasswordCommon},
		"password":                   {"passwordpassword1", identity.ErrPasswordCommon},
		"decorated password":         {"!!!Password-Password-123!!!", identity.ErrPasswordCommon},
		"qwerty":                     {"qwertyuiopqwerty", identity.ErrPasswordCommon},
		"digits in a row":            {"123456789012345", identity.ErrPasswordCommon},
		"letters in a row":           {"abcdefghijklmnopqrst", identity.ErrPasswordCommon},
		"letters backwards":          {"tsrqponmlkjihgfedcba", identity.ErrPasswordCommon},
		"one letter":                 {strings.Repeat("a", 15), identity.ErrPasswordCommon},
		"one space":                  {strings.Repeat(" ", 20), identity.ErrPasswordCommon},
		"one emoji":                  {strings.Repeat("🗝", 64), identity.ErrPasswordCommon},
		"two letters in turn":        {strings.Repeat("xk", 10), identity.ErrPasswordCommon},
		"a short word again":         {strings.Repeat("lea", 6), identity.ErrPasswordCommon},
		"a longer word again":        {strings.Repeat("dragon7", 3), identity.ErrPasswordCommon},
		"a keyboard pattern again":   {strings.Repeat("qazwsx", 4), identity.ErrPasswordCommon},
		"again in another case":      {"Sunshine4sunShine4", identity.ErrPasswordCommon},
		"again, cut off":             {"wintertime!wintertime!win", identity.ErrPasswordCommon},
		"again over 1000 characters": {strings.Repeat("wintertime!", 93), identity.ErrPasswordCommon},
	} {
		err := identity.CheckNewPassword(c.typed, least, "Anna", "Meier", "Zoe\u0308", "anna.meier@example.com")
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestCheckNewPasswordLeavesItsArgumentsAlone(t *testing.T) {
	context := append(make([]string, 0, 4), "Anna")
	shared := append(context, "Meier")
	if err := identity.CheckNewPassword("correct horse battery staple", least, context...); err != nil {
		t.Fatal(err)
	}
	if shared[1] != "Meier" {
		t.Errorf("the caller's slice holds %q now", shared)
	}
}

func TestNormalPasswordIsOneForBothSpellings(t *testing.T) {
	if a, b := identity.NormalPassword("zo\u00eb"), identity.NormalPassword("zoe\u0308"); a != b {
		t.Errorf("%+q and %+q", a, b)
	}
	if got := identity.NormalPassword(" Ａ  b "); got != " Ａ  b " {
		t.Errorf("more than composition changed: %+q", got)
	}
}

func TestCleanName(t *testing.T) {
	full := strings.Repeat("ä", identity.MaxName)
	for _, c := range []struct {
		typed, want string
		ok          bool
	}{
		{"Anna", "Anna", true},
		{"", "", true},
		{"  Anna \t Maria\n", "Anna Maria", true},
		{"Anna\u00a0Maria\u3000K.", "Anna Maria K.", true},
		{"Zoe\u0308", "Zo\u00eb", true},
		{"O’Brien-Łukasz", "O’Brien-Łukasz", true},
		{"می\u200cخواهم", "می\u200cخواهم", true}, // needs its zero-width non-joiner
		{"محمد", "محمد", true},
		{full, full, true},
		{strings.Repeat("a\u0308", identity.MaxName), full, true},
		{full + "x", "", false},
		{"Anna\x00", "", false},
		{"An\x1bna", "", false},
		{"An\u0085na", "An na", true},
		{"An\u009bna", "", false},
		{"\u202eannA", "", false},
		{"Anna\u200f", "", false},
		{"\u2066Anna\u2069", "", false},
		{"Anna\ufffe", "", false},
		{"Ann\xff", "", false},
	} {
		if got, ok := identity.CleanName(c.typed); got != c.want || ok != c.ok {
			t.Errorf("CleanName(%+q) = %+q, %t, want %+q, %t", c.typed, got, ok, c.want, c.ok)
		}
		if again, ok := identity.CleanName(c.want); again != c.want || !ok {
			t.Errorf("CleanName(%+q) = %+q, %t: not itself", c.want, again, ok)
		}
	}
}

func TestAccountNameAndState(t *testing.T) {
	for want, a := range map[string]identity.Account{
		"": {}, "Anna": {GivenName: "Anna"}, "Meier": {FamilyName: "Meier"}, "Anna Meier": {GivenName: "Anna", FamilyName: "Meier"},
	} {
		if got := a.Name(); got != want {
			t.Errorf("Name = %q, want %q", got, want)
		}
	}
	if (identity.Account{}).Disabled() || !(identity.Account{DisabledAt: instant()}).Disabled() {
		t.Error("Disabled is not what DisabledAt says")
	}
	if identity.PasswordContext("acc_1") == identity.PasswordContext("acc_2") || identity.PasswordContext("x") == identity.KeyContext("x") {
		t.Error("two things share a sealing context")
	}
}
