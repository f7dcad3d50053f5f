package identity

import (
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Account is a person.
type Account struct {
	ID       string
	Login    string // login address as typed and verified; where mail goes
	LoginKey string // LoginKey(Login); unique

	GivenName  string
	FamilyName string
	Language   string // BCP 47, "" where the person chose none

	ManagingOrg   string // the one organisation with power over this account, "" for none
	Administrator bool   // may operate this installation
	LoginVerified bool   // the address was proved, or an operator vouched for it
	LockThreshold int    // failed guesses before a lane locks; 0 = the installation's default

	SealedPassword    []byte // sealed hash; nil where the account has no password
	PasswordChangedAt time.Time
	DisabledAt        time.Time // zero while the account is in use
	CreatedAt         time.Time
	UpdatedAt         time.Time
}

// Disabled tells whether nobody may sign in to the account.
func (a Account) Disabled() bool { return !a.DisabledAt.IsZero() }

// Name is what pages and claims call the person: given and family name, or ""
// where neither is known.
func (a Account) Name() string {
	return strings.TrimSpace(a.GivenName + " " + a.FamilyName)
}

// PasswordContext is the associated data under which an account's password hash
// is sealed, so that a row copied to another account opens nothing.
func PasswordContext(accountID string) string { return "account.password:" + accountID }

// Refusals of a new password. Their text is the stem of a catalogue key.
var (
	ErrPasswordMissing = errors.New("password-missing")
	ErrPasswordShort   = errors.New("password-too-short")
	ErrPasswordLong    = errors.New("password-too-long")
	ErrPasswordCommon  = errors.New("password-common")
)

// MaxPassword is the length of a password in bytes up to which every byte
// counts; a longer one is refused, none is truncated (NIST SP 800-63B-4, 3.1.1.2).
const MaxPassword = 1024

// NormalPassword returns the NFC form that is hashed and compared, so that a
// letter typed composed or decomposed is the same letter.
func NormalPassword(typed string) string { return norm.NFC.String(typed) }

// CheckNewPassword tells whether a person may choose the password (NIST SP
// 800-63B-4, section 3.1.1.2): at least least characters, each code point one,
// no composition rules, and nothing a guesser tries first: the person's own
// name and address, the product's name, or one pattern repeated that alone would
// be too short.
func CheckNewPassword(typed string, least int, context ...string) error {
	password := NormalPassword(typed)
	switch {
	case password == "":
		return ErrPasswordMissing
	case len(typed) > MaxPassword || len(password) > MaxPassword || !utf8.ValidString(typed):
		return ErrPasswordLong
	case utf8.RuneCountInString(password) < least:
		return ErrPasswordShort
	case repeats(password, least), guessable(password, slices.Concat(context, []string{"simplon"})):
		return ErrPasswordCommon
	}
	return nil
}

// repeats tells whether a password is one pattern of fewer than least characters
// over and over, in whatever case, the last time perhaps cut off.
func repeats(password string, least int) bool {
	rs := []rune(strings.ToLower(password))
	for length := 1; length < least && 2*length <= len(rs); length++ {
		if slices.Equal(rs[length:], rs[:len(rs)-length]) {
			return true
		}
	}
	return false
}

// guessable finds passwords that consist of little but known words, runs and
// repeats, with however many signs between their letters: what is left after
// taking those out must still be six characters.
func guessable(password string, context []string) bool {
	var signs []rune
	bare := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		case !unicode.IsSpace(r):
			signs = append(signs, r)
		}
		return -1
	}, password)
	words := []string{"password", "passwort", "qwertyuiop", "qwertzuiop", "qwerty", "qwertz", "letmein", "welcome",
		"willkommen", "admin", "administrator", "iloveyou", "changeme", "secret", "geheim", "login"}
	for _, c := range context {
		c = strings.ToLower(norm.NFC.String(c))
		words = append(words, c)
		words = append(words, strings.FieldsFunc(c, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })...)
	}
	for _, w := range words {
		if utf8.RuneCountInString(w) >= 3 {
			bare = strings.ReplaceAll(bare, w, "")
		}
	}
	return novelty(append([]rune(bare), signs...)) < 6 && novelty([]rune(password)) < 24
}

// novelty counts the characters that do not merely repeat or continue the one
// before, and counts a character already seen at half.
func novelty(rs []rune) int {
	seen := map[rune]bool{}
	halves := 0
	for i, r := range rs {
		if i > 0 && (r == rs[i-1] || r == rs[i-1]+1 || r == rs[i-1]-1) {
			continue
		}
		if seen[r] {
			halves++
		} else {
			halves += 2
		}
		seen[r] = true
	}
	return halves / 2
}

// MaxName bounds a given or family name, in characters.
const MaxName = 80

// CleanName trims a name as typed and folds its white space; it answers false
// for one that is too long or holds controls or bidirectional overrides.
func CleanName(typed string) (string, bool) {
	name := strings.Join(strings.Fields(norm.NFC.String(typed)), " ")
	if utf8.RuneCountInString(name) > MaxName || !utf8.ValidString(name) {
		return "", false
	}
	for _, r := range name {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || unicode.Is(unicode.Noncharacter_Code_Point, r) {
			return "", false
		}
	}
	return name, true
}
