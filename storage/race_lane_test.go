package storage_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"simplon/identity"
	"simplon/storage"
)

const guessers = 200

// reserveAtOnce lets guessers take an attempt each, in transactions named like
// the handlers name theirs, and counts how many were given one.
func reserveAtOnce(t *testing.T, nodes []*storage.DB, p identity.LockPolicy, now time.Time, try func(func() error) error) int {
	t.Helper()
	var given atomic.Int32
	together(guessers, func(i int) {
		var ok bool
		err := try(func() error {
			return nodes[i%len(nodes)].TxOn(t.Context(), "lane:acc_1", func(tx *storage.Tx) (err error) {
				_, ok, err = tx.ReserveAttempt("acc_1", identity.LaneUnknown, p, now)
				return err
			})
		})
		if err != nil {
			t.Errorf("guesser %d: %v", i, err)
		} else if ok {
			given.Add(1)
		}
	})
	return int(given.Load())
}

// expectGivenThenLocked checks a lane before, at and after its first lock.
func expectGivenThenLocked(t *testing.T, nodes []*storage.DB, try func(func() error) error) {
	t.Helper()
	p := identity.LockPolicy{Threshold: 10, Wait: time.Minute, WaitMax: time.Hour}
	if n := reserveAtOnce(t, nodes, p, instant(), try); n != p.Threshold {
		t.Errorf("%d attempts given, want %d", n, p.Threshold)
	}
	if n := reserveAtOnce(t, nodes, p, instant().Add(p.Wait-1), try); n != 0 {
		t.Errorf("%d attempts given while locked", n)
	}
	if n := reserveAtOnce(t, nodes, p, instant().Add(p.Wait), try); n != 1 {
		t.Errorf("%d attempts given after the lock, want 1", n)
	}
	lane, err := nodes[0].Lane("acc_1", identity.LaneUnknown)
	want := identity.Lane{Failures: p.Threshold + 1, Locks: 2, LockedUntil: instant().Add(3 * p.Wait)}
	if err != nil {
		t.Fatal(err)
	}
	same(t, lane, want)
}

func TestLaneGivesItsThresholdHoweverManyAsk(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		// In one process they wait in line: nobody may be told to try later.
		expectGivenThenLocked(t, []*storage.DB{db}, func(run func() error) error { return run() })
	})
}

func TestLaneGivesItsThresholdOverTwoNodes(t *testing.T) {
	onTwoNodes(t, func(t *testing.T, nodes [2]*storage.DB) { expectGivenThenLocked(t, nodes[:], busy) })
}

func TestFailuresAreCountedExactly(t *testing.T) {
	onTwoNodes(t, func(t *testing.T, nodes [2]*storage.DB) {
		var mu sync.Mutex
		sums := map[int]bool{}
		together(racers, func(i int) {
			var sum int
			err := busy(func() error {
				return nodes[i%2].TxOn(t.Context(), "lane:acc_1", func(tx *storage.Tx) (err error) {
					sum, err = tx.CountFailures("acc_1", i+1, instant())
					return err
				})
			})
			if err != nil {
				t.Errorf("racer %d: %v", i, err)
			}
			mu.Lock()
			defer mu.Unlock()
			sums[sum] = true
		})
		lane, err := nodes[0].Lane("acc_1", identity.LaneTotal)
		if want := racers * (racers + 1) / 2; err != nil || lane.Failures != want || !sums[want] {
			t.Errorf("counted %d, %v, want %d", lane.Failures, err, want)
		}
		if len(sums) != racers {
			t.Errorf("%d different sums were answered, want %d", len(sums), racers)
		}
	})
}
