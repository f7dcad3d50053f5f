package rp

import (
	"encoding/base64"
	"strings"
	"testing"
)

func FuzzParseAnswer(f *testing.F) {
	state := strings.Repeat("a", 43)
	for _, seed := range []string{
		"", "state=" + state + "&code=c&iss=i", "state=" + state + "&error=access_denied", "state=" + state + "&code=c&error=e",
		"state=" + state + "&state=" + state + "&code=c", "%zz", "state=short&code=c",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		ans, err := parseAnswer(raw)
		if err != nil {
			return
		}
		if len(ans.state) != 43 || (ans.code == "") == (ans.err == "") {
			t.Errorf("%q accepted as %+v", raw, ans)
		}
		if code := errorCode(ans.err); strings.ContainsAny(code, "<>\"'&\r\n ") || len(code) > 64 {
			t.Errorf("error code %q", code)
		}
	})
}

func FuzzParseIDToken(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `{"aud":[1]}`, `{"aud":{}}`, `{"aud":"a","exp":"x"}`, `{"aud":["a",null]}`,
		`{"aud":"a","iss":"i","sub":"s","exp":1,"iat":1,"auth_time":1e400}`, `{"aud":"a","amr":[1]}`, `{"aud":"a"}{}`,
		`{"aud":"a","act":{"act":{"act":{}}}}`, `{"aud":"a","locale":"xx-yy"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, payload string) {
		raw := "e30." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
		p, _, err := parseIDToken(raw) // must not panic
		if err == nil && (p.claims == nil || p.all == nil) {
			t.Errorf("%q gave no claims", payload)
		}
	})
}
