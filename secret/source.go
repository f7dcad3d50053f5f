package secret

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
	"sync"
)

// tokenBytes is the entropy of a generated token: 256 bits, far above the 128
// that A4 asks for, so a fast digest of it may be stored.
const tokenBytes = 32

// passwordLetters are the lower-case letters of Crockford's base 32: no i, l, o
// or u, so nothing reads like a digit or spells a word by accident.
const passwordLetters = "abcdefghjkmnpqrstvwxyz"

// A generated password has at least passwordGroups groups of passwordGroupSize
// letters: 20 letters of 22 are 89 bits, and 24 characters with the hyphens.
const (
	passwordGroups    = 5
	passwordGroupSize = 4
)

// Source hands out random bytes and secrets made of them. It is safe for
// concurrent use. Construct it with [NewSource].
type Source struct {
	mu     sync.Mutex
	locked bool
	r      io.Reader
}

// NewSource returns a Source that reads r, in production crypto/rand.Reader. Any
// other reader is locked for each read, so it need not be safe for concurrent
// use itself. A nil reader panics.
func NewSource(r io.Reader) *Source {
	if r == nil {
		panic("secret: NewSource needs a reader")
	}
	return &Source{r: r, locked: r != rand.Reader}
}

// Bytes returns n fresh random bytes. It panics only if the reader fails: a
// process without randomness must not go on.
func (s *Source) Bytes(n int) []byte {
	b := make([]byte, n)
	s.fill(b)
	return b
}

// Token returns prefix followed by 32 random bytes in base64url without padding
// (43 characters). It panics only if the reader fails.
func (s *Source) Token(prefix string) Token {
	return Token(prefix + base64.RawURLEncoding.EncodeToString(s.Bytes(tokenBytes)))
}

// Password returns a random password that a person can type: groups of four
// lower-case letters joined by hyphens. Fewer than 5 groups are raised to 5,
// which gives 24 characters and 89 bits. It panics only if the reader fails.
func (s *Source) Password(groups int) Text {
	groups = max(groups, passwordGroups)
	out := make([]byte, 0, groups*(passwordGroupSize+1))
	for i := range groups * passwordGroupSize {
		if i > 0 && i%passwordGroupSize == 0 {
			out = append(out, '-')
		}
		out = append(out, s.letter())
	}
	return Text(out)
}

// letter draws one letter. Bytes above the largest multiple of the alphabet's
// length are drawn again, else the first letters would come more often.
func (s *Source) letter() byte {
	const limit = 256 - 256%len(passwordLetters)
	var b [1]byte
	for {
		s.fill(b[:])
		if int(b[0]) < limit {
			return passwordLetters[int(b[0])%len(passwordLetters)]
		}
	}
}

func (s *Source) fill(b []byte) {
	if s.locked {
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	if _, err := io.ReadFull(s.r, b); err != nil {
		panic(fmt.Sprintf("secret: random source failed: %v", err))
	}
}
