package secret

import (
	"context"
	"errors"
	"strings"
	"testing"
)

const (
	// A well-formed salt and sum, of nothing in particular.
	salt16 = "c29tZXNhbHRzb21lc2FsdA"
	sum32  = "MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI"

	// bcrypt of "U*U" (crypt_blowfish's test vectors).
	bcryptUU = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
)

func argon(variant, version, costs, salt, sum string) string {
	return "$" + strings.Join([]string{variant, version, costs, salt, sum}, "$")
}

func TestStoredHashesWithinTheBoundsAreAccepted(t *testing.T) {
	for _, c := range []struct {
		encoded string
		kind    kind
		params  Params
	}{
		{argon("argon2id", "v=19", "m=19456,t=2,p=1", salt16, sum32), kindArgon2, Params{19456, 2, 1}},
		{argon("argon2i", "v=19", "m=262144,t=16,p=16", salt16, sum32), kindArgon2, Params{262144, 16, 16}},
		{argon("argon2id", "v=19", "m=8,t=1,p=1", "c29tZXNhbHQ", sum32), kindArgon2, Params{8, 1, 1}},
		{bcryptUU, kindBcrypt, Params{}},
		{strings.Replace(bcryptUU, "$2a$05", "$2y$15", 1), kindBcrypt, Params{}},
	} {
		if kind, params, err := inspect(c.encoded); err != nil || kind != c.kind || params != c.params {
			t.Errorf("%s: %v %+v %v", c.encoded, kind, params, err)
		}
	}
}

// passwap computes whatever the string asks for, and an empty sum would match
// every password: all of these must be refused before anything runs.
func TestStoredHashesOutOfBoundsAreRefusedWithoutWork(t *testing.T) {
	p := testPool(t, 1)
	ticket := admit(t, p, false)
	const ok = "m=64,t=1,p=1"
	for name, encoded := range map[string]string{
		"empty":              "",
		"plain":              "password",
		"unknown kind":       "$7$" + salt16,
		"memory":             argon("argon2id", "v=19", "m=262145,t=1,p=1", salt16, sum32),
		"huge memory":        argon("argon2id", "v=19", "m=4294967295,t=1,p=1", salt16, sum32),
		"memory overflow":    argon("argon2id", "v=19", "m=4294967360,t=1,p=1", salt16, sum32),
		"memory per thread":  argon("argon2id", "v=19", "m=64,t=1,p=9", salt16, sum32),
		"no time":            argon("argon2id", "v=19", "m=64,t=0,p=1", salt16, sum32),
		"time":               argon("argon2id", "v=19", "m=64,t=17,p=1", salt16, sum32),
		"no threads":         argon("argon2id", "v=19", "m=64,t=1,p=0", salt16, sum32),
		"threads":            argon("argon2id", "v=19", "m=4096,t=1,p=17", salt16, sum32),
		"threads overflow":   argon("argon2id", "v=19", "m=4096,t=1,p=257", salt16, sum32),
		"negative":           argon("argon2id", "v=19", "m=-64,t=1,p=1", salt16, sum32),
		"leading zero":       argon("argon2id", "v=19", "m=064,t=1,p=1", salt16, sum32),
		"plus":               argon("argon2id", "v=19", "m=+64,t=1,p=1", salt16, sum32),
		"order":              argon("argon2id", "v=19", "t=1,m=64,p=1", salt16, sum32),
		"extra parameter":    argon("argon2id", "v=19", ok+",keyid=x", salt16, sum32),
		"argon2d":            argon("argon2d", "v=19", ok, salt16, sum32),
		"version":            argon("argon2id", "v=16", ok, salt16, sum32),
		"no version":         "$argon2id$" + ok + "$" + salt16 + "$" + sum32,
		"no sum":             argon("argon2id", "v=19", ok, salt16, ""),
		"short sum":          argon("argon2id", "v=19", ok, salt16, "MTIzNDU2Nzg5MDE"),
		"long sum":           argon("argon2id", "v=19", ok, salt16, strings.Repeat("AAAA", 22)),
		"no salt":            argon("argon2id", "v=19", ok, "", sum32),
		"long salt":          argon("argon2id", "v=19", ok, strings.Repeat("AAAA", 22), sum32),
		"padding":            argon("argon2id", "v=19", ok, salt16, sum32+"="),
		"trailing bits":      argon("argon2id", "v=19", ok, salt16, sum32[:42]+"J"),
		"line break in sum":  argon("argon2id", "v=19", ok, salt16, sum32+"\n"),
		"space in sum":       argon("argon2id", "v=19", ok, salt16, sum32+" x"),
		"trailing field":     argon("argon2id", "v=19", ok, salt16, sum32) + "$x",
		"leading text":       "x" + argon("argon2id", "v=19", ok, salt16, sum32),
		"prefix alone":       "$argon2",
		"too long":           argon("argon2id", "v=19", ok, salt16, strings.Repeat("A", 600)),
		"bcrypt prefix":      "$2",
		"bcrypt cost":        strings.Replace(bcryptUU, "$05$", "$16$", 1),
		"bcrypt low cost":    strings.Replace(bcryptUU, "$05$", "$03$", 1),
		"bcrypt no number":   strings.Replace(bcryptUU, "$05$", "$+5$", 1),
		"bcrypt version":     strings.Replace(bcryptUU, "$2a", "$2x", 1),
		"bcrypt short":       bcryptUU[:59],
		"bcrypt long":        bcryptUU + "W",
		"bcrypt other bytes": bcryptUU[:59] + "\n",
	} {
		ok, rehash, err := ticket.Verify(encoded, "")
		if ok || rehash != "" || !errors.Is(err, ErrEncoded) {
			t.Errorf("%s: %v %q %v", name, ok, rehash, err)
		}
		if len(encoded) > 20 && err != nil && strings.Contains(err.Error(), encoded[20:]) {
			t.Errorf("%s: the error quotes the hash", name)
		}
	}
	if hashes, _, _ := p.Counts(); hashes != 0 {
		t.Errorf("%d hashes ran", hashes)
	}
}

func FuzzVerify(f *testing.F) {
	p, err := NewPool(PoolConfig{Params: smallParams(), Slots: 1})
	if err != nil {
		f.Fatal(err)
	}
	ticket, err := p.Admit(context.Background(), true)
	if err != nil {
		f.Fatal(err)
	}
	good, err := ticket.Hash("password")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, "password")
	f.Add(p.dummy, "password")
	f.Add(argon("argon2i", "v=19", "m=64,t=1,p=1", salt16, sum32), "")
	f.Add(argon("argon2id", "v=19", "m=99999999,t=1,p=1", salt16, sum32), "x")
	f.Add(bcryptUU, "U*U")
	f.Add("$2", "")
	f.Fuzz(func(t *testing.T, encoded, password string) {
		kind, params, err := inspect(encoded)
		if err == nil && (kind == kindBcrypt || params.MemoryKiB > 256 || params.Time > 2) {
			return // accepted, but too dear to compute here
		}
		ok, _, verr := ticket.Verify(encoded, password)
		switch {
		case err != nil && !errors.Is(verr, ErrEncoded):
			t.Fatalf("refused by inspect, yet %v", verr)
		case err == nil && verr != nil && !errors.Is(verr, ErrTooLong):
			t.Fatalf("accepted by inspect, yet %v", verr)
		case ok && password != "password":
			t.Fatalf("%q matches %q", password, encoded)
		}
	})
}
