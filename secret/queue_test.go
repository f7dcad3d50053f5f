package secret

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// line queues one waiter after the other and tells who was admitted, in order.
type line struct {
	p        *Pool
	mu       sync.Mutex
	admitted []string
	tickets  []*Ticket
}

func (l *line) join(t *testing.T, name string, known bool) {
	go func() {
		ticket, err := l.p.Admit(t.Context(), known)
		if err != nil {
			t.Error(name, err)
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.admitted, l.tickets = append(l.admitted, name), append(l.tickets, ticket)
	}()
	synctest.Wait()
}

func TestKnownComeFirstUntilHalfIsTheirs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPool(t, 1) // four tickets, so two are theirs
		strangers := admitAll(t, p, false)
		l := &line{p: p}
		for _, name := range []string{"u1", "u2", "k1", "k2", "k3"} {
			l.join(t, name, name[0] == 'k')
		}
		if _, waiting, _ := p.Counts(); waiting != 5 {
			t.Fatalf("%d wait", waiting)
		}
		for _, ticket := range strangers {
			ticket.Release()
			synctest.Wait()
		}
		if got := strings.Join(l.admitted, " "); got != "k1 k2 u1 u2" {
			t.Errorf("admitted %s", got)
		}
		l.tickets[0].Release()
		synctest.Wait()
		if got := l.admitted[len(l.admitted)-1]; got != "k3" {
			t.Errorf("then %s", got)
		}
		for _, ticket := range l.tickets {
			ticket.Release()
		}
	})
}

// Neither class starves: strangers get on while known ones never stop coming.
func TestUnknownGetOnUnderAFloodOfKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPool(t, 1)
		known := admitAll(t, p, true)
		l := &line{p: p}
		l.join(t, "k1", true)
		l.join(t, "u1", false)
		known[0].Release()
		synctest.Wait()
		if got := strings.Join(l.admitted, " "); got != "u1" {
			t.Errorf("admitted %q", got)
		}
		known[1].Release() // and a free ticket is not withheld from k1
		synctest.Wait()
		if got := strings.Join(l.admitted, " "); got != "u1 k1" {
			t.Errorf("admitted %q", got)
		}
	})
}

func TestA38FullQueueIsRefusedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPool(t, 1)
		held := admitAll(t, p, false)
		l := &line{p: p}
		for range 4 {
			l.join(t, "u", false)
		}
		if _, err := p.Admit(t.Context(), false); !errors.Is(err, ErrBusy) {
			t.Fatalf("fifth stranger: %v", err)
		}
		l.join(t, "k", true) // the other queue has room
		held[0].Release()
		synctest.Wait()
		if _, waiting, _ := p.Counts(); waiting != 4 || l.admitted[0] != "k" {
			t.Errorf("%d wait, admitted %v", waiting, l.admitted)
		}
		for _, ticket := range held[1:] {
			ticket.Release()
		}
		synctest.Wait()
		for _, ticket := range l.tickets {
			ticket.Release()
		}
		synctest.Wait()
		if _, waiting, _ := p.Counts(); waiting != 0 || len(l.admitted) != 5 {
			t.Errorf("%d wait, admitted %v", waiting, l.admitted)
		}
		for _, ticket := range l.tickets {
			ticket.Release()
		}
	})
}

func TestGivingUpWhileQueuedFreesThePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := testPool(t, 1)
		held := admitAll(t, p, false)
		ctx, cancel := context.WithCancel(t.Context())
		gaveUp := make(chan error, 1)
		go func() {
			_, err := p.Admit(ctx, false)
			gaveUp <- err
		}()
		synctest.Wait()
		l := &line{p: p}
		l.join(t, "next", false)
		cancel()
		if err := <-gaveUp; !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if _, waiting, _ := p.Counts(); waiting != 1 {
			t.Fatalf("%d wait", waiting)
		}
		held[0].Release()
		synctest.Wait()
		if len(l.admitted) != 1 {
			t.Error("the ticket went to the one who left")
		}
		if _, err := p.Admit(ctx, true); !errors.Is(err, context.Canceled) {
			t.Errorf("a context that ended before: %v", err)
		}
	})
}

// Callers come, give up and release in every order; in the end every ticket is
// back and nobody waits: a lost wake-up would hang the test, a lost ticket would
// show in held.
func TestNoTicketIsLostInARace(t *testing.T) {
	p, err := NewPool(PoolConfig{Params: smallParams(), Slots: 2, Queue: 64})
	if err != nil {
		t.Fatal(err)
	}
	w := watch(p, nil)
	var wg sync.WaitGroup
	var admitted, verified, busy, gaveUp atomic.Int64
	for i := range 32 {
		wg.Go(func() {
			for j := range 40 {
				ctx, cancel := context.WithCancel(t.Context())
				if (i+j)%3 == 0 {
					go cancel()
				}
				ticket, err := p.Admit(ctx, i%2 == 0)
				switch {
				case err == nil:
					admitted.Add(1)
					if j%4 == 0 {
						ticket.Dummy("x")
						verified.Add(1)
					}
					ticket.Release()
				case errors.Is(err, ErrBusy):
					busy.Add(1)
				case errors.Is(err, context.Canceled):
					gaveUp.Add(1)
				default:
					t.Error(err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	hashes, waiting, running := p.Counts()
	if waiting != 0 || running != 0 || p.gate.held != [classes]int{} {
		t.Errorf("%d wait, %d run, held %v", waiting, running, p.gate.held)
	}
	if admitted.Load()+busy.Load()+gaveUp.Load() != 32*40 || hashes != uint64(verified.Load()) || w.most.Load() > 2 {
		t.Errorf("admitted %d, busy %d, gave up %d, hashes %d of %d, at most %d",
			admitted.Load(), busy.Load(), gaveUp.Load(), hashes, verified.Load(), w.most.Load())
	}
	for _, ticket := range admitAll(t, p, false) {
		ticket.Release()
	}
}

// A place granted in the very moment its waiter gave up goes to the next.
func TestGrantToOneWhoJustLeftIsPassedOn(t *testing.T) {
	g := &gate{size: 1, bound: 4}
	if err := g.enter(t.Context(), classKnown); err != nil {
		t.Fatal(err)
	}
	left := &waiter{ready: make(chan struct{})}
	next := &waiter{ready: make(chan struct{})}
	place := g.queue[classKnown].PushBack(left)
	g.queue[classUnknown].PushBack(next)
	g.leave(classKnown)
	if !left.granted || next.granted {
		t.Fatal("granted to the wrong one")
	}
	g.abandon(classKnown, place, left)
	if !next.granted || g.held != [classes]int{classUnknown: 1} {
		t.Fatalf("held %v", g.held)
	}
}
