package storage

import (
	"time"

	"simplon/identity"
	"simplon/sqldb"
)

const accountColumns = `id, login, login_key, given_name, family_name, language, managing_org, administrator,
	login_verified, lock_threshold, password, password_changed_at, disabled_at, created_at, updated_at`

func scanAccount(row sqldb.Row) (a identity.Account, err error) {
	var changed, disabled, created, updated int64
	err = row.Scan(&a.ID, &a.Login, &a.LoginKey, &a.GivenName, &a.FamilyName, &a.Language, &a.ManagingOrg, &a.Administrator,
		&a.LoginVerified, &a.LockThreshold, &a.SealedPassword, &changed, &disabled, &created, &updated)
	a.PasswordChangedAt, a.DisabledAt = fromMicros(changed), fromMicros(disabled)
	a.CreatedAt, a.UpdatedAt = fromMicros(created), fromMicros(updated)
	return a, found(err)
}

// Account returns the account with the id, or ErrNotFound.
func (q queries) Account(id string) (identity.Account, error) {
	return scanAccount(q.r.QueryRow(`SELECT `+accountColumns+` FROM account WHERE id = $1`, id))
}

// AccountByLogin returns the account with the login key, or ErrNotFound.
func (q queries) AccountByLogin(loginKey string) (identity.Account, error) {
	return scanAccount(q.r.QueryRow(`SELECT `+accountColumns+` FROM account WHERE login_key = $1`, loginKey))
}

// Accounts returns at most limit accounts, oldest first, that come after the one
// given by creation time and id ("" and the zero time: from the start).
func (q queries) Accounts(after time.Time, afterID string, limit int) ([]identity.Account, error) {
	var out []identity.Account
	err := q.r.Each(`SELECT `+accountColumns+` FROM account
		WHERE (created_at, id) > ($1, $2)
		ORDER BY created_at, id LIMIT $3`, []any{micros(after), afterID, limit}, func(row sqldb.Row) error {
		a, err := scanAccount(row)
		out = append(out, a)
		return err
	})
	return out, err
}

// Administrators counts the accounts that may operate this installation and are
// not disabled.
func (q queries) Administrators() (n int, err error) {
	err = q.r.QueryRow(`SELECT COUNT(*) FROM account WHERE administrator AND disabled_at = 0`).Scan(&n)
	return n, err
}

// CreateAccount inserts an account. ErrTaken says that its login key is in use.
func (tx *Tx) CreateAccount(a identity.Account) error {
	return tx.insertOnce(`INSERT INTO account (`+accountColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING`,
		a.ID, a.Login, a.LoginKey, a.GivenName, a.FamilyName, a.Language, a.ManagingOrg, a.Administrator,
		a.LoginVerified, a.LockThreshold, a.SealedPassword, micros(a.PasswordChangedAt), micros(a.DisabledAt),
		micros(a.CreatedAt), micros(a.UpdatedAt))
}

// ReplacePasswordHash stores the same password under new hash parameters. It
// changes nothing when the password is no longer the one that was verified.
func (tx *Tx) ReplacePasswordHash(accountID string, old, sealed []byte) error {
	return tx.exec(`UPDATE account SET password = $3 WHERE id = $1 AND password = $2`, accountID, old, sealed)
}
