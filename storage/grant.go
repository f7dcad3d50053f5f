package storage

import (
	"time"

	"simplon/identity"
	"simplon/sqldb"
)

const grantColumns = `id, front_id, account_id, client_id, session_id, managing_org, via_connection, scopes, methods, acr, auth_at,
	nonce, epoch, created_at, expires_at, revoked_at`

func scanGrant(row sqldb.Row) (g identity.Grant, err error) {
	var scopes, methods string
	var auth, created, expires, revoked int64
	err = row.Scan(&g.ID, &g.FrontID, &g.AccountID, &g.ClientID, &g.SessionID, &g.ManagingOrg, &g.ViaConnection, &scopes, &methods,
		&g.ACR, &auth, &g.Nonce, &g.Epoch, &created, &expires, &revoked)
	g.Scopes, g.Methods = identity.ParseScopes(scopes), words(methods)
	g.AuthAt, g.CreatedAt, g.ExpiresAt, g.RevokedAt = fromMicros(auth), fromMicros(created), fromMicros(expires), fromMicros(revoked)
	return g, found(err)
}

// Grant returns the grant with the id, live or not, or ErrNotFound.
func (q queries) Grant(id string) (identity.Grant, error) {
	return scanGrant(q.r.QueryRow(`SELECT `+grantColumns+` FROM grants WHERE id = $1`, id))
}

// CreateGrant inserts a grant.
func (tx *Tx) CreateGrant(g identity.Grant) error {
	return tx.insertOnce(`INSERT INTO grants (`+grantColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT DO NOTHING`,
		g.ID, g.FrontID, g.AccountID, g.ClientID, g.SessionID, g.ManagingOrg, g.ViaConnection, g.Scopes.String(), join(g.Methods),
		g.ACR, micros(g.AuthAt), g.Nonce, g.Epoch, micros(g.CreatedAt), micros(g.ExpiresAt), micros(g.RevokedAt))
}

// RevokeGrant ends a grant and everything under it; only the first of several
// calls answers true.
func (tx *Tx) RevokeGrant(id string, now time.Time) (bool, error) {
	return tx.changed(`UPDATE grants SET revoked_at = $2 WHERE id = $1 AND revoked_at = 0`, id, micros(now))
}

// TouchGrant remembers that the grant was used, at most once an hour.
func (tx *Tx) TouchGrant(id string, now time.Time) error {
	return tx.exec(`UPDATE grants SET used_at = $2 WHERE id = $1 AND used_at < $3`, id, micros(now), micros(now.Add(-time.Hour)))
}

const codeColumns = `hash, grant_id, front_id, account_id, client_id, session_id, managing_org, via_connection, scopes, methods, acr,
	auth_at, nonce, epoch, redirect_uri, challenge, created_at, expires_at, spent_at, forget_at`

// Code returns the code with the digest, spent or not, or ErrNotFound. Its
// Grant carries what redeeming it makes.
func (q queries) Code(hash []byte) (c identity.Code, err error) {
	g := &c.Grant
	var scopes, methods string
	var auth, created, expires, spent, forget int64
	err = q.r.QueryRow(`SELECT `+codeColumns+` FROM code WHERE hash = $1`, hash).Scan(&c.Hash, &g.ID, &g.FrontID, &g.AccountID, &g.ClientID,
		&g.SessionID, &g.ManagingOrg, &g.ViaConnection, &scopes, &methods, &g.ACR, &auth, &g.Nonce, &g.Epoch,
		&c.RedirectURI, &c.Challenge, &created, &expires, &spent, &forget)
	g.Scopes, g.Methods, g.AuthAt = identity.ParseScopes(scopes), words(methods), fromMicros(auth)
	c.CreatedAt, c.ExpiresAt, c.SpentAt, c.ForgetAt = fromMicros(created), fromMicros(expires), fromMicros(spent), fromMicros(forget)
	return c, found(err)
}

// CreateCode inserts a code. ErrTaken says that it exists already.
func (tx *Tx) CreateCode(c identity.Code) error {
	g := c.Grant
	return tx.insertOnce(`INSERT INTO code (`+codeColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) ON CONFLICT DO NOTHING`,
		c.Hash, g.ID, g.FrontID, g.AccountID, g.ClientID, g.SessionID, g.ManagingOrg, g.ViaConnection, g.Scopes.String(), join(g.Methods),
		g.ACR, micros(g.AuthAt), g.Nonce, g.Epoch, c.RedirectURI, c.Challenge, micros(c.CreatedAt), micros(c.ExpiresAt), micros(c.SpentAt), micros(c.ForgetAt))
}

// SpendCode spends a code that is neither spent nor expired, and remembers it
// until forget, so that a replay is recognised as long as anything it gave can
// live. Of several calls at once, on however many nodes, one answers true.
func (tx *Tx) SpendCode(hash []byte, now, forget time.Time) (bool, error) {
	return tx.changed(`UPDATE code SET spent_at = $2, forget_at = $3 WHERE hash = $1 AND spent_at = 0 AND expires_at > $2`,
		hash, micros(now), micros(forget))
}

// RefreshToken returns the token with the digest, spent or not, or ErrNotFound.
func (q queries) RefreshToken(hash []byte) (t identity.RefreshToken, err error) {
	var created, expires, spent int64
	err = q.r.QueryRow(`SELECT hash, grant_id, created_at, expires_at, spent_at FROM refresh_token WHERE hash = $1`, hash).
		Scan(&t.Hash, &t.GrantID, &created, &expires, &spent)
	t.CreatedAt, t.ExpiresAt, t.SpentAt = fromMicros(created), fromMicros(expires), fromMicros(spent)
	return t, found(err)
}

// CreateRefreshToken inserts a token. ErrTaken says that it exists already.
func (tx *Tx) CreateRefreshToken(t identity.RefreshToken) error {
	return tx.insertOnce(`INSERT INTO refresh_token (hash, grant_id, created_at, expires_at, spent_at)
		VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
		t.Hash, t.GrantID, micros(t.CreatedAt), micros(t.ExpiresAt), micros(t.SpentAt))
}

// SpendRefreshToken spends a token that is neither spent nor expired; of several
// calls at once, one answers true.
func (tx *Tx) SpendRefreshToken(hash []byte, now time.Time) (bool, error) {
	return tx.changed(`UPDATE refresh_token SET spent_at = $2 WHERE hash = $1 AND spent_at = 0 AND expires_at > $2`, hash, micros(now))
}
