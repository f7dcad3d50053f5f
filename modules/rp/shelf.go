package rp

import (
	"container/list"
	"sync"
	"time"
)

// shelf keeps at most max values, each for life at most; the oldest goes when
// a new one needs its place. Values stand in the order they came, which is
// also the order in which they expire. It is safe for concurrent use.
type shelf[V any] struct {
	max  int
	life time.Duration
	now  func() time.Time

	mu    sync.Mutex
	items map[string]*list.Element
	order *list.List
}

type shelved[V any] struct {
	key   string
	value V
	until time.Time
}

func newShelf[V any](max int, life time.Duration, now func() time.Time) *shelf[V] {
	return &shelf[V]{max: max, life: life, now: now, items: map[string]*list.Element{}, order: list.New()}
}

func (s *shelf[V]) put(key string, value V) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	s.remove(s.items[key])
	for first := s.order.Front(); first != nil; first = s.order.Front() {
		if s.order.Len() < s.max && now.Before(first.Value.(shelved[V]).until) {
			break
		}
		s.remove(first)
	}
	s.items[key] = s.order.PushBack(shelved[V]{key, value, now.Add(s.life)})
}

func (s *shelf[V]) get(key string) (V, bool) {
	return s.find(key, func(V) bool { return true }, false)
}

// take removes and returns a value, once, if ok agrees; otherwise it stays.
func (s *shelf[V]) take(key string, ok func(V) bool) (V, bool) {
	return s.find(key, ok, true)
}

func (s *shelf[V]) find(key string, ok func(V) bool, remove bool) (V, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var none V
	e := s.items[key]
	if e == nil {
		return none, false
	}
	it := e.Value.(shelved[V])
	if !s.now().Before(it.until) {
		s.remove(e)
		return none, false
	}
	if !ok(it.value) {
		return none, false
	}
	if remove {
		s.remove(e)
	}
	return it.value, true
}

func (s *shelf[V]) drop(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(s.items[key])
}

func (s *shelf[V]) remove(e *list.Element) {
	if e == nil {
		return
	}
	delete(s.items, e.Value.(shelved[V]).key)
	s.order.Remove(e)
}
