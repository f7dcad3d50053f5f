package storage

import (
	"errors"
	"time"

	"simplon/identity"
)

// Lane returns the counter of a subject's lane; one that nobody used yet is the
// zero Lane.
func (q queries) Lane(subject, lane string) (l identity.Lane, err error) {
	var until int64
	err = found(q.r.QueryRow(`SELECT failures, locks, locked_until FROM lane WHERE subject = $1 AND lane = $2`, subject, lane).
		Scan(&l.Failures, &l.Locks, &until))
	if errors.Is(err, ErrNotFound) {
		return identity.Lane{}, nil
	}
	l.LockedUntil = fromMicros(until)
	return l, err
}

// ReserveAttempt takes one attempt from the lane and answers false, changing
// nothing, where it is locked. It must be called before anything is checked.
// However many call it at once, on however many nodes, each attempt is given
// once: the update repeats the state it was decided on.
func (tx *Tx) ReserveAttempt(subject, lane string, policy identity.LockPolicy, now time.Time) (identity.Lane, bool, error) {
	err := tx.exec(`INSERT INTO lane (subject, lane, touched_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`, subject, lane, micros(now))
	if err != nil {
		return identity.Lane{}, false, err
	}
	before, err := tx.Lane(subject, lane)
	if err != nil {
		return before, false, err
	}
	after, ok := before.Reserve(policy, now)
	given, err := tx.changed(`UPDATE lane SET failures = $3, locks = $4, locked_until = $5, touched_at = $6
		WHERE subject = $1 AND lane = $2 AND failures = $7 AND locks = $8 AND locked_until = $9 AND failures < $3`,
		subject, lane, after.Failures, after.Locks, micros(after.LockedUntil), micros(now),
		before.Failures, before.Locks, micros(before.LockedUntil))
	return after, ok && given, err
}

// CountFailures adds n to the subject's failures in a row over all lanes and
// returns the sum.
func (tx *Tx) CountFailures(subject string, n int, now time.Time) (total int, err error) {
	err = tx.r.QueryRow(`INSERT INTO lane (subject, lane, failures, touched_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (subject, lane) DO UPDATE SET failures = lane.failures + $3, touched_at = excluded.touched_at
		RETURNING failures`, subject, identity.LaneTotal, n, micros(now)).Scan(&total)
	return total, err
}

// ClearLane empties a lane and the total after a completed sign-in with the
// password in it.
func (tx *Tx) ClearLane(subject, lane string) error {
	return tx.exec(`DELETE FROM lane WHERE subject = $1 AND lane IN ($2, $3)`, subject, lane, identity.LaneTotal)
}
