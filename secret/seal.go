package secret

import (
	"bytes"
	"errors"
	"fmt"
)

// Layout of sealed data: version (1) | key id (4) | nonce (12) | ciphertext and
// tag (16). Version, key id and context are associated data; the first two have
// a fixed length, so no other split of the three gives the same bytes.
const (
	sealVersion = 1
	sealHeader  = 1 + keyIDBytes
	gcmNonce    = 12
	gcmTag      = 16
)

// ErrSealed tells that sealed data did not open: malformed, altered, or sealed
// for another context.
var ErrSealed = errors.New("secret: sealed data does not open")

// ErrUnknownKey tells that data is sealed under a key id that this ring does not
// have or has retired. errors.Is(ErrUnknownKey, ErrSealed) holds.
var ErrUnknownKey = fmt.Errorf("%w: unknown key id", ErrSealed)

// Seal encrypts plain under the active seal key with AES-256-GCM and binds it to
// context, for example the name of the column and the id of the row: what is
// moved to another place does not open there. The result is 33 bytes longer than
// plain. The nonce is random, so a key must be rotated before 2^32 seals (NIST SP
// 800-38D, 8.3). It panics only if the random source fails.
func (r *Ring) Seal(context string, plain []byte) []byte {
	out := make([]byte, sealHeader+gcmNonce, sealHeader+gcmNonce+len(plain)+gcmTag)
	out[0] = sealVersion
	copy(out[1:], r.seal.id[:])
	nonce := out[sealHeader:]
	r.src.fill(nonce)
	return r.seal.aead.Seal(out, nonce, plain, sealAD(out[:sealHeader], context))
}

// Open returns what [Ring.Seal] sealed for the same context. The error is
// [ErrUnknownKey] if no active or retiring key has the id, and [ErrSealed] for
// everything else that is wrong.
func (r *Ring) Open(context string, sealed []byte) ([]byte, error) {
	if len(sealed) < sealHeader+gcmNonce+gcmTag || sealed[0] != sealVersion {
		return nil, ErrSealed
	}
	header, rest := sealed[:sealHeader], sealed[sealHeader:]
	for _, k := range r.seals {
		if !bytes.Equal(k.id[:], header[1:]) {
			continue
		}
		plain, err := k.aead.Open(nil, rest[:gcmNonce], rest[gcmNonce:], sealAD(header, context))
		if err != nil {
			return nil, ErrSealed
		}
		return plain, nil
	}
	return nil, ErrUnknownKey
}

// NeedsReseal tells whether sealed is not in today's layout under the active
// key. It does not tell whether it opens.
func (r *Ring) NeedsReseal(sealed []byte) bool {
	return len(sealed) < sealHeader || sealed[0] != sealVersion ||
		!bytes.Equal(sealed[1:sealHeader], r.seal.id[:])
}

func sealAD(header []byte, context string) []byte {
	ad := make([]byte, 0, len(header)+len(context))
	return append(append(ad, header...), context...)
}
