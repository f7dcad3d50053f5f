package authserver

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"simplon/identity"
	"simplon/secret"
	"simplon/storage"
)

// maxJWT bounds a token that we parse, in bytes.
const maxJWT = 16 << 10

// ErrJWT says that a token is not one we signed for the purpose.
var ErrJWT = errors.New("not a valid token")

// signer signs with one key. Its header is built once.
type signer struct {
	id, alg string
	private crypto.Signer
}

// compact signs claims as a JWS in compact serialisation (RFC 7515, section 7.1)
// with the typ. ECDSA signatures are r and s side by side, 32 bytes each (RFC
// 7518, section 3.4).
func (k signer) compact(random io.Reader, typ string, claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("authserver: claims: %w", err)
	}
	header := `{"alg":"` + k.alg + `","kid":"` + k.id + `","typ":"` + typ + `"}`
	b64 := base64.RawURLEncoding
	buf := make([]byte, 0, b64.EncodedLen(len(header))+b64.EncodedLen(len(payload))+b64.EncodedLen(256)+2)
	buf = b64.AppendEncode(buf, []byte(header))
	buf = append(buf, '.')
	buf = b64.AppendEncode(buf, payload)
	sig, err := k.sign(random, buf)
	if err != nil {
		return "", fmt.Errorf("authserver: sign with %s: %w", k.alg, err)
	}
	buf = append(buf, '.')
	return string(b64.AppendEncode(buf, sig)), nil
}

func (k signer) sign(random io.Reader, data []byte) ([]byte, error) {
	sum := sha256.Sum256(data)
	switch key := k.private.(type) {
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(random, key, sum[:])
		if err != nil {
			return nil, err
		}
		out := make([]byte, 64)
		r.FillBytes(out[:32])
		s.FillBytes(out[32:])
		return out, nil
	case ed25519.PrivateKey:
		return ed25519.Sign(key, data), nil
	case *rsa.PrivateKey:
		return rsa.SignPKCS1v15(random, key, crypto.SHA256, sum[:])
	}
	return nil, fmt.Errorf("no signer for %T", k.private)
}

// halfHash is at_hash: the left half of the hash of the token, with the hash of
// the signature algorithm (OpenID Connect Core, section 3.1.3.6). Ed25519 hashes
// with SHA-512.
func halfHash(alg, token string) string {
	if alg == string(jose.EdDSA) {
		sum := sha512.Sum512([]byte(token))
		return base64.RawURLEncoding.EncodeToString(sum[:32])
	}
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// Keys holds the signing keys of the installation, one per algorithm, and the
// published key set. It is safe for concurrent use.
type Keys struct {
	random io.Reader
	algs   []string
	ready  chan struct{} // closed once all keys are there
	mu     sync.RWMutex
	by     map[string]signer
	set    jose.JSONWebKeySet
	body   []byte // the key set as served
	err    error  // why a key could not be made
}

// OpenKeys loads the signing keys, sealed in the database, and makes those that
// are missing. Keys that take long to make (RSA) are made by the returned
// function, which the caller runs on its own goroutine and which must run to its
// end; until then signing with them and the key set wait.
func OpenKeys(ctx context.Context, db *storage.DB, ring *secret.Ring, random io.Reader, now func() time.Time, algs []string) (*Keys, func(context.Context) error, error) {
	k := &Keys{random: random, algs: slices.Clone(algs), ready: make(chan struct{}), by: map[string]signer{}}
	stored, err := db.SigningKeys()
	if err != nil {
		return nil, nil, fmt.Errorf("authserver: signing keys: %w", err)
	}
	for _, key := range stored {
		if err := k.add(ring, key); err != nil {
			return nil, nil, err
		}
	}
	var slow []string
	for _, alg := range algs {
		if _, ok := k.by[alg]; ok {
			continue
		}
		if alg == string(jose.RS256) {
			slow = append(slow, alg)
			continue
		}
		if err := k.make(ctx, db, ring, now, alg); err != nil {
			return nil, nil, err
		}
	}
	rest := func(ctx context.Context) error {
		defer close(k.ready)
		for _, alg := range slow {
			if err := k.make(ctx, db, ring, now, alg); err != nil {
				k.mu.Lock()
				k.err = err
				k.mu.Unlock()
				return err
			}
		}
		return k.publish()
	}
	return k, rest, nil
}

// make generates the key of an algorithm and stores it sealed. Where another
// node was faster, its key is taken.
func (k *Keys) make(ctx context.Context, db *storage.DB, ring *secret.Ring, now func() time.Time, alg string) error {
	private, err := generate(k.random, alg)
	if err != nil {
		return fmt.Errorf("authserver: make %s key: %w", alg, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("authserver: make %s key: %w", alg, err)
	}
	id, err := identity.NewID(identity.KindKey, now(), k.random)
	if err != nil {
		return err
	}
	key := identity.SigningKey{ID: id, Alg: alg, Private: ring.Seal(identity.KeyContext(id), der), CreatedAt: now()}
	err = db.Tx(ctx, func(tx *storage.Tx) error { return tx.CreateSigningKey(key) })
	if errors.Is(err, storage.ErrTaken) {
		stored, err := db.SigningKeys()
		if err != nil {
			return fmt.Errorf("authserver: signing keys: %w", err)
		}
		i := slices.IndexFunc(stored, func(s identity.SigningKey) bool { return s.Alg == alg })
		if i < 0 {
			return fmt.Errorf("authserver: %s key is taken and absent", alg)
		}
		key = stored[i]
	} else if err != nil {
		return fmt.Errorf("authserver: store %s key: %w", alg, err)
	}
	return k.add(ring, key)
}

func generate(random io.Reader, alg string) (crypto.Signer, error) {
	switch alg {
	case string(jose.ES256):
		return ecdsa.GenerateKey(elliptic.P256(), random)
	case string(jose.EdDSA):
		_, private, err := ed25519.GenerateKey(random)
		return private, err
	case string(jose.RS256):
		return rsa.GenerateKey(random, 2048)
	}
	return nil, fmt.Errorf("algorithm %q is not supported", alg)
}

func (k *Keys) add(ring *secret.Ring, key identity.SigningKey) error {
	der, err := ring.Open(identity.KeyContext(key.ID), key.Private)
	if err != nil {
		return fmt.Errorf("authserver: signing key %s is sealed with a key this ring does not have: %w", key.ID, err)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return fmt.Errorf("authserver: signing key %s: %w", key.ID, err)
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return fmt.Errorf("authserver: signing key %s does not sign", key.ID)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.by[key.Alg] = signer{id: key.ID, alg: key.Alg, private: private}
	k.set.Keys = append(k.set.Keys, jose.JSONWebKey{Key: private.Public(), KeyID: key.ID, Algorithm: key.Alg, Use: "sig"})
	return nil
}

func (k *Keys) publish() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	// In one order on every node, so that their ETags agree.
	slices.SortFunc(k.set.Keys, func(a, b jose.JSONWebKey) int { return strings.Compare(a.KeyID, b.KeyID) })
	body, err := json.Marshal(k.set)
	if err != nil {
		return fmt.Errorf("authserver: key set: %w", err)
	}
	k.body = body
	return nil
}

// wait returns once all keys are there.
func (k *Keys) wait(ctx context.Context) error {
	select {
	case <-k.ready:
	case <-ctx.Done():
		return ctx.Err()
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	return k.err
}

// sign makes a compact JWS with the key of the algorithm.
func (k *Keys) sign(ctx context.Context, alg, typ string, claims any) (string, error) {
	k.mu.RLock()
	s, ok := k.by[alg]
	k.mu.RUnlock()
	if !ok {
		if err := k.wait(ctx); err != nil {
			return "", err
		}
		k.mu.RLock()
		s, ok = k.by[alg]
		k.mu.RUnlock()
		if !ok {
			return "", fmt.Errorf("authserver: no %s key in this installation", alg)
		}
	}
	return s.compact(k.random, typ, claims)
}

// idTokenHint is what we read of an ID token that comes back to us.
type idTokenHint struct {
	Subject  string
	Session  string
	Audience []string
}

// parseHint verifies an ID token of ours that a client sends back as a hint. An
// expired one is still a hint (OpenID Connect RP-Initiated Logout, section 2);
// every other fault is ErrJWT. Only our own keys and their own algorithms are
// looked at, never a key or URL from the token's header.
func (k *Keys) parseHint(ctx context.Context, issuer, token string) (idTokenHint, error) {
	var hint idTokenHint
	if len(token) > maxJWT {
		return hint, fmt.Errorf("%w: longer than %d bytes", ErrJWT, maxJWT)
	}
	if err := k.wait(ctx); err != nil {
		return hint, err
	}
	parsed, err := jwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.ES256, jose.EdDSA, jose.RS256})
	if err != nil || len(parsed.Headers) != 1 {
		return hint, fmt.Errorf("%w: malformed", ErrJWT)
	}
	head := parsed.Headers[0]
	if typ, _ := head.ExtraHeaders[jose.HeaderType].(string); typ != typIDToken {
		return hint, fmt.Errorf("%w: typ is %s, not an ID token", ErrJWT, strconv.Quote(typ))
	}
	k.mu.RLock()
	keys := k.set.Key(head.KeyID)
	k.mu.RUnlock()
	if len(keys) != 1 || keys[0].Algorithm != head.Algorithm {
		return hint, fmt.Errorf("%w: not signed by us", ErrJWT)
	}
	var claims struct {
		jwt.Claims
		SessionID string `json:"sid"`
	}
	if err := parsed.Claims(keys[0].Key, &claims); err != nil {
		return hint, fmt.Errorf("%w: signature", ErrJWT)
	}
	if claims.Issuer != issuer || claims.Subject == "" || len(claims.Audience) == 0 || claims.Expiry == nil || claims.IssuedAt == nil {
		return hint, fmt.Errorf("%w: claims", ErrJWT)
	}
	return idTokenHint{Subject: claims.Subject, Session: claims.SessionID, Audience: claims.Audience}, nil
}

// typIDToken keeps ID tokens apart from every other JWT we sign.
const typIDToken = "JWT"
