package storage

import (
	"errors"
	"time"

	"simplon/identity"
	"simplon/sqldb"
)

const clientColumns = `id, front_id, org_id, name, kind, auth, secret_hash, redirect_uris, post_logout_uris, scopes,
	grant_types, first_party, pkce_optional, id_token_alg, home_url, disabled_at, created_at, updated_at`

func scanClient(row sqldb.Row) (c identity.Client, err error) {
	var redirects, logouts, scopes, grants string
	var disabled, created, updated int64
	err = row.Scan(&c.ID, &c.FrontID, &c.OrgID, &c.Name, &c.Kind, &c.Auth, &c.SecretHash, &redirects, &logouts, &scopes,
		&grants, &c.FirstParty, &c.PKCEOptional, &c.IDTokenAlg, &c.HomeURL, &disabled, &created, &updated)
	if err != nil {
		return c, found(err)
	}
	for from, to := range map[*string]*[]string{&redirects: &c.RedirectURIs, &logouts: &c.PostLogoutURIs, &scopes: &c.Scopes, &grants: &c.GrantTypes} {
		if *to, err = fromList(*from); err != nil {
			return c, err
		}
	}
	c.DisabledAt, c.CreatedAt, c.UpdatedAt = fromMicros(disabled), fromMicros(created), fromMicros(updated)
	return c, nil
}

// Client returns the client with the id, or ErrNotFound.
func (q queries) Client(id string) (identity.Client, error) {
	return scanClient(q.r.QueryRow(`SELECT `+clientColumns+` FROM client WHERE id = $1`, id))
}

// Clients returns at most limit clients, oldest first, after the one given.
func (q queries) Clients(after time.Time, afterID string, limit int) ([]identity.Client, error) {
	var out []identity.Client
	err := q.r.Each(`SELECT `+clientColumns+` FROM client
		WHERE (created_at, id) > ($1, $2)
		ORDER BY created_at, id LIMIT $3`, []any{micros(after), afterID, limit}, func(row sqldb.Row) error {
		c, err := scanClient(row)
		out = append(out, c)
		return err
	})
	return out, err
}

// OriginRegistered tells whether any single-page application of the front has
// the origin; it answers CORS preflights, which name no client.
func (q queries) OriginRegistered(frontID, origin string) (yes bool, err error) {
	err = q.r.QueryRow(`SELECT COUNT(*) > 0 FROM client_origin o JOIN client c ON c.id = o.client_id
		WHERE o.origin = $1 AND c.front_id = $2 AND c.disabled_at = 0`, origin, frontID).Scan(&yes)
	return yes, err
}

// CreateClient inserts a client and its script origins.
func (tx *Tx) CreateClient(c identity.Client) error {
	err := tx.insertOnce(`INSERT INTO client (`+clientColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18) ON CONFLICT DO NOTHING`,
		c.ID, c.FrontID, c.OrgID, c.Name, string(c.Kind), string(c.Auth), c.SecretHash, list(c.RedirectURIs), list(c.PostLogoutURIs),
		list(c.Scopes), list(c.GrantTypes), c.FirstParty, c.PKCEOptional, c.IDTokenAlg, c.HomeURL,
		micros(c.DisabledAt), micros(c.CreatedAt), micros(c.UpdatedAt))
	if err != nil {
		return err
	}
	for _, uri := range c.RedirectURIs {
		origin := identity.Origin(uri)
		if !c.AllowsOrigin(origin) {
			continue
		}
		if err := tx.exec(`INSERT INTO client_origin (client_id, origin) VALUES ($1, $2) ON CONFLICT DO NOTHING`, c.ID, origin); err != nil {
			return err
		}
	}
	return nil
}

// SetClientSecret replaces the secret's digest. ErrNotFound where there is no
// such client with a secret.
func (tx *Tx) SetClientSecret(id string, hash []byte, now time.Time) error {
	ok, err := tx.changed(`UPDATE client SET secret_hash = $2, updated_at = $3 WHERE id = $1 AND secret_hash IS NOT NULL`, id, hash, micros(now))
	if err == nil && !ok {
		return ErrNotFound
	}
	return err
}

// Consent returns the scopes the account let the client have, empty for none.
func (q queries) Consent(accountID, clientID string) (identity.Scopes, error) {
	var scopes string
	err := found(q.r.QueryRow(`SELECT scopes FROM consent WHERE account_id = $1 AND client_id = $2`, accountID, clientID).Scan(&scopes))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return identity.ParseScopes(scopes), err
}

// GiveConsent remembers that the account let the client have the scopes, added
// to those it gave before.
func (tx *Tx) GiveConsent(accountID, clientID string, scopes identity.Scopes, now time.Time) error {
	before, err := tx.Consent(accountID, clientID)
	if err != nil {
		return err
	}
	all := identity.ParseScopes(before.String() + " " + scopes.String())
	return tx.exec(`INSERT INTO consent (account_id, client_id, scopes, given_at) VALUES ($1, $2, $3, $4)
		ON CONFLICT (account_id, client_id) DO UPDATE SET scopes = excluded.scopes, given_at = excluded.given_at`,
		accountID, clientID, all.String(), micros(now))
}
