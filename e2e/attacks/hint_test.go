package attacks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// forge makes a JWT; sign gets what is to be signed.
func forge(t *testing.T, header, claims map[string]any, sign func(input string) []byte) string {
	t.Helper()
	part := func(v any) string {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	input := part(header) + "." + part(claims)
	return input + "." + base64.RawURLEncoding.EncodeToString(sign(input))
}

func unsigned(string) []byte { return nil }

func hs256(key []byte) func(string) []byte {
	return func(input string) []byte {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(input))
		return mac.Sum(nil)
	}
}

// partOf reads the header (0) or the claims (1) of a JWT that we trust.
func partOf(t *testing.T, token string, part int) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no JWT: %s", token)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[part])
	if err != nil {
		t.Fatal(err)
	}
	object := map[string]any{}
	if err := json.Unmarshal(raw, &object); err != nil {
		t.Fatal(err)
	}
	return object
}

// forgedHints are ID tokens that the server never issued. Trap 5: some audiences
// once made a library panic before it looked at the signature.
func forgedHints(t *testing.T, at target, genuine string) map[string]string {
	t.Helper()
	claims, header := partOf(t, genuine, 1), partOf(t, genuine, 0)
	with := func(name string, value any) map[string]any {
		changed := maps.Clone(claims)
		changed[name] = value
		return changed
	}
	request, err := http.NewRequest(http.MethodGet, at.Issuer+"/keys", nil)
	if err != nil {
		t.Fatal(err)
	}
	keys := at.Do(t, request).Body
	parts := strings.Split(genuine, ".")
	// The genuine header, key id included, so that only what is named differs.
	jwt := func(alg string) map[string]any {
		changed := maps.Clone(header)
		changed["alg"] = alg
		return changed
	}
	nameless := jwt("RS256")
	delete(nameless, "alg")
	embedded := jwt("RS256")
	embedded["jwk"] = map[string]any{"kty": "oct", "k": "AAAA"}
	pointed := jwt("RS256")
	pointed["jku"] = "https://attacker.example/keys"
	return map[string]string{
		"alg none":             forge(t, jwt("none"), claims, unsigned),
		"alg None":             forge(t, jwt("None"), claims, unsigned),
		"no alg":               forge(t, nameless, claims, unsigned),
		"HS256, client secret": forge(t, jwt("HS256"), claims, hs256([]byte(at.app.Secret))),
		"HS256, public keys":   forge(t, jwt("HS256"), claims, hs256(keys)),
		"no signature at all, yet another algorithm": forge(t, jwt("ES256"), claims, func(string) []byte { return make([]byte, 64) }),
		"HS256, empty key":                           forge(t, jwt("HS256"), claims, hs256(nil)),
		"a key in the header":                        forge(t, embedded, claims, hs256([]byte{0, 0, 0})),
		"a key address":                              forge(t, pointed, claims, unsigned),
		"audience of numbers":                        forge(t, jwt("RS256"), with("aud", []int{1}), unsigned),
		"audience of an object":                      forge(t, jwt("RS256"), with("aud", map[string]any{}), unsigned),
		"times as text":                              forge(t, jwt("RS256"), with("exp", "tomorrow"), unsigned),
		"signature of another":                       parts[0] + "." + strings.Split(forge(t, jwt("RS256"), with("sub", "acc_other"), unsigned), ".")[1] + "." + parts[2],
		"no signature":                               parts[0] + "." + parts[1] + ".",
		"two parts":                                  parts[0] + "." + parts[1],
		"five parts":                                 genuine + ".x.y",
		"not base64":                                 "%%%.%%%.%%%",
		"empty parts":                                "..",
		"a million brackets":                         base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("[", 5000))) + ".e30.",
		"issued by someone else":                     forge(t, jwt("RS256"), with("iss", "https://attacker.example"), unsigned),
		"expired, and not signed":                    forge(t, jwt("RS256"), with("exp", time.Unix(1, 0).Unix()), unsigned),
	}
}

// A10: a forged id_token_hint is refused at /authorize and signs nobody out.
func TestA10ForgedHintsAreRefused(t *testing.T) {
	onEachTarget(t, func(t *testing.T, at target) {
		browser := at.NewBrowser(t)
		tokens := at.app.Tokens(t, browser, at.anna)
		for what, hint := range forgedHints(t, at, tokens.IDToken) {
			asked := at.app.Authorize(url.Values{"id_token_hint": {hint}, "prompt": {"none"}})
			wantToApp(t, "/authorize, "+what, get(t, browser, asked.URL), at.app.Redirect, "invalid_request")
			out := "/end_session?" + url.Values{"id_token_hint": {hint}, "client_id": {at.app.ID},
				"post_logout_redirect_uri": {goodbye}}.Encode()
			wantPage(t, "/end_session, "+what, get(t, browser, out), http.StatusBadRequest, goodbye)
		}
		if page := visit(t, browser, "/"); page.ByID("submit") == nil || page.ByID("login") != nil {
			t.Error("a forged hint signed the person out")
		}
	})
}

// A genuine hint of another browser's session does not sign this one out
// unasked: whoever holds anybody's ID token could otherwise end sessions.
func TestHintOfAnotherSessionAsks(t *testing.T) {
	onEachTarget(t, func(t *testing.T, at target) {
		stolen := at.app.Tokens(t, at.NewBrowser(t), at.anna).IDToken
		victim := at.NewBrowser(t)
		at.app.SignIn(t, victim, at.anna)
		page := get(t, victim, "/end_session?"+url.Values{"id_token_hint": {stolen}}.Encode())
		if page.Status != http.StatusOK || page.ByID("stay") == nil {
			t.Errorf("status %d: %s", page.Status, page.Text())
		}
		if page := visit(t, victim, "/"); page.ByID("login") != nil {
			t.Error("the person was signed out unasked")
		}
	})
}
