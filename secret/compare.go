package secret

import (
	"crypto/sha256"
	"crypto/subtle"
)

// Digest returns the SHA-256 of token, 32 bytes: what is stored of a random
// secret of at least 112 bits that is only ever compared. Anything a person
// chose needs [Ticket.Hash] instead.
func Digest(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:]
}

// Equal compares in a time that depends on the lengths alone.
func Equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

// EqualString compares in a time that depends on the lengths alone. Where the
// length is a secret too, compare digests.
func EqualString(a, b string) bool { return Equal([]byte(a), []byte(b)) }
