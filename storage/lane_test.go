package storage_test

import (
	"errors"
	"testing"
	"time"

	"simplon/identity"
	"simplon/storage"
)

func policy(threshold int) identity.LockPolicy {
	return identity.LockPolicy{Threshold: threshold, Wait: time.Minute, WaitMax: time.Hour}
}

func TestLanesCountApartAndLock(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		db := open(t, url)
		reserve := func(subject, lane string, at time.Time) (l identity.Lane, ok bool) {
			t.Helper()
			must(t, db, func(tx *storage.Tx) (err error) {
				l, ok, err = tx.ReserveAttempt(subject, lane, policy(2), at)
				return err
			})
			if kept, err := db.Lane(subject, lane); err != nil || kept != l {
				t.Errorf("kept %+v, %v, answered %+v", kept, err, l)
			}
			return l, ok
		}
		now := instant()
		if l, err := db.Lane("acc_1", identity.LaneUnknown); err != nil || l != (identity.Lane{}) {
			t.Errorf("a lane that nobody used: %+v, %v", l, err)
		}
		if l, ok := reserve("acc_1", identity.LaneUnknown, now); !ok || l.Failures != 1 || l.Locked(now) {
			t.Errorf("first: %+v, %t", l, ok)
		}
		locked, ok := reserve("acc_1", identity.LaneUnknown, now)
		if !ok || !locked.LockedUntil.Equal(now.Add(time.Minute)) {
			t.Errorf("second: %+v, %t", locked, ok)
		}
		touched := `SELECT touched_at FROM lane WHERE subject = 'acc_1' AND lane = 'unknown'`
		before := number(t, raw(t, url), touched)
		if l, ok := reserve("acc_1", identity.LaneUnknown, now.Add(time.Second)); ok || l != locked {
			t.Errorf("locked: %+v, %t", l, ok)
		}
		if after := number(t, raw(t, url), touched); after != before {
			t.Error("a refused attempt changed the row")
		}
		for _, other := range [][2]string{{"acc_1", "dev_1"}, {"acc_2", identity.LaneUnknown}} {
			if l, ok := reserve(other[0], other[1], now); !ok || l.Failures != 1 {
				t.Errorf("%s: %+v, %t", other, l, ok)
			}
		}
		later := locked.LockedUntil
		if l, ok := reserve("acc_1", identity.LaneUnknown, later); !ok || !l.LockedUntil.Equal(later.Add(2*time.Minute)) {
			t.Errorf("after the lock: %+v, %t", l, ok)
		}
	})
}

func TestClearLaneEmptiesItAndTheTotal(t *testing.T) {
	onEach(t, func(t *testing.T, db *storage.DB) {
		now := instant()
		total := func(subject string, n int) (sum int) {
			t.Helper()
			must(t, db, func(tx *storage.Tx) (err error) {
				sum, err = tx.CountFailures(subject, n, now)
				return err
			})
			return sum
		}
		must(t, db, func(tx *storage.Tx) (err error) {
			for _, lane := range []string{identity.LaneUnknown, "dev_1"} {
				for _, subject := range []string{"acc_1", "acc_2"} {
					_, _, e := tx.ReserveAttempt(subject, lane, policy(9), now)
					err = errors.Join(err, e)
				}
			}
			return err
		})
		if a, b, c := total("acc_1", 2), total("acc_1", 3), total("acc_1", 0); a != 2 || b != 5 || c != 5 {
			t.Errorf("totals %d, %d, %d", a, b, c)
		}
		total("acc_2", 7)
		must(t, db, func(tx *storage.Tx) error { return tx.ClearLane("acc_1", "dev_1") })
		for _, c := range []struct {
			subject, lane string
			want          int
		}{
			{"acc_1", "dev_1", 0}, {"acc_1", identity.LaneTotal, 0}, {"acc_1", identity.LaneUnknown, 1},
			{"acc_2", "dev_1", 1}, {"acc_2", identity.LaneTotal, 7}, {"acc_2", identity.LaneUnknown, 1},
		} {
			if l, err := db.Lane(c.subject, c.lane); err != nil || l.Failures != c.want {
				t.Errorf("%s %s: %+v, %v, want %d", c.subject, c.lane, l, err, c.want)
			}
		}
	})
}
