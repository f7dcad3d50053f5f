package sqldb

import (
	"context"
	"hash/maphash"
)

// keyLocks is a striped mutex whose waiters honour their context. Two keys may
// share a stripe: they then wait for each other, which costs time and nothing
// else, because a transaction holds one key at most.
type keyLocks struct {
	seed    maphash.Seed
	stripes [256]chan struct{} // each holds one token while locked
}

func newKeyLocks() *keyLocks {
	k := &keyLocks{seed: maphash.MakeSeed()}
	for i := range k.stripes {
		k.stripes[i] = make(chan struct{}, 1)
	}
	return k
}

// lock waits for the key and returns what unlocks it. An empty key locks
// nothing.
func (k *keyLocks) lock(ctx context.Context, key string) (unlock func(), err error) {
	if key == "" {
		return func() {}, nil
	}
	stripe := k.stripes[maphash.String(k.seed, key)%uint64(len(k.stripes))]
	select {
	case stripe <- struct{}{}:
		return func() { <-stripe }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
