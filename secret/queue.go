package secret

import (
	"container/list"
	"context"
	"sync"
)

// The two classes that wait for admission.
const (
	classUnknown = iota
	classKnown
	classes
)

// gate lets at most size holders in and queues the others, first come first
// served within a class. It is safe for concurrent use.
//
// A free place goes to whoever waits, so none is withheld. When both classes
// wait, known holders come first until half of the places are theirs; beyond
// that the unknown ones do, so neither can starve the other.
type gate struct {
	size  int // places
	bound int // waiting, per class

	mu    sync.Mutex
	held  [classes]int
	queue [classes]list.List // of *waiter; empty while a place is free
}

type waiter struct {
	ready   chan struct{} // closed when a place was granted
	granted bool          // guarded by gate.mu
}

// enter takes a place or waits for one. It returns [ErrBusy] at once when the
// queue of the class is full, and ctx's error if that ends first.
func (g *gate) enter(ctx context.Context, class int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	g.mu.Lock()
	if g.free() {
		g.held[class]++
		g.mu.Unlock()
		return nil
	}
	if g.queue[class].Len() >= g.bound {
		g.mu.Unlock()
		return ErrBusy
	}
	w := &waiter{ready: make(chan struct{})}
	place := g.queue[class].PushBack(w)
	g.mu.Unlock()

	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		g.abandon(class, place, w)
		return ctx.Err()
	}
}

// abandon leaves the queue, or passes on the place that was granted in the same
// moment, which would be lost otherwise.
func (g *gate) abandon(class int, place *list.Element, w *waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !w.granted {
		g.queue[class].Remove(place)
		return
	}
	g.held[class]--
	g.grant()
}

func (g *gate) leave(class int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held[class]--
	g.grant()
}

func (g *gate) waiting() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.queue[classKnown].Len() + g.queue[classUnknown].Len()
}

// free and grant need g.mu.
func (g *gate) free() bool { return g.held[classKnown]+g.held[classUnknown] < g.size }

func (g *gate) grant() {
	for g.free() {
		class := g.next()
		first := g.queue[class].Front()
		if first == nil {
			return
		}
		w := g.queue[class].Remove(first).(*waiter)
		w.granted = true
		g.held[class]++
		close(w.ready)
	}
}

// next names the class whose turn it is; its queue is empty only if both are.
func (g *gate) next() int {
	switch {
	case g.queue[classKnown].Len() == 0:
		return classUnknown
	case g.queue[classUnknown].Len() == 0:
		return classKnown
	case g.held[classKnown] < (g.size+1)/2:
		return classKnown
	}
	return classUnknown
}
