package secret

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"time"
)

// Layout of an access token: prefix, then base64url (RFC 4648, section 5, no
// padding) of key id (1) | nonce (12) | AES-256-GCM of grant id (16) and expiry
// (8, Unix seconds, big endian) | tag (16). Prefix and key id are associated
// data. 7 + 71 = 78 characters.
const (
	accessTokenPrefix = "smp_at_"
	accessTokenHeader = 1 + gcmNonce
	accessTokenPlain  = 16 + 8
	accessTokenRaw    = accessTokenHeader + accessTokenPlain + gcmTag
	accessTokenText   = (accessTokenRaw*8 + 5) / 6
)

// ErrToken tells that a string is not an access token of this ring: malformed,
// altered, forged, or of a key that was retired.
var ErrToken = errors.New("secret: not a valid access token")

// AccessToken returns a sealed token of 78 characters that names a grant and the
// second at which it expires. Nothing needs to be stored for it: a forged token
// fails in [Ring.OpenAccessToken] and never reaches the database. The nonce is
// random, so a key must be rotated before 2^32 tokens. It panics only if src
// fails.
func (r *Ring) AccessToken(src *Source, grant [16]byte, expires time.Time) string {
	k := r.token
	// One buffer for the raw bytes and the text; the plain text is sealed in place.
	buf := make([]byte, accessTokenRaw+len(accessTokenPrefix)+accessTokenText)
	raw, text := buf[:accessTokenRaw], buf[accessTokenRaw:]
	raw[0] = k.id[0]
	nonce, plain := raw[1:accessTokenHeader], raw[accessTokenHeader:accessTokenHeader+accessTokenPlain]
	src.fill(nonce)
	copy(plain, grant[:])
	binary.BigEndian.PutUint64(plain[16:], uint64(expires.Unix()))
	k.aead.Seal(raw[:accessTokenHeader], nonce, plain, k.tokenAD)
	copy(text, accessTokenPrefix)
	base64.RawURLEncoding.Encode(text[len(accessTokenPrefix):], raw)
	return string(text)
}

// OpenAccessToken returns what [Ring.AccessToken] put into token, and its nonce,
// which identifies this one token for revocation. It does not check expires; that
// needs the caller's clock. The error is always [ErrToken]. There is exactly one
// spelling of a token: padding, line breaks and stray trailing bits are refused.
func (r *Ring) OpenAccessToken(token string) (grant [16]byte, nonce [12]byte, expires time.Time, err error) {
	text, ok := strings.CutPrefix(token, accessTokenPrefix)
	if !ok || len(text) != accessTokenText {
		return grant, nonce, expires, ErrToken
	}
	raw := make([]byte, accessTokenRaw)
	// The decoder skips line breaks even when strict; the count shows them.
	n, err := base64.RawURLEncoding.Strict().Decode(raw, []byte(text))
	if err != nil || n != accessTokenRaw {
		return grant, nonce, expires, ErrToken
	}
	k := r.tokens[raw[0]]
	if k == nil {
		return grant, nonce, expires, ErrToken
	}
	sealed := raw[accessTokenHeader:]
	plain, err := k.aead.Open(sealed[:0], raw[1:accessTokenHeader], sealed, k.tokenAD)
	if err != nil {
		return grant, nonce, expires, ErrToken
	}
	copy(grant[:], plain)
	copy(nonce[:], raw[1:])
	return grant, nonce, time.Unix(int64(binary.BigEndian.Uint64(plain[16:])), 0).UTC(), nil
}
