package authserver

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// networksKept bounds the memory of a networkLimiter: beyond it the table starts
// anew, which forgives everybody's last minute at once and no lock, because locks
// live in the database.
const networksKept = 50_000

// networkLimiter slows each network down on its own. It delays, it never locks.
type networkLimiter struct {
	perMinute int
	now       func() time.Time
	mu        sync.Mutex
	by        map[string]*rate.Limiter
}

func newNetworkLimiter(perMinute int, now func() time.Time) *networkLimiter {
	return &networkLimiter{perMinute: perMinute, now: now, by: map[string]*rate.Limiter{}}
}

// wait takes one from the network's share and returns 0, or how long until there
// is one again.
func (l *networkLimiter) wait(network string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	lim := l.by[network]
	if lim == nil {
		if len(l.by) >= networksKept {
			clear(l.by)
		}
		lim = rate.NewLimiter(rate.Limit(float64(l.perMinute)/60), l.perMinute)
		l.by[network] = lim
	}
	now := l.now()
	res := lim.ReserveN(now, 1)
	if d := res.DelayFrom(now); d > 0 {
		res.CancelAt(now)
		return d
	}
	return 0
}
