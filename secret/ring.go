package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Purposes a ring must have an active key for. Keys of further purposes are
// kept and saved again but used by nothing here, so that a ring which a newer
// release extended still opens after a step back.
const (
	purposeSeal  = "seal"  // Seal and Open
	purposeMAC   = "mac"   // MAC, VerifyMAC and MACs
	purposeToken = "token" // AccessToken and OpenAccessToken
)

// States of a key. Exactly one key of a purpose is active: it seals and signs.
// Retiring keys still open and verify; retired ones do nothing and are kept for
// the record.
const (
	stateActive   = "active"
	stateRetiring = "retiring"
	stateRetired  = "retired"
)

const (
	keyBytes   = 32 // AES-256, and HMAC-SHA-256 at its full strength
	keyIDBytes = 4
)

// keyID names a key in the ring and in everything sealed by it. It is random,
// not a counter, so that a ring of another installation is noticed by its ids.
type keyID [keyIDBytes]byte

func (id keyID) String() string { return hex.EncodeToString(id[:]) }

type ringKey struct {
	id      keyID
	purpose string
	state   string
	created time.Time
	secret  []byte
	aead    cipher.AEAD // seal and token keys, built once
	tokenAD []byte      // token keys: the associated data of their tokens
}

// Ring holds the keys of one installation. It does not change after it was made
// and is safe for concurrent use. Construct it with [NewRing], [LoadRing] or
// [ParseRing]. It prints as "[redacted]".
type Ring struct {
	src  *Source
	keys []*ringKey // in file order

	seal   *ringKey   // active
	seals  []*ringKey // active and retiring
	macs   []*ringKey // active first, then retiring
	token  *ringKey   // active
	tokens [256]*ringKey
}

// NewRing makes a ring with one active key for each purpose, created at now. It
// panics only if the source fails. The ring keeps src for its nonces.
func NewRing(src *Source, now time.Time) *Ring {
	var keys []*ringKey
	for _, purpose := range []string{purposeSeal, purposeMAC, purposeToken} {
		key := &ringKey{
			id:      keyID(src.Bytes(keyIDBytes)),
			purpose: purpose,
			state:   stateActive,
			created: now.UTC().Truncate(time.Second),
			secret:  src.Bytes(keyBytes),
		}
		for slices.ContainsFunc(keys, func(k *ringKey) bool { return k.id == key.id }) {
			key.id[0]++
		}
		keys = append(keys, key)
	}
	r, err := buildRing(src, keys)
	if err != nil {
		panic(fmt.Sprintf("secret: new ring: %v", err)) // unreachable: the keys were just made well
	}
	return r
}

// KeyIDs returns the ids of all keys that still open or verify something, in
// ascending order. A database sealed under an id that is not among them belongs
// to another ring.
func (r *Ring) KeyIDs() []string {
	var ids []string
	for _, k := range r.keys {
		if k.state != stateRetired {
			ids = append(ids, k.id.String())
		}
	}
	slices.Sort(ids)
	return ids
}

// production returns the source of rings that come from a file.
func production() *Source { return NewSource(rand.Reader) }

// buildRing checks what only the keys together can show, and builds the ciphers.
func buildRing(src *Source, keys []*ringKey) (*Ring, error) {
	r := &Ring{src: src, keys: keys}
	seen := make(map[keyID]bool, len(keys))
	for _, k := range keys {
		if seen[k.id] {
			return nil, fmt.Errorf("two keys have the id %s", k.id)
		}
		seen[k.id] = true
		if k.state == stateRetired {
			continue
		}
		if err := r.add(k); err != nil {
			return nil, fmt.Errorf("key %s: %w", k.id, err)
		}
	}
	switch {
	case r.seal == nil:
		return nil, errors.New("no active seal key")
	case r.token == nil:
		return nil, errors.New("no active token key")
	case len(r.macs) == 0 || r.macs[0].state != stateActive:
		return nil, errors.New("no active mac key")
	}
	return r, nil
}

func (r *Ring) add(k *ringKey) error {
	active := k.state == stateActive
	switch k.purpose {
	case purposeSeal:
		if active && r.seal != nil {
			return errors.New("a second active seal key")
		}
		if active {
			r.seal = k
		}
		r.seals = append(r.seals, k)
		return k.buildAEAD()
	case purposeMAC:
		return r.addMAC(k, active)
	case purposeToken:
		return r.addToken(k, active)
	}
	return nil
}

func (r *Ring) addMAC(k *ringKey, active bool) error {
	if !active {
		r.macs = append(r.macs, k)
		return nil
	}
	if len(r.macs) > 0 && r.macs[0].state == stateActive {
		return errors.New("a second active mac key")
	}
	r.macs = slices.Insert(r.macs, 0, k)
	return nil
}

// addToken files the key under the first byte of its id: a token has room for
// no more of it.
func (r *Ring) addToken(k *ringKey, active bool) error {
	if r.tokens[k.id[0]] != nil {
		return errors.New("another token key's id begins with the same two digits")
	}
	if active && r.token != nil {
		return errors.New("a second active token key")
	}
	if active {
		r.token = k
	}
	r.tokens[k.id[0]] = k
	k.tokenAD = append([]byte(accessTokenPrefix), k.id[0])
	return k.buildAEAD()
}

func (k *ringKey) buildAEAD() error {
	block, err := aes.NewCipher(k.secret)
	if err != nil {
		return fmt.Errorf("build cipher: %w", err)
	}
	if k.aead, err = cipher.NewGCM(block); err != nil {
		return fmt.Errorf("build aead: %w", err)
	}
	return nil
}
