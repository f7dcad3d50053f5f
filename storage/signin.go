package storage

import (
	"encoding/json"
	"fmt"
	"time"

	"simplon/identity"
	"simplon/sqldb"
)

const signInColumns = `id, front_id, browser_hash, purpose, client_id, request, login, login_key, account_id, session_id,
	managing_org, via_connection, methods, auth_at, consented, refusal, seed, epoch, created_at, expires_at, closed_at`

func scanSignIn(row sqldb.Row) (s identity.SignIn, err error) {
	var request, methods string
	var auth, created, expires, closed int64
	err = row.Scan(&s.ID, &s.FrontID, &s.BrowserHash, &s.Purpose, &s.ClientID, &request, &s.Login, &s.LoginKey, &s.AccountID, &s.SessionID,
		&s.ManagingOrg, &s.ViaConnection, &methods, &auth, &s.Consented, &s.Refusal, &s.Seed, &s.Epoch, &created, &expires, &closed)
	if err != nil {
		return s, found(err)
	}
	if err := json.Unmarshal([]byte(request), &s.Request); err != nil {
		return s, fmt.Errorf("storage: sign-in request: %w", err)
	}
	s.Methods = words(methods)
	s.AuthAt, s.CreatedAt, s.ExpiresAt, s.ClosedAt = fromMicros(auth), fromMicros(created), fromMicros(expires), fromMicros(closed)
	return s, nil
}

// SignIn returns the sign-in with the id, or ErrNotFound.
func (q queries) SignIn(id string) (identity.SignIn, error) {
	return scanSignIn(q.r.QueryRow(`SELECT `+signInColumns+` FROM signin WHERE id = $1`, id))
}

// OpenSignIns counts the open sign-ins of a browser and of a network.
func (q queries) OpenSignIns(browserHash []byte, network string, now time.Time) (browser, net int, err error) {
	err = q.r.QueryRow(`SELECT
		(SELECT COUNT(*) FROM signin WHERE browser_hash = $1 AND closed_at = 0 AND expires_at > $3),
		(SELECT COUNT(*) FROM signin WHERE network = $2 AND closed_at = 0 AND expires_at > $3)`,
		browserHash, network, micros(now)).Scan(&browser, &net)
	return browser, net, err
}

// CreateSignIn inserts a sign-in that came from the network.
func (tx *Tx) CreateSignIn(s identity.SignIn, network string) error {
	request, err := json.Marshal(s.Request)
	if err != nil {
		return fmt.Errorf("storage: sign-in request: %w", err)
	}
	return tx.insertOnce(`INSERT INTO signin (`+signInColumns+`, network)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22) ON CONFLICT DO NOTHING`,
		s.ID, s.FrontID, s.BrowserHash, s.Purpose, s.ClientID, string(request), s.Login, s.LoginKey, s.AccountID, s.SessionID,
		s.ManagingOrg, s.ViaConnection, join(s.Methods), micros(s.AuthAt), s.Consented, s.Refusal, s.Seed, s.Epoch,
		micros(s.CreatedAt), micros(s.ExpiresAt), micros(s.ClosedAt), network)
}

// DropOldestSignIn deletes the browser's oldest open sign-in, so that a person
// with many tabs is never refused a new one and a browser never holds more rows
// than its cap.
func (tx *Tx) DropOldestSignIn(browserHash []byte, now time.Time) error {
	return tx.exec(`DELETE FROM signin WHERE closed_at = 0 AND id =
		(SELECT id FROM signin WHERE browser_hash = $1 AND closed_at = 0 AND expires_at > $2 ORDER BY created_at, id LIMIT 1)`,
		browserHash, micros(now))
}

// DropIdleSignIn deletes the oldest open sign-in of a network in which nobody
// typed an address yet. It answers false where there is none.
func (tx *Tx) DropIdleSignIn(network string, now time.Time) (bool, error) {
	return tx.changed(`DELETE FROM signin WHERE closed_at = 0 AND id =
		(SELECT id FROM signin WHERE network = $1 AND closed_at = 0 AND expires_at > $2 AND login_key = '' ORDER BY created_at, id LIMIT 1)`,
		network, micros(now))
}

// SetLogin stores the login address typed in an open sign-in; "" goes back to
// asking. It answers false where the sign-in is closed or has proved somebody.
func (tx *Tx) SetLogin(id, login, loginKey string) (bool, error) {
	return tx.changed(`UPDATE signin SET login = $2, login_key = $3
		WHERE id = $1 AND closed_at = 0 AND methods = '' AND refusal = ''`, id, login, loginKey)
}

// ProveSignIn stores who the person proved to be and the session that came of
// it. It answers false where the sign-in is closed, was meanwhile given another
// address, or belongs to another account by an earlier proof.
func (tx *Tx) ProveSignIn(s identity.SignIn) (bool, error) {
	return tx.changed(`UPDATE signin SET account_id = $2, session_id = $3, managing_org = $4, via_connection = $5, methods = $6, auth_at = $7
		WHERE id = $1 AND closed_at = 0 AND login_key = $8 AND (methods = '' OR account_id = $2)`,
		s.ID, s.AccountID, s.SessionID, s.ManagingOrg, s.ViaConnection, join(s.Methods), micros(s.AuthAt), s.LoginKey)
}

// SetConsented stores the answer that the account gave on the consent page:
// refusal is "" for yes. It answers false where the sign-in is closed or that
// account answered already.
func (tx *Tx) SetConsented(id, accountID, refusal string) (bool, error) {
	return tx.changed(`UPDATE signin SET consented = $3, refusal = $4, account_id = $2
		WHERE id = $1 AND closed_at = 0 AND refusal = '' AND (consented = FALSE OR account_id <> $2)
		AND (methods = '' OR account_id = $2)`, id, accountID, refusal == "", refusal)
}

// CloseSignIn ends a sign-in with the OAuth error that its client is told, "" for
// none; only the first of several calls answers true.
func (tx *Tx) CloseSignIn(id, refusal string, now time.Time) (bool, error) {
	return tx.changed(`UPDATE signin SET closed_at = $3, refusal = $2 WHERE id = $1 AND closed_at = 0`, id, refusal, micros(now))
}
