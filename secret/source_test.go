package secret

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"math"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

// counter is a reader of 0, 1, 2 … that is not safe for concurrent use: the race
// detector tells whether Source locks it.
type counter struct{ n byte }

func (c *counter) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = c.n
		c.n++
	}
	return len(b), nil
}

func TestTokenIsPrefixAnd256RandomBits(t *testing.T) {
	token := NewSource(&counter{}).Token("smp_rt_").Reveal()
	body, ok := strings.CutPrefix(token, "smp_rt_")
	if !ok || len(body) != 43 {
		t.Fatalf("token %q", token)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil || !bytes.Equal(raw[:4], []byte{0, 1, 2, 3}) || len(raw) != 32 {
		t.Fatalf("decoded % x, %v", raw, err)
	}
}

func TestSourceIsSafeForConcurrentUse(t *testing.T) {
	for _, src := range []*Source{NewSource(&counter{}), NewSource(rand.Reader)} {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 50 {
					src.Bytes(16)
				}
			})
		}
		wg.Wait()
	}
}

func TestSourcePanicsWhenTheReaderFails(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("bytes without randomness")
		}
	}()
	NewSource(iotest.ErrReader(errors.New("no entropy"))).Bytes(1)
}

func TestPasswordIsLongTypableAndStrong(t *testing.T) {
	src := NewSource(rand.Reader)
	shape := regexp.MustCompile(`^[abcdefghjkmnpqrstvwxyz]{4}(-[abcdefghjkmnpqrstvwxyz]{4})*$`)
	for asked, groups := range map[int]int{-1: 5, 0: 5, 4: 5, 5: 5, 7: 7} {
		password := src.Password(asked).Reveal()
		letters := len(strings.ReplaceAll(password, "-", ""))
		if !shape.MatchString(password) || letters != 4*groups {
			t.Errorf("Password(%d) = %q", asked, password)
		}
		if bits := float64(letters) * math.Log2(float64(len(passwordLetters))); len(password) < 15 || bits < 80 {
			t.Errorf("%d characters, %.0f bits", len(password), bits)
		}
	}
	if first, second := src.Password(5), src.Password(5); first == second {
		t.Error("the same password twice")
	}
}

func TestPasswordLettersAreEquallyLikely(t *testing.T) {
	// A reader of every byte value once: each letter must come equally often,
	// and the values past the last multiple of 22 must be skipped.
	seen := map[byte]int{}
	src := NewSource(&counter{})
	for range 256 / len(passwordLetters) * len(passwordLetters) {
		seen[src.letter()]++
	}
	for i := range len(passwordLetters) {
		if n := seen[passwordLetters[i]]; n != 11 {
			t.Errorf("letter %c came %d times", passwordLetters[i], n)
		}
	}
}

func TestDigestAndEqual(t *testing.T) {
	if d := Digest("abc"); len(d) != 32 || d[0] != 0xba || d[31] != 0xad { // FIPS 180-2, B.1
		t.Errorf("Digest(abc) = %x", d)
	}
	if !Equal([]byte("a"), []byte("a")) || Equal([]byte("a"), []byte("b")) || Equal([]byte("a"), nil) {
		t.Error("Equal")
	}
	if !EqualString("a", "a") || EqualString("a", "ab") || EqualString("a", "A") {
		t.Error("EqualString")
	}
}
