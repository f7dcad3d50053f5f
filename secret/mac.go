package secret

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// MAC returns the HMAC-SHA-256 (32 bytes) of parts for purpose under the active
// mac key. Purpose and parts are each preceded by their length, so neither two
// purposes nor two ways of cutting the same bytes into parts share a value.
func (r *Ring) MAC(purpose string, parts ...[]byte) []byte {
	return r.macs[0].mac(purpose, parts)
}

// VerifyMAC tells in constant time whether mac was made by [Ring.MAC] with the
// same purpose and parts, under any key that is not retired.
func (r *Ring) VerifyMAC(purpose string, mac []byte, parts ...[]byte) bool {
	ok := false
	for _, k := range r.macs {
		ok = hmac.Equal(mac, k.mac(purpose, parts)) || ok
	}
	return ok
}

// MACs returns the values under every key that is not retired, the active one
// first: for values that are computed again later and must survive a rotation.
func (r *Ring) MACs(purpose string, parts ...[]byte) [][]byte {
	out := make([][]byte, 0, len(r.macs))
	for _, k := range r.macs {
		out = append(out, k.mac(purpose, parts))
	}
	return out
}

func (k *ringKey) mac(purpose string, parts [][]byte) []byte {
	h := hmac.New(sha256.New, k.secret)
	var size [8]byte
	write := func(b []byte) {
		binary.BigEndian.PutUint64(size[:], uint64(len(b)))
		h.Write(size[:]) // a hash never fails to write
		h.Write(b)
	}
	write([]byte(purpose))
	for _, part := range parts {
		write(part)
	}
	return h.Sum(nil)
}
