package secret

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Bounds of what is computed for a stored hash. passwap's Verify trusts the
// parameters in the string, so one imported row could ask for terabytes, and an
// empty hash would match every password.
const (
	maxEncoded   = 512 // bytes of the whole string
	minSalt      = 8
	maxSalt      = 64
	minSum       = 16
	maxSum       = 64
	minCost      = 4 // bcrypt
	maxCost      = 15
	bcryptLength = 60
)

// Bounds of [Params], for a configuration and for a stored hash alike.
const (
	MaxMemoryKiB = 256 << 10 // KiB
	MaxTime      = 16        // passes
	MaxThreads   = 16
)

// ErrEncoded tells that a stored hash is malformed, of an unknown kind, or asks
// for more than [Ticket.Verify] is willing to spend. The text that wraps it never
// quotes the hash.
var ErrEncoded = errors.New("secret: stored password hash refused")

// kind is the algorithm of a stored hash.
type kind int

const (
	kindArgon2 kind = iota + 1 // argon2i and argon2id
	kindBcrypt
)

func refuse(reason string) error { return fmt.Errorf("%w: %s", ErrEncoded, reason) }

// inspect checks an encoded hash before anything is computed. For argon2 it
// returns the parameters.
func inspect(encoded string) (kind, Params, error) {
	if len(encoded) > maxEncoded {
		return 0, Params{}, refuse("too long")
	}
	switch {
	case strings.HasPrefix(encoded, "$argon2"):
		p, err := inspectArgon2(encoded)
		return kindArgon2, p, err
	case strings.HasPrefix(encoded, "$2"):
		return kindBcrypt, Params{}, inspectBcrypt(encoded)
	}
	return 0, Params{}, refuse("unknown kind")
}

// inspectArgon2 accepts exactly $argon2id$v=19$m=M,t=T,p=P$salt$sum (PHC string
// format) and argon2i likewise. It is stricter than passwap's scanner, which
// ignores what follows the last field.
func inspectArgon2(encoded string) (Params, error) {
	part := strings.Split(encoded, "$")
	if len(part) != 6 || part[0] != "" {
		return Params{}, refuse("argon2 needs five fields")
	}
	if part[1] != "argon2id" && part[1] != "argon2i" {
		return Params{}, refuse("argon2 variant is neither argon2id nor argon2i")
	}
	if part[2] != "v=19" {
		return Params{}, refuse("argon2 version is not 19")
	}
	p, err := inspectCosts(part[3])
	if err != nil {
		return Params{}, err
	}
	if n := decodedLength(part[4]); n < minSalt || n > maxSalt {
		return Params{}, refuse("argon2 salt is malformed or of a wrong length")
	}
	if n := decodedLength(part[5]); n < minSum || n > maxSum {
		return Params{}, refuse("argon2 sum is malformed or of a wrong length")
	}
	return p, nil
}

func inspectCosts(field string) (Params, error) {
	part := strings.Split(field, ",")
	if len(part) != 3 {
		return Params{}, refuse("argon2 needs three parameters")
	}
	memory, okM := number(part[0], "m=", MaxMemoryKiB)
	time, okT := number(part[1], "t=", MaxTime)
	threads, okP := number(part[2], "p=", MaxThreads)
	if !okM || !okT || !okP {
		return Params{}, refuse("argon2 parameters are malformed or out of bounds")
	}
	p := Params{MemoryKiB: memory, Time: time, Threads: uint8(threads)}
	if err := p.check(); err != nil {
		return Params{}, refuse(err.Error())
	}
	return p, nil
}

// check holds for parameters in a stored hash and in a configuration alike.
func (p Params) check() error {
	switch {
	case p.Time < 1 || p.Time > MaxTime:
		return fmt.Errorf("argon2 time %d is not within 1 to %d", p.Time, MaxTime)
	case p.Threads < 1 || p.Threads > MaxThreads:
		return fmt.Errorf("argon2 threads %d is not within 1 to %d", p.Threads, MaxThreads)
	case p.MemoryKiB < 8*uint32(p.Threads) || p.MemoryKiB > MaxMemoryKiB: // RFC 9106, section 3.1
		return fmt.Errorf("argon2 memory %d KiB is not within 8 per thread to %d", p.MemoryKiB, MaxMemoryKiB)
	}
	return nil
}

// inspectBcrypt accepts exactly $2a$, $2b$ or $2y$, two digits, $, and 53
// characters of bcrypt's own base 64.
func inspectBcrypt(encoded string) error {
	if len(encoded) != bcryptLength || !strings.ContainsRune("aby", rune(encoded[2])) ||
		encoded[3] != '$' || encoded[6] != '$' {
		return refuse("malformed bcrypt")
	}
	cost, err := strconv.ParseUint(encoded[4:6], 10, 8)
	if err != nil || cost < minCost || cost > maxCost {
		return refuse("bcrypt cost is malformed or out of bounds")
	}
	for _, c := range []byte(encoded[7:]) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '.' && c != '/' {
			return refuse("malformed bcrypt")
		}
	}
	return nil
}

// number parses prefix and a canonical decimal of at most limit.
func number(s, prefix string, limit uint64) (uint32, bool) {
	digits, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n > limit || strconv.FormatUint(n, 10) != digits {
		return 0, false
	}
	return uint32(n), true
}

// decodedLength returns the length of strict, unpadded base 64, or -1.
func decodedLength(s string) int {
	raw, err := base64.RawStdEncoding.Strict().DecodeString(s)
	// The decoder skips line breaks even when strict; the count shows them.
	if err != nil || base64.RawStdEncoding.EncodedLen(len(raw)) != len(s) {
		return -1
	}
	return len(raw)
}
