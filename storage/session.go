package storage

import (
	"time"

	"simplon/identity"
	"simplon/sqldb"
)

const sessionColumns = `id, front_id, set_hash, browser_hash, account_id, managing_org, via_connection, methods, acr, auth_at, browser, network,
	epoch, created_at, expires_at, ended_at`

func scanSession(row sqldb.Row) (s identity.Session, err error) {
	var methods string
	var auth, created, expires, ended int64
	err = row.Scan(&s.ID, &s.FrontID, &s.SetHash, &s.BrowserHash, &s.AccountID, &s.ManagingOrg, &s.ViaConnection, &methods, &s.ACR, &auth,
		&s.Browser, &s.Network, &s.Epoch, &created, &expires, &ended)
	s.Methods = words(methods)
	s.AuthAt, s.CreatedAt, s.ExpiresAt, s.EndedAt = fromMicros(auth), fromMicros(created), fromMicros(expires), fromMicros(ended)
	return s, found(err)
}

// Session returns the session with the id, live or not, or ErrNotFound.
func (q queries) Session(id string) (identity.Session, error) {
	return scanSession(q.r.QueryRow(`SELECT `+sessionColumns+` FROM session WHERE id = $1`, id))
}

// SessionsInSet returns the sessions that a session cookie opens, the one proved
// last first; ended and expired ones are left out.
func (q queries) SessionsInSet(setHash []byte, now time.Time) ([]identity.Session, error) {
	var out []identity.Session
	err := q.r.Each(`SELECT `+sessionColumns+` FROM session
		WHERE set_hash = $1 AND ended_at = 0 AND expires_at > $2 ORDER BY auth_at DESC, id DESC`,
		[]any{setHash, micros(now)}, func(row sqldb.Row) error {
			s, err := scanSession(row)
			out = append(out, s)
			return err
		})
	return out, err
}

// SessionsOfBrowser returns the live sessions that a session cookie opens, and
// those of the account that the same browser left over when several tabs signed
// in at once and one cookie overwrote the other.
func (q queries) SessionsOfBrowser(setHash, browserHash []byte, accountID string, now time.Time) ([]identity.Session, error) {
	out, err := q.SessionsInSet(setHash, now)
	if err != nil {
		return nil, err
	}
	err = q.r.Each(`SELECT `+sessionColumns+` FROM session
		WHERE browser_hash = $1 AND account_id = $2 AND set_hash <> $3 AND ended_at = 0 AND expires_at > $4 ORDER BY auth_at DESC, id DESC`,
		[]any{browserHash, accountID, setHash, micros(now)}, func(row sqldb.Row) error {
			s, err := scanSession(row)
			out = append(out, s)
			return err
		})
	return out, err
}

// CreateSession inserts a session.
func (tx *Tx) CreateSession(s identity.Session) error {
	return tx.insertOnce(`INSERT INTO session (`+sessionColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT DO NOTHING`,
		s.ID, s.FrontID, s.SetHash, s.BrowserHash, s.AccountID, s.ManagingOrg, s.ViaConnection, join(s.Methods), s.ACR, micros(s.AuthAt),
		s.Browser, s.Network, s.Epoch, micros(s.CreatedAt), micros(s.ExpiresAt), micros(s.EndedAt))
}

// RenewSession moves a live session under a new cookie after the person proved
// themselves again: the old cookie value opens nothing any more. It answers
// false where the session ended meanwhile.
func (tx *Tx) RenewSession(s identity.Session) (bool, error) {
	return tx.changed(`UPDATE session SET set_hash = $2, methods = $3, acr = $4, auth_at = $5, expires_at = $6, browser = $7, network = $8, browser_hash = $9
		WHERE id = $1 AND ended_at = 0`,
		s.ID, s.SetHash, join(s.Methods), s.ACR, micros(s.AuthAt), micros(s.ExpiresAt), s.Browser, s.Network, s.BrowserHash)
}

// EndSession ends a session, what clients hold under it (but for grants with
// offline access, which outlive it by design), and its unspent codes. Only the
// first of several calls answers true.
func (tx *Tx) EndSession(id string, now time.Time) (bool, error) {
	ended, err := tx.changed(`UPDATE session SET ended_at = $2 WHERE id = $1 AND ended_at = 0`, id, micros(now))
	if err != nil || !ended {
		return ended, err
	}
	if err := tx.exec(`UPDATE grants SET revoked_at = $2 WHERE session_id = $1 AND revoked_at = 0
		AND ' ' || scopes || ' ' NOT LIKE '% offline\_access %' ESCAPE '\'`, id, micros(now)); err != nil {
		return true, err
	}
	return true, tx.exec(`UPDATE code SET expires_at = $2 WHERE session_id = $1 AND spent_at = 0 AND expires_at > $2`, id, micros(now))
}

const deviceColumns = `id, hash, account_id, front_id, browser, created_at, seen_at, expires_at`

// Device returns the row that makes the browser with the device cookie a known
// one for the account at the front, or ErrNotFound.
func (q queries) Device(hash []byte, accountID, frontID string, now time.Time) (d identity.Device, err error) {
	var created, seen, expires int64
	err = q.r.QueryRow(`SELECT `+deviceColumns+` FROM device
		WHERE hash = $1 AND account_id = $2 AND front_id = $3 AND expires_at > $4`, hash, accountID, frontID, micros(now)).
		Scan(&d.ID, &d.Hash, &d.AccountID, &d.FrontID, &d.Browser, &created, &seen, &expires)
	d.CreatedAt, d.SeenAt, d.ExpiresAt = fromMicros(created), fromMicros(seen), fromMicros(expires)
	return d, found(err)
}

// DeviceCookieKnown tells whether the cookie makes its browser a known one for
// anybody at the front, and so was made by us for that browser.
func (q queries) DeviceCookieKnown(hash []byte, frontID string, now time.Time) (known bool, err error) {
	err = q.r.QueryRow(`SELECT COUNT(*) > 0 FROM device WHERE hash = $1 AND front_id = $2 AND expires_at > $3`, hash, frontID, micros(now)).Scan(&known)
	return known, err
}

// RememberDevice makes the browser known for the account, or renews that, and
// forgets the account's browsers beyond identity.DevicesPerAccount, those seen
// longest ago first, with their lanes.
func (tx *Tx) RememberDevice(d identity.Device) error {
	err := tx.exec(`INSERT INTO device (`+deviceColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (hash, account_id, front_id) DO UPDATE SET seen_at = excluded.seen_at, expires_at = excluded.expires_at, browser = excluded.browser`,
		d.ID, d.Hash, d.AccountID, d.FrontID, d.Browser, micros(d.CreatedAt), micros(d.SeenAt), micros(d.ExpiresAt))
	if err != nil {
		return err
	}
	var surplus []string
	err = tx.r.Each(`SELECT id FROM device WHERE account_id = $1 ORDER BY seen_at DESC, id DESC LIMIT 100 OFFSET $2`,
		[]any{d.AccountID, identity.DevicesPerAccount}, func(row sqldb.Row) error {
			var id string
			err := row.Scan(&id)
			surplus = append(surplus, id)
			return err
		})
	if err != nil {
		return err
	}
	for _, id := range surplus {
		if err := tx.ForgetDevice(d.AccountID, id); err != nil {
			return err
		}
	}
	return nil
}

// ForgetDevice makes a browser unknown again for the account.
func (tx *Tx) ForgetDevice(accountID, deviceID string) error {
	if err := tx.exec(`DELETE FROM device WHERE id = $1 AND account_id = $2`, deviceID, accountID); err != nil {
		return err
	}
	return tx.exec(`DELETE FROM lane WHERE subject = $1 AND lane = $2`, accountID, deviceID)
}
