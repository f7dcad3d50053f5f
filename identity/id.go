package identity

import (
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"time"
)

// crockford is the alphabet of ids: no I, L, O or U, so that an id read aloud
// or copied by hand stays what it was.
const crockford = "0123456789abcdefghjkmnpqrstvwxyz"

// ErrID says that a text is not an id of the wanted kind.
var ErrID = errors.New("not a valid id")

// Kinds of ids, the part before the underscore.
const (
	KindAccount = "acc"
	KindClient  = "app"
	KindSignIn  = "sgn"
	KindSession = "ses"
	KindGrant   = "grt"
	KindDevice  = "dev"
	KindFront   = "frt"
	KindEvent   = "evt"
	KindKey     = "key"
)

// NewID returns kind, an underscore and 26 characters: a UUIDv7 (RFC 9562,
// section 5.7) in Crockford base32. Ids made later sort later, to the
// millisecond; 74 bits are random. An id is a name, never a secret.
// It fails only when random does.
func NewID(kind string, now time.Time, random io.Reader) (string, error) {
	var u [16]byte
	if _, err := io.ReadFull(random, u[6:]); err != nil {
		return "", err
	}
	ms := uint64(now.UnixMilli())
	u[0], u[1], u[2], u[3], u[4], u[5] = byte(ms>>40), byte(ms>>32), byte(ms>>24), byte(ms>>16), byte(ms>>8), byte(ms)
	u[6] = 0x70 | u[6]&0x0f
	u[8] = 0x80 | u[8]&0x3f
	return FormatID(kind, u), nil
}

// FormatID writes 16 bytes as an id of the kind.
func FormatID(kind string, u [16]byte) string {
	var out [26]byte
	hi, lo := binary.BigEndian.Uint64(u[:8]), binary.BigEndian.Uint64(u[8:])
	for i := 25; i >= 0; i-- {
		out[i] = crockford[lo&31]
		lo = lo>>5 | hi<<59
		hi >>= 5
	}
	return kind + "_" + string(out[:])
}

// ParseID returns the 16 bytes of an id of the kind. Only the one spelling that
// FormatID writes is taken; everything else is ErrID.
func ParseID(kind, id string) ([16]byte, error) {
	var u [16]byte
	rest, ok := strings.CutPrefix(id, kind+"_")
	if !ok || len(rest) != 26 || rest[0] > '7' {
		return u, ErrID
	}
	var hi, lo uint64
	for i := range len(rest) {
		v := strings.IndexByte(crockford, rest[i])
		if v < 0 {
			return u, ErrID
		}
		hi = hi<<5 | lo>>59
		lo = lo<<5 | uint64(v)
	}
	binary.BigEndian.PutUint64(u[:8], hi)
	binary.BigEndian.PutUint64(u[8:], lo)
	return u, nil
}
