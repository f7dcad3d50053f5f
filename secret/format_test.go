package secret

import (
	"encoding/hex"
	"testing"
)

// What these tests pin is stored in databases and held by applications. The
// values were computed with Node's crypto module from the layouts in the
// comments of seal.go, mac.go and accesstoken.go, for the ring that the bytes 0,
// 1, 2 … make.

func TestSealedLayoutDoesNotChange(t *testing.T) {
	r := NewRing(NewSource(&counter{}), created())
	const want = "01000102036c6d6e6f7071727374757677fe62b05ea70255c806aa02908a017512234ce82b04"
	if got := hex.EncodeToString(r.Seal("ctx", []byte("plain"))); got != want {
		t.Errorf("got %s", got)
	}
}

func TestMACLayoutDoesNotChange(t *testing.T) {
	r := NewRing(NewSource(&counter{}), created())
	const want = "f883dc0c419dd6a60624fe11916cb3134bfe3c8168adc68e412d90e369c29a14"
	if got := hex.EncodeToString(r.MAC("purpose", []byte("a"), nil)); got != want {
		t.Errorf("got %s", got)
	}
}

func TestAccessTokenLayoutDoesNotChange(t *testing.T) {
	r := NewRing(NewSource(&counter{}), created())
	const want = "smp_at_SAABAgMEBQYHCAkKC5R2loKm3ZCeImWMW9GC-qOcypIyQ08teUyWmw8fidWx1kS8WGc2Jxk"
	if got := r.AccessToken(NewSource(&counter{}), grantID(), created()); got != want {
		t.Errorf("got %s", got)
	}
}

// Vectors of the argon2 reference implementation (test.c) and of crypt_blowfish.
func TestVerifyAgreesWithReferenceVectors(t *testing.T) {
	ticket := admit(t, testPool(t, 1), false)
	for encoded, password := range map[string]string{
		"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4": "password",
		"$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc": "password",
		"$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8":  "password",
		bcryptUU: "U*U",
	} {
		if ok, rehash, err := ticket.Verify(encoded, password); !ok || rehash == "" || err != nil {
			t.Errorf("%s: %v %v", encoded, ok, err)
		}
	}
}
