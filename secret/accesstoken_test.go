package secret

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"
)

func grantID() (g [16]byte) { copy(g[:], "grant-grant-gran"); return g }

func TestAccessTokenRoundTrip(t *testing.T) {
	r, src := testRing(t), NewSource(rand.Reader)
	nonces := map[[12]byte]bool{}
	for _, expires := range []time.Time{created(), time.Unix(0, 0), time.Unix(-5, 0), time.Unix(1<<40, 0)} {
		token := r.AccessToken(src, grantID(), expires.Add(999*time.Millisecond))
		if len(token) != 78 || !strings.HasPrefix(token, "smp_at_") {
			t.Fatalf("%d characters: %s", len(token), token)
		}
		grant, nonce, got, err := r.OpenAccessToken(token)
		if err != nil || grant != grantID() || !got.Equal(expires) || got.Location() != time.UTC {
			t.Fatalf("%x %v %v", grant, got, err)
		}
		if nonce == [12]byte{} || nonces[nonce] {
			t.Fatal("the nonce does not identify the token")
		}
		nonces[nonce] = true
	}
}

func TestForgedAccessTokensAreRefused(t *testing.T) {
	r := testRing(t)
	token := r.AccessToken(NewSource(rand.Reader), grantID(), created())
	refused := func(name, bad string) {
		t.Helper()
		if grant, nonce, _, err := r.OpenAccessToken(bad); !errors.Is(err, ErrToken) || grant != [16]byte{} || nonce != [12]byte{} {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range token {
		for _, c := range []string{"A", "Q", "-", "_", "=", "+", "/", "\n", "\r", " ", "\x00", "é"} {
			if c != token[i:i+1] {
				refused("changed character", token[:i]+c+token[i+1:])
			}
		}
		refused("cut", token[:i])
		refused("break instead of a character", token[:i]+"\n"+token[i+1:])
		refused("break inserted", token[:i]+"\n"+token[i:])
	}
	raw, err := base64.RawURLEncoding.DecodeString(token[7:])
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			raw[i] ^= 1 << bit
			refused("changed bit", "smp_at_"+base64.RawURLEncoding.EncodeToString(raw))
			raw[i] ^= 1 << bit
		}
	}
	refused("other prefix", "smp_rt_"+token[7:])
	refused("prefix in capitals", "SMP_AT_"+token[7:])
	refused("no prefix", token[7:])
	refused("padding", token+"=")
	refused("longer", token+"A")
	refused("empty", "")
	refused("another ring", testRing(t).AccessToken(NewSource(rand.Reader), grantID(), created()))
}

// 53 bytes leave two unused bits in the last character: one token would have
// four spellings, and a list of revoked spellings would miss three.
func TestAccessTokenHasOneSpelling(t *testing.T) {
	r := testRing(t)
	token := r.AccessToken(NewSource(rand.Reader), grantID(), created())
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[77])
	if last%4 != 0 {
		t.Fatal("trailing bits are not zero")
	}
	for i := 1; i < 4; i++ {
		spelling := token[:77] + alphabet[last+i:last+i+1]
		loose, _ := base64.RawURLEncoding.DecodeString(spelling[7:])
		strict, _ := base64.RawURLEncoding.DecodeString(token[7:])
		if string(loose) != string(strict) {
			t.Fatal("the test does not test what it says")
		}
		if _, _, _, err := r.OpenAccessToken(spelling); !errors.Is(err, ErrToken) {
			t.Errorf("spelling %d accepted", i)
		}
	}
}

// Go's decoder skips line breaks, so where the last byte is zero a line break in
// place of the last character would decode to the same bytes.
func TestLineBreakDoesNotStandForAZeroByte(t *testing.T) {
	r, src := testRing(t), NewSource(rand.Reader)
	token := r.AccessToken(src, grantID(), created())
	for !strings.HasSuffix(token, "A") || !strings.Contains("AQgw", token[76:77]) {
		token = r.AccessToken(src, grantID(), created())
	}
	for _, c := range []string{"\n", "\r"} {
		if _, _, _, err := r.OpenAccessToken(token[:77] + c); !errors.Is(err, ErrToken) {
			t.Error("a second spelling was accepted")
		}
	}
}

func TestPrefixAndKeyIDOfAnAccessTokenAreAuthenticated(t *testing.T) {
	// Two token keys of one ring that are the same key under two ids: only the
	// associated data tells them apart.
	file := keysOf(t, testRing(t))
	twin := file.Keys[2]
	twin.State, twin.ID = stateRetiring, "00"+twin.ID[2:]
	if file.Keys[2].ID[:2] == "00" {
		twin.ID = "01" + twin.ID[2:]
	}
	file.Keys = append(file.Keys, twin)
	r, err := parse(t, file)
	if err != nil {
		t.Fatal(err)
	}
	token := r.AccessToken(NewSource(rand.Reader), grantID(), created())
	raw, err := base64.RawURLEncoding.DecodeString(token[7:])
	if err != nil {
		t.Fatal(err)
	}
	raw[0] = 0
	if file.Keys[2].ID[:2] == "00" {
		raw[0] = 1
	}
	if _, _, _, err := r.OpenAccessToken("smp_at_" + base64.RawURLEncoding.EncodeToString(raw)); !errors.Is(err, ErrToken) {
		t.Fatal("opened under another key id")
	}
}

func TestAccessTokensFollowRotation(t *testing.T) {
	old := testRing(t)
	token := old.AccessToken(NewSource(rand.Reader), grantID(), created())
	retiring := rotated(t, old, stateRetiring)
	if grant, _, _, err := retiring.OpenAccessToken(token); err != nil || grant != grantID() {
		t.Errorf("retiring key: %v", err)
	}
	fresh := retiring.AccessToken(NewSource(rand.Reader), grantID(), created())
	if _, _, _, err := old.OpenAccessToken(fresh); !errors.Is(err, ErrToken) {
		t.Error("new tokens are not made with the active key")
	}
	if _, _, _, err := rotated(t, old, stateRetired).OpenAccessToken(token); !errors.Is(err, ErrToken) {
		t.Errorf("retired key: %v", err)
	}
}

func TestAccessTokenAllocatesLittle(t *testing.T) {
	r, src := testRing(t), NewSource(rand.Reader)
	token := r.AccessToken(src, grantID(), created())
	if n := testing.AllocsPerRun(100, func() { r.AccessToken(src, grantID(), created()) }); n > 2 {
		t.Errorf("AccessToken: %v allocations", n)
	}
	open := func() {
		if _, _, _, err := r.OpenAccessToken(token); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, open); n > 2 {
		t.Errorf("OpenAccessToken: %v allocations", n)
	}
}

func FuzzOpenAccessToken(f *testing.F) {
	r := NewRing(NewSource(&counter{}), created())
	good := r.AccessToken(NewSource(&counter{}), grantID(), created())
	f.Add(good)
	f.Add(good[:77] + "_")
	f.Add("smp_at_" + strings.Repeat("A", 71))
	f.Add(strings.Repeat("\n", 78))
	f.Fuzz(func(t *testing.T, token string) {
		grant, _, expires, err := r.OpenAccessToken(token)
		if token == good {
			if err != nil || grant != grantID() || !expires.Equal(created()) {
				t.Fatal(err)
			}
		} else if err != ErrToken {
			t.Fatalf("forged %q: %v", token, err)
		}
	})
}

func BenchmarkAccessToken(b *testing.B) {
	r, src := testRing(b), NewSource(rand.Reader)
	b.ReportAllocs()
	for b.Loop() {
		r.AccessToken(src, grantID(), created())
	}
}

func BenchmarkOpenAccessToken(b *testing.B) {
	r := testRing(b)
	token := r.AccessToken(NewSource(rand.Reader), grantID(), created())
	b.ReportAllocs()
	for b.Loop() {
		if _, _, _, err := r.OpenAccessToken(token); err != nil {
			b.Fatal(err)
		}
	}
}
