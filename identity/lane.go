package identity

import "time"

// Lanes of first-factor guesses. A known browser has one of its own, named by
// its device row; everybody else shares LaneUnknown, so that strangers lock only
// unknown browsers.
const (
	LaneUnknown = "unknown"
	// LaneTotal counts failures in a row over all lanes. An unlock never clears
	// it; only a completed sign-in with the password does.
	LaneTotal = "total"
)

// Lane is one counter of guesses for one account (or for one address that
// belongs to nobody: those count alike, so that nobody can tell).
type Lane struct {
	Failures    int       // attempts reserved since the last completed sign-in
	Locks       int       // how often it locked since then
	LockedUntil time.Time // zero while it never locked
}

// LockPolicy is the installation's rule for lanes, with the account's own
// threshold put in.
type LockPolicy struct {
	Threshold int           // reserved attempts that lock the lane
	Wait      time.Duration // first lock; doubles with each further one
	WaitMax   time.Duration
	Total     int // failures in a row, over all lanes, that disable the password
}

// For returns the policy with the account's own threshold, where it chose one.
func (p LockPolicy) For(a Account) LockPolicy {
	if a.LockThreshold > 0 {
		p.Threshold = a.LockThreshold
	}
	return p
}

// Reserve takes one attempt from the lane before anything is checked. ok is
// false where the lane is locked: then nothing may be verified, not even the
// right password. The attempt that reaches the threshold locks the lane at once,
// so however many ask in parallel, at most Threshold are ever evaluated; a
// completed sign-in is what clears it. After a lock has run out one attempt is
// given, which locks it again for twice as long.
func (l Lane) Reserve(p LockPolicy, now time.Time) (Lane, bool) {
	if now.Before(l.LockedUntil) {
		return l, false
	}
	l.Failures++
	if l.Failures >= p.Threshold {
		l.LockedUntil = now.Add(p.lockFor(l.Locks))
		l.Locks++
	}
	return l, true
}

// Locked tells whether the lane takes no attempt at the time.
func (l Lane) Locked(now time.Time) bool { return now.Before(l.LockedUntil) }

func (p LockPolicy) lockFor(locks int) time.Duration {
	wait := p.Wait
	for range locks {
		if wait >= p.WaitMax {
			break
		}
		wait *= 2
	}
	return min(wait, p.WaitMax)
}
