package storage

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"simplon/identity"
	"simplon/sqldb"
)

// Epoch returns the number that every session, grant and open sign-in carries.
// Restoring a backup raises it, which ends them all.
func (q queries) Epoch() (int64, error) {
	var s string
	if err := q.r.QueryRow(`SELECT value FROM meta WHERE key = 'epoch'`).Scan(&s); err != nil {
		return 0, found(err)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("storage: epoch: %w", err)
	}
	return n, nil
}

// Installed tells whether somebody began an installation in this database: its
// tables and the default front are there. It changes nothing and may be asked
// before Migrate.
func (db *DB) Installed() (bool, error) {
	query := `SELECT count(*) > 0 FROM sqlite_master WHERE type = 'table' AND name = 'front'`
	if db.Engine() == sqldb.Postgres {
		query = `SELECT to_regclass('front') IS NOT NULL`
	}
	var tables bool
	if err := db.sql.QueryRow(query).Scan(&tables); err != nil || !tables {
		return false, err
	}
	_, err := db.DefaultFront()
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// RingProof returns what the key ring of this installation sealed when it was
// begun, or ErrNotFound: a ring that does not open it is another one's.
func (q queries) RingProof() ([]byte, error) {
	var s string
	if err := q.r.QueryRow(`SELECT value FROM meta WHERE key = 'ring_proof'`).Scan(&s); err != nil {
		return nil, found(err)
	}
	sealed, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("storage: ring proof: %w", err)
	}
	return sealed, nil
}

// CreateRingProof stores the proof. Call it in the transaction that creates the
// default front. ErrTaken says that there is one.
func (tx *Tx) CreateRingProof(sealed []byte) error {
	return tx.insertOnce(`INSERT INTO meta (key, value) VALUES ('ring_proof', $1) ON CONFLICT DO NOTHING`,
		base64.StdEncoding.EncodeToString(sealed))
}

// FrontByIssuer returns the front with the issuer, or ErrNotFound.
func (q queries) FrontByIssuer(issuer string) (f identity.Front, err error) {
	var created int64
	err = q.r.QueryRow(`SELECT id, issuer, rp_id, org_id, created_at FROM front WHERE issuer = $1`, issuer).
		Scan(&f.ID, &f.Issuer, &f.RPID, &f.OrgID, &created)
	f.CreatedAt = fromMicros(created)
	return f, found(err)
}

// DefaultFront returns the front of no organisation, or ErrNotFound.
func (q queries) DefaultFront() (f identity.Front, err error) {
	var created int64
	err = q.r.QueryRow(`SELECT id, issuer, rp_id, org_id, created_at FROM front WHERE org_id = '' ORDER BY created_at, id LIMIT 1`).
		Scan(&f.ID, &f.Issuer, &f.RPID, &f.OrgID, &created)
	f.CreatedAt = fromMicros(created)
	return f, found(err)
}

// CreateFront inserts a front. ErrTaken says that its issuer has one.
func (tx *Tx) CreateFront(f identity.Front) error {
	return tx.insertOnce(`INSERT INTO front (id, issuer, rp_id, org_id, created_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING`,
		f.ID, f.Issuer, f.RPID, f.OrgID, micros(f.CreatedAt))
}

// MoveFront gives a front a new issuer URL.
func (tx *Tx) MoveFront(id, issuer string) error {
	return tx.exec(`UPDATE front SET issuer = $2 WHERE id = $1`, id, issuer)
}

// SigningKeys returns the active signing keys, one per algorithm.
func (q queries) SigningKeys() ([]identity.SigningKey, error) {
	var out []identity.SigningKey
	err := q.r.Each(`SELECT id, alg, private, created_at FROM signing_key WHERE state = 'active' ORDER BY created_at, id`, nil,
		func(row sqldb.Row) error {
			var k identity.SigningKey
			var created int64
			err := row.Scan(&k.ID, &k.Alg, &k.Private, &created)
			k.CreatedAt = fromMicros(created)
			out = append(out, k)
			return err
		})
	return out, err
}

// CreateSigningKey inserts the active key of its algorithm. ErrTaken says that
// there is one, made by another node at the same time: read it instead.
func (tx *Tx) CreateSigningKey(k identity.SigningKey) error {
	return tx.insertOnce(`INSERT INTO signing_key (id, alg, state, private, created_at) VALUES ($1, $2, 'active', $3, $4) ON CONFLICT DO NOTHING`,
		k.ID, k.Alg, k.Private, micros(k.CreatedAt))
}

// Record inserts an event. Call it in the transaction that makes it true.
func (tx *Tx) Record(e identity.Event) error {
	detail := ""
	if len(e.Detail) > 0 {
		out, err := json.Marshal(e.Detail)
		if err != nil {
			return fmt.Errorf("storage: event detail: %w", err)
		}
		detail = string(out)
	}
	return tx.insertOnce(`INSERT INTO event (id, at, kind, account_id, client_id, signin_id, session_id, actor, address, browser, request_id, detail)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) ON CONFLICT DO NOTHING`,
		e.ID, micros(e.At), e.Kind, e.AccountID, e.ClientID, e.SignInID, e.SessionID, e.Actor, e.Address, e.Browser, e.RequestID, detail)
}

// Events returns at most limit events of an account, newest first.
func (q queries) Events(accountID string, limit int) ([]identity.Event, error) {
	var out []identity.Event
	err := q.r.Each(`SELECT id, at, kind, account_id, client_id, signin_id, session_id, actor, address, browser, request_id, detail
		FROM event WHERE account_id = $1 ORDER BY at DESC, id DESC LIMIT $2`, []any{accountID, limit}, func(row sqldb.Row) error {
		var e identity.Event
		var at int64
		var detail string
		err := row.Scan(&e.ID, &at, &e.Kind, &e.AccountID, &e.ClientID, &e.SignInID, &e.SessionID, &e.Actor, &e.Address, &e.Browser, &e.RequestID, &detail)
		if err != nil {
			return err
		}
		e.At = fromMicros(at)
		if detail != "" {
			if err := json.Unmarshal([]byte(detail), &e.Detail); err != nil {
				return fmt.Errorf("storage: event detail: %w", err)
			}
		}
		out = append(out, e)
		return nil
	})
	return out, err
}
