package storage

import (
	"time"

	"simplon/identity"
)

// CreateHandoff keeps the parameters of a cross-site POST to path under a
// one-use handle until expires.
func (tx *Tx) CreateHandoff(hash []byte, path, params string, expires time.Time) error {
	return tx.insertOnce(`INSERT INTO handoff (hash, path, params, expires_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		hash, path, params, micros(expires))
}

// SpendHandoff returns the parameters kept under the handle for path, once.
// ErrNotFound where it is unknown, spent, expired or for another path.
func (tx *Tx) SpendHandoff(hash []byte, path string, now time.Time) (params string, err error) {
	err = tx.r.QueryRow(`UPDATE handoff SET spent_at = $3 WHERE hash = $1 AND path = $2 AND spent_at = 0 AND expires_at > $3 RETURNING params`,
		hash, path, micros(now)).Scan(&params)
	return params, found(err)
}

// CreateSetupLink inserts a set-up link and ends the ones before it.
func (tx *Tx) CreateSetupLink(l identity.SetupLink) error {
	if err := tx.exec(`UPDATE setup_link SET spent_at = $1 WHERE spent_at = 0`, micros(l.CreatedAt)); err != nil {
		return err
	}
	return tx.insertOnce(`INSERT INTO setup_link (hash, emergency, created_at, expires_at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING`,
		l.Hash, l.Emergency, micros(l.CreatedAt), micros(l.ExpiresAt))
}

// SetupLink returns the link with the digest, spent or not, or ErrNotFound.
func (q queries) SetupLink(hash []byte) (l identity.SetupLink, err error) {
	var created, expires, spent int64
	err = q.r.QueryRow(`SELECT hash, emergency, created_at, expires_at, spent_at FROM setup_link WHERE hash = $1`, hash).
		Scan(&l.Hash, &l.Emergency, &created, &expires, &spent)
	l.CreatedAt, l.ExpiresAt, l.SpentAt = fromMicros(created), fromMicros(expires), fromMicros(spent)
	return l, found(err)
}

// SpendSetupLink spends a link that is neither spent nor expired; of several
// calls at once, one answers true.
func (tx *Tx) SpendSetupLink(hash []byte, now time.Time) (bool, error) {
	return tx.changed(`UPDATE setup_link SET spent_at = $2 WHERE hash = $1 AND spent_at = 0 AND expires_at > $2`, hash, micros(now))
}

// Prune deletes rows that no rule needs any more: what expired before the given
// times, and lanes untouched for a year, or for a day where their subject is
// nobody. A lane whose lock has not been over for as long stays. It deletes at
// most limit rows of each kind, so that no transaction grows long, and returns
// how many went.
func (tx *Tx) Prune(now time.Time, limit int) (deleted int64, err error) {
	day := micros(now.Add(-24 * time.Hour))
	for _, p := range []struct {
		table, id string
		where     string
		order     string // an index leads to the oldest
		before    int64
	}{
		{"handoff", "hash", "expires_at < $1", "expires_at", micros(now)},
		{"signin", "id", "expires_at < $1", "expires_at", day},
		{"code", "hash", "forget_at < $1", "forget_at", micros(now)},
		{"event", "id", "at < $1 AND account_id = '' AND kind LIKE 'sign-in.%'", "at", micros(now.Add(-30 * 24 * time.Hour))},
		{"refresh_token", "hash", "expires_at < $1", "expires_at", day},
		{"setup_link", "hash", "expires_at < $1", "expires_at", day},
		{"device", "id", "expires_at < $1", "expires_at", micros(now)},
		{"grants", "id", "expires_at < $1", "expires_at", day},
		{"session", "id", "expires_at < $1", "expires_at", micros(now.Add(-30 * 24 * time.Hour))},
		{"lane", "subject, lane", "touched_at < $1 AND locked_until < $1 AND subject LIKE 'x%'", "touched_at", day},
		{"lane", "subject, lane", "touched_at < $1 AND locked_until < $1", "touched_at", micros(now.Add(-365 * 24 * time.Hour))},
	} {
		n, err := tx.tx.Exec(`DELETE FROM `+p.table+` WHERE `+p.where+` AND (`+p.id+`) IN (SELECT `+p.id+` FROM `+p.table+
			` WHERE `+p.where+` ORDER BY `+p.order+` LIMIT $2)`, p.before, limit)
		deleted += n
		if err != nil {
			return deleted, err
		}
	}
	return deleted, nil
}
