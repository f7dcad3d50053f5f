package authserver

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"simplon/secret"
)

// FuzzParseParams holds what every protocol request is read with to its promise:
// one value each, the first one, text only, repetition named.
func FuzzParseParams(f *testing.F) {
	for _, seed := range []string{
		"", "a=1&b=2", "a=1&a=2", "client_id=a&client_id=b&a=1&a=2", "resource=a&resource=b", "a=%00", "a=%ff", "a=%zz", "a;b", "a=&b", "=x", "&&", "a=1&a=", "%61=1&a=2", "=1&=2&scope=a&scope=b",
		strings.Repeat("x=1&", 70), "state=a+b%20c%2B",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p, duplicate, err := parseParams(raw)
		if err != nil {
			if p != nil || duplicate != "" {
				t.Errorf("an error and parameters %v", p)
			}
			return
		}
		values, err := url.ParseQuery(raw)
		if err != nil {
			t.Fatalf("took what is no query: %v", err)
		}
		repeated := map[string]bool{}
		for name, v := range values {
			if p[name] != v[0] || !plainText(p[name]) {
				t.Errorf("%q is %q, want %q", name, p[name], v[0])
			}
			if len(v) > 1 && name != "" && name != "resource" && name != "audience" {
				repeated[name] = true
			}
		}
		if (duplicate == "") != (len(repeated) == 0) {
			t.Errorf("named %q of %v", duplicate, repeated)
		}
		if duplicate != "" && !repeated[duplicate] {
			t.Errorf("%q was sent once", duplicate)
		}
		if (repeated["client_id"] || repeated["redirect_uri"]) && duplicate != "client_id" && duplicate != "redirect_uri" {
			t.Errorf("%q hides the client", duplicate)
		}
		for name := range p {
			if len(values[name]) == 0 || p[name] == "" {
				t.Errorf("%q was not sent", name)
			}
		}
		if q := quoteName(duplicate); strings.ContainsAny(q, "\"\\\r\n") || len(q) > 40 {
			t.Errorf("%q in an error_description", q)
		}
	})
}

// FuzzParseHint looks for a token that panics the parser or passes without
// having been signed here.
func FuzzParseHint(f *testing.F) {
	ctx := context.Background()
	db := opened(f, "sqlite:"+filepath.Join(f.TempDir(), "test.db"), true)
	c := &clock{}
	keys, rest, err := OpenKeys(ctx, db, secret.NewRing(secret.NewSource(rand.Reader), c.now()), rand.Reader, c.now, []string{"EdDSA"})
	if err != nil {
		f.Fatal(err)
	}
	if err := rest(ctx); err != nil {
		f.Fatal(err)
	}
	good := map[string]any{"iss": "https://id.example", "sub": "acc_good", "aud": "app_x", "exp": 1, "iat": 1, "sid": "ses_x"}
	for _, claims := range []any{good, map[string]any{"aud": []any{1}}, map[string]any{"aud": map[string]any{}}, []any{}, nil, "x", 1} {
		token, err := keys.sign(ctx, "EdDSA", typIDToken, claims)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(token)
	}
	encode := base64.RawURLEncoding.EncodeToString
	for _, header := range []string{`{"alg":"none"}`, `{"alg":"EdDSA","kid":1}`, `{"alg":"EdDSA","typ":1,"kid":""}`, `{"alg":"HS256"}`, `{"alg":"EdDSA","crit":["b64"],"b64":false}`, `[]`, `{"alg":"EdDSA","jwk":{"kty":"oct","k":"AA"}}`, `{"alg":"EdDSA","x5c":["x"]}`} {
		f.Add(encode([]byte(header)) + "." + encode([]byte(`{"aud":[1]}`)) + ".AAAA")
	}
	f.Add("..")
	f.Add(`{"payload":"e30","signatures":[]}`)
	f.Fuzz(func(t *testing.T, token string) {
		hint, err := keys.parseHint(ctx, "https://id.example", token)
		if err != nil {
			if !errors.Is(err, ErrJWT) {
				t.Errorf("%v is not ErrJWT", err)
			}
			return
		}
		if hint.Subject != "acc_good" || hint.Session != "ses_x" || len(hint.Audience) != 1 {
			t.Errorf("%q passes as %+v", token, hint)
		}
	})
}

// FuzzBasic reads Authorization headers: what a client encodes comes out again,
// and nothing else has an id.
func FuzzBasic(f *testing.F) {
	f.Add("app_x", "smp_cs_y", "Basic YTpi")
	f.Add("a:b", "c d+e%41", "basic  YTpi ")
	f.Add("é", "", "Basic")
	f.Add("", "x", "Bearer YTpi")
	f.Add("\x00", "\xff", "Basic JTAwOiVmZg==")
	f.Fuzz(func(t *testing.T, id, password, header string) {
		if gotID, gotPassword, ok := basic(header); ok {
			if gotID == "" || !plainText(gotID) || !plainText(gotPassword) || !strings.EqualFold(header[:6], "Basic ") {
				t.Errorf("%q gives %q %q", header, gotID, gotPassword)
			}
		}
		encoded := "Basic " + base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(id)+":"+url.QueryEscape(password)))
		gotID, gotPassword, ok := basic(encoded)
		good := id != "" && plainText(id) && plainText(password) && len(encoded) <= 4096+len("Basic ")
		if ok != good || ok && (gotID != id || gotPassword != password) {
			t.Errorf("%q %q became %q %q, %v", id, password, gotID, gotPassword, ok)
		}
	})
}

// FuzzAppendQuery adds an answer to a registered address: what was registered
// stays as it is, and what is added comes out again.
func FuzzAppendQuery(f *testing.F) {
	for _, uri := range []string{"https://a.example/cb", "https://a.example/cb?", "https://a.example/cb?x=a+b", "https://a.example/cb?x&", "https://a.example", "com.example:/cb", "https://a.example/?a=b?c", "https://a.example/cb?state=own", "https://a.example/cb??"} {
		f.Add(uri, "state", "a b&c=d#e?f\r\n\"'")
	}
	f.Fuzz(func(t *testing.T, uri, name, value string) {
		if strings.Contains(uri, "#") {
			return // refused at registration
		}
		got := appendQuery(uri, url.Values{name: {value}, "iss": {"https://id.example"}})
		rest, ok := strings.CutPrefix(got, uri)
		if !ok {
			t.Fatalf("%q became %q", uri, got)
		}
		if strings.ContainsAny(rest, " \r\n\"'<>#") {
			t.Errorf("added %q", rest)
		}
		added, err := url.ParseQuery(strings.TrimLeft(rest, "?&"))
		if err != nil || name != "iss" && added.Get(name) != value || name == "iss" && len(added) != 1 {
			t.Errorf("added %q for %q=%q: %v", rest, name, value, err)
		}
		before, err := url.Parse(uri)
		if err != nil {
			return
		}
		after, err := url.Parse(got)
		if err != nil {
			t.Fatalf("%q is no URL any more: %v", got, err)
		}
		for n, v := range before.Query() {
			for i := range v {
				if after.Query()[n][i] != v[i] {
					t.Errorf("%q lost %q", got, n)
				}
			}
		}
		if found := after.Query()[name]; len(found) == 0 || name != "iss" && found[len(found)-1] != value {
			t.Errorf("%q does not end with %q=%q", got, name, value)
		}
	})
}
