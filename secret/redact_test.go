package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// forms are the spellings in which a secret could slip through.
func forms(secret string) []string {
	return []string{
		secret,
		hex.EncodeToString([]byte(secret)),
		strings.ToUpper(hex.EncodeToString([]byte(secret))),
		base64.StdEncoding.EncodeToString([]byte(secret)),
		strings.Trim(fmt.Sprint([]byte(secret)), "[]"),
	}
}

func mustHide(t *testing.T, how, output, secret string) {
	t.Helper()
	for _, form := range forms(secret) {
		if strings.Contains(output, form) {
			t.Errorf("%s shows the secret: %s", how, output)
		}
	}
	if !strings.Contains(output, redacted) && !strings.Contains(output, "0x") {
		t.Errorf("%s does not say it is redacted: %s", how, output)
	}
}

func TestA37SecretsAreRedactedEverywhere(t *testing.T) {
	const value = "smp_rt_hunter2hunter2"
	ring := testRing(t)
	ringSecret := string(ring.keys[0].secret)
	holder := struct {
		Token Token
		Text  *Text
		Ring  *Ring
		Any   any
		Map   map[string]Text
	}{Token(value), new(Text), ring, Text(value), map[string]Text{"k": value}}
	*holder.Text = value

	for name, v := range map[string]any{
		"Token": Token(value), "Text": Text(value), "Ring": ring, "struct": holder, "pointer": &holder,
		"slice": []Token{value}, "error": fmt.Errorf("bad %v %w", Token(value), ErrToken),
	} {
		if name != "error" {
			for _, verb := range strings.Fields("%v %+v %#v %s %q %x %X %d %t %c %U %o") {
				out := fmt.Sprintf(verb, v)
				mustHide(t, name+" "+verb, out, value)
				mustHide(t, name+" "+verb, out, ringSecret)
			}
		}
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", v, slog.Group("g", "v", v))
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", v, slog.Group("g", "v", v))
		mustHide(t, name+" slog", log.String(), value)
		mustHide(t, name+" slog", log.String(), ringSecret)
		if name == "error" {
			continue
		}
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		mustHide(t, name+" json", string(out), value)
		mustHide(t, name+" json", string(out), ringSecret)
	}
	type element struct{ Token Token }
	out, err := xml.Marshal(element{value})
	if err != nil {
		t.Fatal(err)
	}
	mustHide(t, "xml", string(out), value)
	if Token(value).String() != redacted || Text(value).GoString() != redacted {
		t.Error("String or GoString")
	}
	if Token(value).Reveal() != value || Text(value).Reveal() != value {
		t.Error("Reveal does not give the value")
	}
}

func TestTextDecodesLikeAString(t *testing.T) {
	var v struct{ Password Text }
	if err := json.Unmarshal([]byte(`{"Password":"correct horse"}`), &v); err != nil || v.Password.Reveal() != "correct horse" {
		t.Fatal(v.Password.Reveal(), err)
	}
}
