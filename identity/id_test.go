package identity_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"simplon/identity"
)

func TestIDsAreUUIDv7(t *testing.T) {
	now := time.UnixMilli(0x0123456789ab)
	id, err := identity.NewID(identity.KindAccount, now, bytes.NewReader(bytes.Repeat([]byte{0xff}, 10)))
	if err != nil {
		t.Fatal(err)
	}
	u, err := identity.ParseID(identity.KindAccount, id)
	if err != nil {
		t.Fatal(err)
	}
	want := [16]byte{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x7f, 0xff, 0xbf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	if u != want {
		t.Errorf("%x, want %x", u, want)
	}
	if !strings.HasPrefix(id, "acc_") || len(id) != 30 {
		t.Errorf("id %q", id)
	}
}

func TestIDsSortByTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		earlier := rapid.Int64Range(0, 1<<47).Draw(t, "earlier")
		later := rapid.Int64Range(earlier+1, 1<<47+1).Draw(t, "later")
		a, err := identity.NewID("evt", time.UnixMilli(earlier), rand.Reader)
		b, err2 := identity.NewID("evt", time.UnixMilli(later), rand.Reader)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if a >= b {
			t.Fatalf("%s of %d does not sort before %s of %d", a, earlier, b, later)
		}
	})
}

func TestIDsOfOneMillisecondDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id, err := identity.NewID("ses", instant(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		if seen[id] {
			t.Fatalf("%s twice", id)
		}
		seen[id] = true
	}
}

func TestNewIDFailsWithItsRandomness(t *testing.T) {
	if id, err := identity.NewID("acc", instant(), strings.NewReader("short")); err == nil || id != "" {
		t.Errorf("NewID = %q, %v", id, err)
	}
}

func TestEveryIDReadsBackAsItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var u [16]byte
		copy(u[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "bytes"))
		id := identity.FormatID("app", u)
		if got, err := identity.ParseID("app", id); err != nil || got != u {
			t.Fatalf("%x became %s became %x, %v", u, id, got, err)
		}
	})
}

func TestParseIDTakesOneSpellingOnly(t *testing.T) {
	const good = "acc_01arz3ndektsv4rrffq69g5fav"
	if _, err := identity.ParseID("acc", good); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{
		"", "acc", "acc_", good[:29], good + "0", good[4:], "app" + good[3:], "ACC" + good[3:], strings.ToUpper(good), "acc-" + good[4:],
		" " + good, good + "\n", "acc__1arz3ndektsv4rrffq69g5fav",
		"acc_81arz3ndektsv4rrffq69g5fav", // 129 bits
		"acc_o1arz3ndektsv4rrffq69g5fav", "acc_i1arz3ndektsv4rrffq69g5fav",
		"acc_01arz3ndektsv4rrffq69g5fal", "acc_01arz3ndektsv4rrffq69g5fau", "acc_01arz3ndektsv4rrffq69g5fa-", "acc_/1arz3ndektsv4rrffq69g5fav",
	} {
		if u, err := identity.ParseID("acc", id); !errors.Is(err, identity.ErrID) || u != [16]byte{} {
			t.Errorf("ParseID(%q) = %x, %v", id, u, err)
		}
	}
}

func FuzzParseID(f *testing.F) {
	for _, seed := range []string{"acc_01arz3ndektsv4rrffq69g5fav", "acc_7zzzzzzzzzzzzzzzzzzzzzzzzz", "acc_8zzzzzzzzzzzzzzzzzzzzzzzzz",
		"acc_00000000000000000000000000", "acc_", "", "app_01arz3ndektsv4rrffq69g5fav", "acc_01ARZ3NDEKTSV4RRFFQ69G5FAV"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		u, err := identity.ParseID("acc", id)
		if err == nil && identity.FormatID("acc", u) != id {
			t.Fatalf("%q parsed as %x, which is %q", id, u, identity.FormatID("acc", u))
		}
		if err != nil && u != [16]byte{} {
			t.Fatalf("%q refused with %x", id, u)
		}
	})
}
