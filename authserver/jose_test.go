package authserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"simplon/identity"
	"simplon/secret"
	"simplon/sqldb"
	"simplon/sqldb/pgtest"
	"simplon/storage"
)

var allAlgs = []string{"ES256", "EdDSA", "RS256"}

// published fetches the key set as an application does.
func (w *world) published() jose.JSONWebKeySet {
	w.t.Helper()
	r := w.send(http.MethodGet, "/keys", nil)
	var set jose.JSONWebKeySet
	w.check(json.Unmarshal([]byte(r.body), &set))
	return set
}

func TestIDTokensOfEachAlgorithmVerify(t *testing.T) {
	w := openWorld(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db"), allAlgs)
	ada := w.person("ada@example.org")
	b := w.signedIn(ada)
	set := w.published()
	for _, alg := range allAlgs {
		a := w.app(func(c *identity.Client) { c.IDTokenAlg = alg })
		got := w.walk(b, a, ada)
		for _, other := range allAlgs {
			jws, err := jose.ParseSignedCompact(got.id, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(other)})
			if (err == nil) != (other == alg) {
				t.Fatalf("%s read as %s: %v", alg, other, err)
			}
			if err != nil {
				continue
			}
			head := jws.Signatures[0].Header
			keys := set.Key(head.KeyID)
			if len(keys) != 1 || keys[0].Algorithm != alg || keys[0].Use != "sig" || head.ExtraHeaders[jose.HeaderType] != "JWT" {
				t.Fatalf("%s: header %+v, keys %+v", alg, head, keys)
			}
			if _, err := jws.Verify(keys[0]); err != nil {
				t.Errorf("%s: %v", alg, err)
			}
		}
		// OpenID Connect Core, section 3.1.3.6, computed here once more.
		sum := sha256.Sum256([]byte(got.access))
		want := base64.RawURLEncoding.EncodeToString(sum[:16])
		if alg == "EdDSA" {
			sum := sha512.Sum512([]byte(got.access))
			want = base64.RawURLEncoding.EncodeToString(sum[:32])
		}
		if w.claims(got.id)["at_hash"] != want {
			t.Errorf("%s: at_hash %v, want %s", alg, w.claims(got.id)["at_hash"], want)
		}
		// It is good as a hint, whatever signed it.
		if _, v := b.authorize(a, "prompt", "none", "id_token_hint", got.id).answer(); v.Get("code") == "" {
			t.Errorf("%s as a hint: %v", alg, v)
		}
	}
}

// The halves of an ECDSA signature are padded to 32 bytes: one in 128 needs it.
func TestSignaturesKeepTheirLength(t *testing.T) {
	w := newWorld(t)
	set := w.published()
	for i := range 600 {
		token, err := w.server.Keys.sign(context.Background(), "ES256", "JWT", map[string]int{"n": i})
		w.check(err)
		sig, err := base64.RawURLEncoding.DecodeString(token[strings.LastIndexByte(token, '.')+1:])
		w.check(err)
		if len(sig) != 64 {
			t.Fatalf("signature of %d bytes", len(sig))
		}
		jws, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.ES256})
		w.check(err)
		if _, err := jws.Verify(set.Key(jws.Signatures[0].Header.KeyID)[0]); err != nil {
			t.Fatal(err)
		}
	}
}

// A10: neither the token's own key, nor a public key used as an HMAC secret, nor
// an algorithm that is not its key's makes a hint.
func TestA10HintsVerifyWithOurKeysOnly(t *testing.T) {
	w := openWorld(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db"), allAlgs)
	ctx, keys := context.Background(), w.server.Keys
	claims := map[string]any{"iss": w.issuer, "sub": "acc_x", "aud": "app_x", "exp": 1, "iat": 1}
	good, err := keys.sign(ctx, "ES256", "JWT", claims)
	w.check(err)
	if _, err := keys.parseHint(ctx, w.issuer, good); err != nil {
		t.Fatal(err)
	}
	payload := strings.Split(good, ".")[1]
	header := func(h string) string { return base64.RawURLEncoding.EncodeToString([]byte(h)) }
	kid := w.published().Keys
	evil, err := generate(rand.Reader, "ES256")
	w.check(err)
	jwk, err := json.Marshal(jose.JSONWebKey{Key: evil.Public(), KeyID: "evil", Algorithm: "ES256"})
	w.check(err)
	own := signer{id: `evil","jwk":` + string(jwk) + `,"x":"`, alg: "ES256", private: evil}
	embedded, err := own.compact(rand.Reader, "JWT", claims)
	w.check(err)
	stolen, err := signer{id: kid[0].KeyID, alg: "ES256", private: evil}.compact(rand.Reader, "JWT", claims)
	w.check(err)
	tokens := map[string]string{
		"own key in the header": embedded, "our kid, their key": stolen,
		"none":        header(`{"alg":"none","typ":"JWT"}`) + "." + payload + ".",
		"crit":        header(`{"alg":"ES256","kid":"`+kid[0].KeyID+`","typ":"JWT","crit":["x"],"x":1}`) + "." + payload + "." + strings.Split(good, ".")[2],
		"no kid":      header(`{"alg":"ES256","typ":"JWT"}`) + "." + payload + "." + strings.Split(good, ".")[2],
		"JSON":        `{"payload":"` + payload + `","protected":"` + strings.Split(good, ".")[0] + `","signature":"` + strings.Split(good, ".")[2] + `"}`,
		"too long":    good + strings.Repeat("A", maxJWT),
		"other iss":   mustSign(t, keys, map[string]any{"iss": w.issuer + "/", "sub": "acc_x", "aud": "app_x", "exp": 1, "iat": 1}),
		"HMAC of key": hmacToken(t, kid[0], claims),
	}
	for _, k := range kid {
		for _, alg := range allAlgs {
			if k.Algorithm != alg {
				tokens[k.Algorithm+" key as "+alg] = header(`{"alg":"`+alg+`","kid":"`+k.KeyID+`","typ":"JWT"}`) + "." + payload + "." + strings.Split(good, ".")[2]
			}
		}
	}
	for name, token := range tokens {
		if hint, err := keys.parseHint(ctx, w.issuer, token); err == nil {
			t.Errorf("%s passes: %+v", name, hint)
		}
	}
}

func mustSign(t *testing.T, k *Keys, claims any) string {
	t.Helper()
	token, err := k.sign(context.Background(), "ES256", "JWT", claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func hmacToken(t *testing.T, public jose.JSONWebKey, claims any) string {
	t.Helper()
	raw, err := public.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: raw}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", public.KeyID))
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign(body)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestDiscoveryNamesWhatThereIs(t *testing.T) {
	w := newWorld(t)
	var doc map[string]any
	for _, path := range []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"} {
		r := w.send(http.MethodGet, path, nil)
		if r.status != http.StatusOK || r.header.Get("Content-Type") != "application/json" || doc != nil && !cmp.Equal(doc, r.json) {
			t.Fatalf("%s: %d %s", path, r.status, r.body)
		}
		doc = r.json
	}
	list := func(values ...any) []any { return values }
	want := map[string]any{
		"issuer": w.issuer, "authorization_endpoint": w.issuer + "/authorize", "token_endpoint": w.issuer + "/oauth/token",
		"userinfo_endpoint": w.issuer + "/userinfo", "jwks_uri": w.issuer + "/keys", "end_session_endpoint": w.issuer + "/end_session",
		"response_types_supported": list("code"), "response_modes_supported": list("query", "form_post"),
		"grant_types_supported": list("authorization_code", "refresh_token"), "subject_types_supported": list("public"),
		"id_token_signing_alg_values_supported": list("ES256", "EdDSA"), "code_challenge_methods_supported": list("S256"),
		"authorization_response_iss_parameter_supported": true, "request_parameter_supported": false, "request_uri_parameter_supported": false,
		"claims_parameter_supported":            false,
		"token_endpoint_auth_methods_supported": list("client_secret_basic", "client_secret_post", "none"),
		"prompt_values_supported":               list("none", "login", "consent", "select_account"),
	}
	for name, value := range want {
		if diff := cmp.Diff(value, doc[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	for name, value := range doc { // every endpoint it names is one
		address, _ := value.(string)
		if path, ok := strings.CutPrefix(address, w.issuer+"/"); ok {
			if r := w.send(http.MethodGet, "/"+path, nil); r.status == http.StatusNotFound {
				t.Errorf("%s does not exist", name)
			}
		}
	}
}

func TestPublicDocumentsAreCached(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{"/keys", "/.well-known/openid-configuration"} {
		r := w.send(http.MethodGet, path, nil)
		tag := r.header.Get("ETag")
		if tag == "" || r.header.Get("Cache-Control") != "public, max-age=300" || r.header.Get("Pragma") != "" || len(r.header["Set-Cookie"]) > 0 {
			t.Errorf("%s: %v", path, r.header)
		}
		again := w.send(http.MethodGet, path, nil, header("If-None-Match", tag))
		if again.status != http.StatusNotModified || again.body != "" || again.header.Get("ETag") != tag {
			t.Errorf("%s: %d %q", path, again.status, again.body)
		}
		if r := w.send(http.MethodGet, path, nil, header("If-None-Match", `"other"`)); r.status != http.StatusOK {
			t.Errorf("%s: %d", path, r.status)
		}
		if r := w.send(http.MethodHead, path, nil); r.status != http.StatusOK || r.body != "" {
			t.Errorf("HEAD %s: %d", path, r.status)
		}
		if r := w.send(http.MethodPost, path, nil); r.status != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", path, r.status)
		}
	}
	for _, k := range w.published().Keys {
		if !k.IsPublic() || !k.Valid() {
			t.Errorf("key %s is published with its private part", k.KeyID)
		}
	}
	for _, private := range []string{`"d":`, `"p":`, `"q":`} {
		if body := w.send(http.MethodGet, "/keys", nil).body; strings.Contains(body, private) {
			t.Errorf("%s is published", private)
		}
	}
}

// opened is a database that is ready for OpenKeys.
func opened(t testing.TB, url string, migrate bool) *storage.DB {
	t.Helper()
	db, err := storage.Open(context.Background(), sqldb.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if migrate {
		if err := db.Migrate(context.Background(), sqldb.MigrateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	return db
}

func TestKeysRaceOfTwoNodesEndsInOneSet(t *testing.T) {
	for name, url := range map[string]func() string{
		"sqlite":   func() string { return "sqlite:" + filepath.Join(t.TempDir(), "test.db") },
		"postgres": func() string { return pgtest.New(t) },
	} {
		t.Run(name, func(t *testing.T) {
			at := url()
			// Two nodes: a connection pool each, one database, one ring.
			nodes := []*storage.DB{opened(t, at, true), opened(t, at, false)}
			c := &clock{}
			source := secret.NewSource(rand.Reader)
			ring := secret.NewRing(source, c.now())
			const opens = 6
			type result struct {
				keys *Keys
				err  error
			}
			open := func(i int) result {
				k, rest, err := OpenKeys(context.Background(), nodes[i%2], ring, rand.Reader, c.now, []string{"ES256", "EdDSA"})
				if err == nil {
					err = rest(context.Background())
				}
				return result{k, err}
			}
			results := append(parallel(opens, open), open(0)) // and one that finds them
			for _, r := range results {
				if r.err != nil {
					t.Fatal(r.err)
				}
				if diff := cmp.Diff(kids(results[0].keys), kids(r.keys)); diff != "" {
					t.Errorf("nodes differ: %s", diff)
				}
				token := mustSign(t, r.keys, map[string]any{"iss": "i", "sub": "s", "aud": "a", "exp": 1, "iat": 1})
				for _, other := range results {
					if _, err := other.keys.parseHint(context.Background(), "i", token); err != nil {
						t.Errorf("a token of one node at another: %v", err)
					}
				}
			}
			if len(kids(results[0].keys)) != 2 {
				t.Errorf("keys %v", kids(results[0].keys))
			}
		})
	}
}

func kids(k *Keys) []string {
	var out []string
	for _, key := range k.set.Keys {
		out = append(out, key.Algorithm+" "+key.KeyID)
	}
	slices.Sort(out)
	return out
}

func TestKeysOfAnotherRingAreNotOpened(t *testing.T) {
	db := opened(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db"), true)
	c := &clock{}
	source := secret.NewSource(rand.Reader)
	open := func(ring *secret.Ring, algs ...string) error {
		_, rest, err := OpenKeys(context.Background(), db, ring, rand.Reader, c.now, algs)
		if err != nil {
			return err
		}
		return rest(context.Background())
	}
	if err := open(secret.NewRing(source, c.now()), "ES256"); err != nil {
		t.Fatal(err)
	}
	if err := open(secret.NewRing(source, c.now()), "ES256"); err == nil || !strings.Contains(err.Error(), "sealed with a key this ring does not have") {
		t.Errorf("another ring: %v", err)
	}
	for _, alg := range []string{"none", "HS256", "ES384", ""} {
		if err := open(secret.NewRing(source, c.now()), alg); err == nil {
			t.Errorf("algorithm %q was taken", alg)
		}
	}
}

// Until the slow key is there, the key set and signing with that key wait; what
// a request waits for ends with the request.
func TestKeySetWaitsForTheSlowKey(t *testing.T) {
	db := opened(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db"), true)
	c := &clock{}
	ring := secret.NewRing(secret.NewSource(rand.Reader), c.now())
	keys, rest, err := OpenKeys(context.Background(), db, ring, rand.Reader, c.now, allAlgs)
	if err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if err := keys.wait(gone); err == nil {
		t.Error("the key set is there before its keys")
	}
	if _, err := keys.sign(gone, "RS256", "JWT", 1); err == nil {
		t.Error("signed with a key that is not there")
	}
	if _, err := keys.sign(gone, "ES256", "JWT", 1); err != nil {
		t.Errorf("a key that is there waits for another: %v", err)
	}
	var wait sync.WaitGroup
	var token string
	wait.Go(func() { token, err = keys.sign(context.Background(), "RS256", "JWT", 1) })
	if err := rest(context.Background()); err != nil {
		t.Fatal(err)
	}
	if wait.Wait(); err != nil || token == "" {
		t.Errorf("the one that waited: %v", err)
	}
	if _, err := keys.sign(context.Background(), "PS256", "JWT", 1); err == nil {
		t.Error("signed with an algorithm that has no key")
	}
}

func TestKeysThatCannotBeMadeAreAnErrorForEverybody(t *testing.T) {
	db := opened(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db"), true)
	c := &clock{}
	ring := secret.NewRing(secret.NewSource(rand.Reader), c.now())
	keys, rest, err := OpenKeys(context.Background(), db, ring, bytes.NewReader(nil), c.now, []string{"RS256"})
	if err != nil {
		t.Fatal(err)
	}
	err = rest(context.Background())
	if err == nil {
		t.Fatal("a key without randomness")
	}
	if again := keys.wait(context.Background()); again == nil || fmt.Sprint(again) != fmt.Sprint(err) {
		t.Errorf("the key set says %v, want %v", again, err)
	}
}
