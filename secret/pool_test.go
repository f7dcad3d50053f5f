package secret

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/zitadel/passwap"
	"github.com/zitadel/passwap/verifier"
)

func smallParams() Params { return Params{MemoryKiB: 64, Time: 1, Threads: 1} }

func testPool(t testing.TB, slots int) *Pool {
	t.Helper()
	p, err := NewPool(PoolConfig{Params: smallParams(), Slots: slots, Queue: 4})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func admit(t testing.TB, p *Pool, known bool) *Ticket {
	t.Helper()
	ticket, err := p.Admit(t.Context(), known)
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

// admitAll takes every ticket of p.
func admitAll(t testing.TB, p *Pool, known bool) (out []*Ticket) {
	t.Helper()
	for range p.gate.size {
		out = append(out, admit(t, p, known))
	}
	return out
}

// watched is passwap's hasher, and tells how many run at a time.
type watched struct {
	passwap.Hasher
	running, most atomic.Int64
	hold          chan struct{} // if set, each hash waits for one element
}

func (w *watched) Hash(password string) (string, error) {
	defer w.enter()()
	return w.Hasher.Hash(password)
}

func (w *watched) Verify(encoded, password string) (verifier.Result, error) {
	defer w.enter()()
	return w.Hasher.Verify(encoded, password)
}

func (w *watched) enter() (leave func()) {
	n := w.running.Add(1)
	for m := w.most.Load(); n > m && !w.most.CompareAndSwap(m, n); m = w.most.Load() {
	}
	if w.hold != nil {
		<-w.hold
	}
	return func() { w.running.Add(-1) }
}

func watch(p *Pool, hold chan struct{}) *watched {
	w := &watched{Hasher: p.argon2, hold: hold}
	p.argon2 = w
	return w
}

func TestHashVerifyRoundTrip(t *testing.T) {
	p := testPool(t, 1)
	ticket := admit(t, p, false)
	defer ticket.Release()
	encoded, err := ticket.Hash("correct horse battery")
	if err != nil || !strings.HasPrefix(encoded, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Fatal(encoded, err)
	}
	for password, want := range map[string]bool{"correct horse battery": true, "correct horse batterz": false, "": false} {
		if ok, rehash, err := ticket.Verify(encoded, password); ok != want || rehash != "" || err != nil {
			t.Errorf("%q: %v %q %v", password, ok, rehash, err)
		}
	}
	if other, _ := ticket.Hash("correct horse battery"); other == encoded {
		t.Error("the same salt twice")
	}
}

func TestVerifyOffersARehashWhenParametersChanged(t *testing.T) {
	old := testPool(t, 1)
	today, err := NewPool(PoolConfig{Params: Params{MemoryKiB: 64, Time: 2, Threads: 1}, Slots: 1})
	if err != nil {
		t.Fatal(err)
	}
	stored, err := admit(t, old, false).Hash("password")
	if err != nil {
		t.Fatal(err)
	}
	ticket := admit(t, today, false)
	for name, c := range map[string]struct{ encoded, password string }{
		"argon2 of other costs": {stored, "password"},
		"bcrypt":                {bcryptUU, "U*U"},
	} {
		if ok, rehash, err := ticket.Verify(c.encoded, "wrong"); ok || rehash != "" || err != nil {
			t.Errorf("%s, wrong password: %v %q %v", name, ok, rehash, err)
		}
		ok, rehash, err := ticket.Verify(c.encoded, c.password)
		if !ok || !strings.Contains(rehash, "$m=64,t=2,p=1$") || err != nil {
			t.Fatalf("%s: %v %q %v", name, ok, rehash, err)
		}
		if ok, again, err := ticket.Verify(rehash, c.password); !ok || again != "" || err != nil {
			t.Errorf("%s, after the rehash: %v %q %v", name, ok, again, err)
		}
	}
	if hashes, _, _ := today.Counts(); hashes != 8 {
		t.Errorf("%d hashes counted, want 2 wrong, 2 right, 2 rehashes, 2 again", hashes)
	}
}

func TestA21DummiesWorkLikeAFailedVerify(t *testing.T) {
	p := testPool(t, 1)
	w := watch(p, nil)
	ticket := admit(t, p, false)
	encoded, err := ticket.Hash("password")
	if err != nil {
		t.Fatal(err)
	}
	cost := func(f func()) uint64 {
		before, _, _ := p.Counts()
		f()
		after, _, _ := p.Counts()
		return after - before
	}
	for name, f := range map[string]func(){
		"verify":               func() { _, _, _ = ticket.Verify(encoded, "wrong") },
		"dummy":                func() { ticket.Dummy("wrong") },
		"dummy like":           func() { ticket.DummyLike(encoded, "wrong") },
		"dummy like, right":    func() { ticket.DummyLike(encoded, "password") },
		"dummy like, bcrypt":   func() { ticket.DummyLike(bcryptUU, "U*U") },
		"dummy like, nonsense": func() { ticket.DummyLike("nonsense", "wrong") },
	} {
		if n := cost(f); n != 1 {
			t.Errorf("%s counts %d", name, n)
		}
	}
	long := strings.Repeat("x", 1025)
	if cost(func() { ticket.Dummy(long) }) != cost(func() { _, _, _ = ticket.Verify(encoded, long) }) {
		t.Error("a password that is too long tells dummy and verify apart")
	}
	if kind, params, err := inspect(p.dummy); err != nil || kind != kindArgon2 || params != p.params {
		t.Errorf("the dummy costs something else: %+v %v", params, err)
	}
	if ok, _, err := ticket.Verify(p.dummy, ""); ok || err != nil || w.most.Load() != 1 {
		t.Errorf("dummy matched: %v %v", ok, err)
	}
}

func TestPasswordsAreRefusedRatherThanCut(t *testing.T) {
	ticket := admit(t, testPool(t, 1), false)
	longest := strings.Repeat("x", 1024)
	encoded, err := ticket.Hash(longest)
	if err != nil {
		t.Fatal(err)
	}
	if ok, _, err := ticket.Verify(encoded, longest); !ok || err != nil {
		t.Fatal("1024 bytes:", err)
	}
	if ok, _, err := ticket.Verify(encoded, longest[1:]); ok || err != nil {
		t.Fatal("1023 bytes match 1024:", err)
	}
	if _, err := ticket.Hash(longest + "x"); !errors.Is(err, ErrTooLong) {
		t.Fatal(err)
	}
	if ok, _, err := ticket.Verify(encoded, longest+"x"); ok || !errors.Is(err, ErrTooLong) {
		t.Fatal(err)
	}
}

func TestNewPoolChecksItsConfiguration(t *testing.T) {
	for name, c := range map[string]PoolConfig{
		"memory":            {Params: Params{MemoryKiB: 1 << 20}},
		"memory per thread": {Params: Params{MemoryKiB: 64, Threads: 9}},
		"time":              {Params: Params{Time: 17}},
		"threads":           {Params: Params{Threads: 17}},
		"slots":             {Slots: -1},
		"queue":             {Queue: -1},
	} {
		if _, err := NewPool(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	p, err := NewPool(PoolConfig{})
	if err != nil || p.params != (Params{19456, 2, 1}) || cap(p.slots) < 1 || p.gate.bound != 64 {
		t.Errorf("defaults: %+v %v", p.params, err)
	}
	if hashes, _, _ := p.Counts(); hashes != 0 {
		t.Error("a hash ran at start")
	}
}

func TestNeverMoreHashesThanSlots(t *testing.T) {
	for _, slots := range []int{1, 3} {
		synctest.Test(t, func(t *testing.T) {
			p := testPool(t, slots)
			w := watch(p, make(chan struct{}))
			var wg sync.WaitGroup
			for _, ticket := range admitAll(t, p, false) {
				wg.Go(func() { ticket.Dummy("x"); ticket.Release() })
			}
			synctest.Wait() // all of them run or wait for a slot
			if _, _, busy := p.Counts(); busy != slots || w.running.Load() != int64(slots) {
				t.Errorf("%d busy, %d running, want %d", busy, w.running.Load(), slots)
			}
			close(w.hold)
			wg.Wait()
			if hashes, _, busy := p.Counts(); w.most.Load() != int64(slots) || hashes != uint64(2*slots+2) || busy != 0 {
				t.Errorf("at most %d at a time, %d in all, %d left", w.most.Load(), hashes, busy)
			}
		})
	}
}

func TestReleasedTicketsDoNothing(t *testing.T) {
	p := testPool(t, 1)
	all := admitAll(t, p, true)
	for range 3 {
		all[0].Release()
	}
	if p.gate.held[classKnown] != p.gate.size-1 {
		t.Fatal("release is not idempotent")
	}
	if _, err := all[0].Hash("x"); !errors.Is(err, ErrReleased) {
		t.Error(err)
	}
	if _, _, err := all[0].Verify(p.dummy, "x"); !errors.Is(err, ErrReleased) {
		t.Error(err)
	}
	all[0].Dummy("x")
	if hashes, _, _ := p.Counts(); hashes != 0 {
		t.Error("a released ticket computed a hash")
	}
}
