package secret

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

func TestSealedDataOpensOnlyInItsContext(t *testing.T) {
	r := testRing(t)
	for _, plain := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("long"), 1000)} {
		sealed := r.Seal("account.password:acc_1", plain)
		if len(sealed) != len(plain)+33 {
			t.Errorf("%d bytes sealed to %d", len(plain), len(sealed))
		}
		if got, err := r.Open("account.password:acc_1", sealed); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("open: %q, %v", got, err)
		}
		for _, context := range []string{"account.password:acc_2", "account.password:acc_", "", "account.password:acc_11"} {
			if _, err := r.Open(context, sealed); !errors.Is(err, ErrSealed) || errors.Is(err, ErrUnknownKey) {
				t.Errorf("context %q: %v", context, err)
			}
		}
	}
	if bytes.Equal(r.Seal("c", nil), r.Seal("c", nil)) {
		t.Error("a nonce came twice")
	}
}

func TestSealedDataIsRefusedWithAnyByteChanged(t *testing.T) {
	r := testRing(t)
	sealed := r.Seal("c", []byte("secret"))
	for i := range sealed {
		for _, flip := range []byte{1, 0x80, 0xff} {
			bad := slices.Clone(sealed)
			bad[i] ^= flip
			if _, err := r.Open("c", bad); !errors.Is(err, ErrSealed) {
				t.Errorf("byte %d: %v", i, err)
			}
		}
	}
	for n := range sealed {
		if _, err := r.Open("c", sealed[:n]); !errors.Is(err, ErrSealed) {
			t.Errorf("cut to %d: %v", n, err)
		}
	}
	if _, err := r.Open("c", append(sealed, 0)); !errors.Is(err, ErrSealed) {
		t.Errorf("one byte more: %v", err)
	}
}

func TestSealedDataFollowsRotation(t *testing.T) {
	old := testRing(t)
	sealed := old.Seal("c", []byte("x"))
	if old.NeedsReseal(sealed) {
		t.Error("fresh data needs a reseal")
	}
	retiring := rotated(t, old, stateRetiring)
	if plain, err := retiring.Open("c", sealed); err != nil || string(plain) != "x" {
		t.Errorf("retiring key: %v", err)
	}
	if !retiring.NeedsReseal(sealed) || retiring.NeedsReseal(retiring.Seal("c", nil)) {
		t.Error("NeedsReseal after rotation")
	}
	for name, other := range map[string]*Ring{"retired": rotated(t, old, stateRetired), "another ring": testRing(t)} {
		if _, err := other.Open("c", sealed); !errors.Is(err, ErrUnknownKey) || !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !old.NeedsReseal(nil) || !old.NeedsReseal([]byte{2, 0, 0, 0, 0}) {
		t.Error("malformed data needs no reseal")
	}
}

// A key of the mac purpose must not open sealed data, even if its id is named.
func TestOnlySealKeysOpen(t *testing.T) {
	r := testRing(t)
	sealed := r.Seal("c", nil)
	copy(sealed[1:], r.macs[0].id[:])
	if _, err := r.Open("c", sealed); !errors.Is(err, ErrUnknownKey) {
		t.Error(err)
	}
}

func TestMACSeparatesPurposesAndParts(t *testing.T) {
	r := testRing(t)
	b := func(parts ...string) (out [][]byte) {
		for _, p := range parts {
			out = append(out, []byte(p))
		}
		return out
	}
	seen := map[string]int{}
	inputs := []struct {
		purpose string
		parts   [][]byte
	}{
		{"p", nil}, {"p", b("")}, {"p", b("", "")}, {"p", b("ab", "c")}, {"p", b("a", "bc")}, {"p", b("abc")},
		{"p", b("abc", "")}, {"p", b("", "abc")}, {"pa", b("bc")}, {"", b("p", "abc")}, {"q", b("abc")},
		{"p", b("ab\x00\x00\x00\x00\x00\x00\x00\x01c")}, {"p", b("a", "b", "c")},
	}
	for i, in := range inputs {
		mac := r.MAC(in.purpose, in.parts...)
		if other, dup := seen[string(mac)]; dup {
			t.Errorf("inputs %d and %d share a MAC", other, i)
		}
		seen[string(mac)] = i
		if len(mac) != 32 || !r.VerifyMAC(in.purpose, mac, in.parts...) {
			t.Errorf("input %d does not verify", i)
		}
		if r.VerifyMAC(in.purpose+"x", mac, in.parts...) || r.VerifyMAC(in.purpose, mac[:31], in.parts...) ||
			r.VerifyMAC(in.purpose, nil, in.parts...) {
			t.Errorf("input %d verifies too easily", i)
		}
	}
}

func TestMACFollowsRotation(t *testing.T) {
	old := testRing(t)
	mac := old.MAC("p", []byte("x"))
	retiring, retired := rotated(t, old, stateRetiring), rotated(t, old, stateRetired)
	if !retiring.VerifyMAC("p", mac, []byte("x")) || retired.VerifyMAC("p", mac, []byte("x")) {
		t.Error("VerifyMAC after rotation")
	}
	all := retiring.MACs("p", []byte("x"))
	if len(all) != 2 || !bytes.Equal(all[0], retiring.MAC("p", []byte("x"))) || !bytes.Equal(all[1], mac) {
		t.Error("MACs: not the active one first, then the retiring one")
	}
	if len(retired.MACs("p")) != 1 {
		t.Error("a retired key makes a MAC")
	}
}

func FuzzOpen(f *testing.F) {
	r := NewRing(NewSource(&counter{}), created())
	f.Add("c", r.Seal("c", []byte("x")))
	f.Add("", []byte{sealVersion})
	f.Add("c", make([]byte, 33))
	f.Fuzz(func(t *testing.T, context string, sealed []byte) {
		r.NeedsReseal(sealed)
		plain, err := r.Open(context, sealed)
		if err != nil {
			if !errors.Is(err, ErrSealed) || plain != nil {
				t.Fatalf("%q, %v", plain, err)
			}
			return
		}
		if context != "c" || string(plain) != "x" {
			t.Fatalf("forged: %q in context %q", plain, context)
		}
	})
}
