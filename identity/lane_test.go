package identity_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"simplon/identity"
)

func policy() identity.LockPolicy {
	return identity.LockPolicy{Threshold: 3, Wait: time.Minute, WaitMax: 5 * time.Minute, Total: 100}
}

func TestLaneLocksAtTheThresholdAndDoublesTheWait(t *testing.T) {
	now := instant()
	var lane identity.Lane
	take := func(want bool) {
		t.Helper()
		next, ok := lane.Reserve(policy(), now)
		if ok != want {
			t.Fatalf("Reserve at %v of %+v = %t", now, lane, ok)
		}
		if !ok && next != lane {
			t.Fatalf("a refused attempt changed %+v to %+v", lane, next)
		}
		lane = next
	}
	take(true)
	take(true)
	if lane.Locked(now) {
		t.Fatal("locked before the threshold")
	}
	take(true) // the attempt that reaches the threshold is evaluated, and locks
	for _, wait := range []time.Duration{1, 2, 4, 5, 5, 5} {
		wait *= time.Minute
		if got := lane.LockedUntil.Sub(now); got != wait {
			t.Fatalf("locked for %v, want %v", got, wait)
		}
		take(false)
		now = now.Add(wait - 1)
		take(false)
		now = now.Add(1)
		if lane.Locked(now) {
			t.Fatal("locked after the wait")
		}
		take(true)
	}
}

func TestLockPolicyOfAnAccountIsItsOwn(t *testing.T) {
	if p := policy().For(identity.Account{}); p != policy() {
		t.Errorf("without a choice: %+v", p)
	}
	want := policy()
	want.Threshold = 7
	if p := policy().For(identity.Account{LockThreshold: 7}); p != want {
		t.Errorf("with a choice: %+v", p)
	}
}

// A worker is a request on some node: it reads the lane, then tries to write what
// Reserve answered, which succeeds only while the lane is still what it read.
type worker struct {
	read identity.Lane
	has  bool
}

// TestLaneGivesNoMoreThanThePolicyHoweverManyAsk runs any interleaving of
// workers and time over one lane kept by compare-and-set, as storage does.
func TestLaneGivesNoMoreThanThePolicyHoweverManyAsk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := identity.LockPolicy{
			Threshold: rapid.IntRange(1, 6).Draw(t, "threshold"),
			Wait:      time.Duration(rapid.IntRange(1, 50).Draw(t, "wait")) * time.Second,
			WaitMax:   time.Duration(rapid.IntRange(1, 200).Draw(t, "longest wait")) * time.Second,
		}
		now := instant()
		var lane identity.Lane
		workers := make([]worker, 8)
		given, locks := 0, 0 // attempts given since the last lock, locks so far
		for range rapid.IntRange(1, 200).Draw(t, "moves") {
			w := &workers[rapid.IntRange(0, len(workers)-1).Draw(t, "worker")]
			switch rapid.SampledFrom([]string{"read", "write", "write", "wait"}).Draw(t, "move") {
			case "read":
				*w = worker{read: lane, has: true}
			case "wait":
				now = now.Add(time.Duration(rapid.IntRange(0, 60).Draw(t, "seconds")) * time.Second)
			case "write":
				after, ok := w.read.Reserve(p, now)
				if !w.has || !ok || w.read != lane {
					continue // refused, or too late: nothing may be evaluated
				}
				if lane.Locked(now) {
					t.Fatal("an attempt was given in a locked lane")
				}
				given++
				lane, w.has = after, false
				if !lane.Locked(now) {
					continue
				}
				expectLock(t, p, locks, given, lane.LockedUntil.Sub(now))
				given, locks = 0, locks+1
			}
			if locks == 0 && given >= p.Threshold {
				t.Fatalf("%d attempts without a lock, threshold %d", given, p.Threshold)
			}
			if locks > 0 && given > 0 {
				t.Fatalf("an attempt after lock %d did not lock again", locks)
			}
		}
	})
}

// expectLock checks the lock numbered locks, taken after so many attempts.
func expectLock(t *rapid.T, p identity.LockPolicy, locks, given int, wait time.Duration) {
	most := 1
	if locks == 0 {
		most = p.Threshold
	}
	if given != most {
		t.Fatalf("lock %d after %d attempts, want %d", locks, given, most)
	}
	if want := min(p.Wait<<min(locks, 20), p.WaitMax); wait != want {
		t.Fatalf("lock %d lasts %v, want %v", locks, wait, want)
	}
}

func TestLanesOfVeryManyLocksStillEnd(t *testing.T) {
	p := identity.LockPolicy{Threshold: 1, Wait: time.Second, WaitMax: 30 * 24 * time.Hour}
	lane, ok := identity.Lane{Failures: 1 << 30, Locks: 1 << 30}.Reserve(p, instant())
	if !ok || lane.LockedUntil.Sub(instant()) != p.WaitMax {
		t.Errorf("%+v, %t", lane, ok)
	}
	p.Threshold = 0 // a mistake must not open the lane
	if lane, ok := (identity.Lane{}).Reserve(p, instant()); !ok || !lane.Locked(instant()) {
		t.Errorf("threshold 0: %+v, %t", lane, ok)
	}
}
