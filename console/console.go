// Package console owns administration: the acts of an operator (make an account,
// register an application, hand out a set-up link) and the pages for them. The
// command line and the admin socket call the same acts, so that there is one
// rule and one event for each.
//
// No act here changes the factors, contacts or proofs of an account that already
// exists: that is the person's own.
package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"simplon/identity"
	"simplon/secret"
	"simplon/storage"
)

// Acts are what an operator can do. They are safe for concurrent use.
type Acts struct {
	DB       *storage.DB
	Ring     *secret.Ring
	Source   *secret.Source
	Random   io.Reader
	Pool     *secret.Pool
	Now      func() time.Time
	Front    identity.Front
	Issuer   string
	MinLen   int           // characters of a new password
	LinkLife time.Duration // of a set-up link
	Algs     []string      // signing algorithms of this installation
}

// Refusal is an error whose text an operator may read as it is.
type Refusal struct {
	Text     string
	NotFound bool
}

// Error returns the text.
func (r *Refusal) Error() string { return r.Text }

func refuse(format string, args ...any) error { return &Refusal{Text: fmt.Sprintf(format, args...)} }

func (a *Acts) event(kind, actor string) (identity.Event, error) {
	id, err := identity.NewID(identity.KindEvent, a.Now(), a.Random)
	return identity.Event{ID: id, At: a.Now(), Kind: kind, Actor: actor}, err
}

// Account is what an operator sees of an account: never a secret (S13).
type Account struct {
	ID            string    `json:"id"`
	Login         string    `json:"login"`
	GivenName     string    `json:"given_name,omitempty"`
	FamilyName    string    `json:"family_name,omitempty"`
	Administrator bool      `json:"administrator"`
	HasPassword   bool      `json:"has_password"`
	Disabled      bool      `json:"disabled"`
	CreatedAt     time.Time `json:"created_at"`
}

func showAccount(a identity.Account) Account {
	return Account{ID: a.ID, Login: a.Login, GivenName: a.GivenName, FamilyName: a.FamilyName, Administrator: a.Administrator,
		HasPassword: len(a.SealedPassword) > 0, Disabled: a.Disabled(), CreatedAt: a.CreatedAt}
}

// NewAccount is an account to be made. Password may be empty: then nobody can
// sign in to it until recovery exists to give it one.
type NewAccount struct {
	Login         string      `json:"login"`
	GivenName     string      `json:"given_name"`
	FamilyName    string      `json:"family_name"`
	Password      secret.Text `json:"password"`
	Administrator bool        `json:"administrator"`
}

// prepare checks a new account and hashes its password. The errors are those of
// identity, so that a page can name the field.
func (a *Acts) prepare(ctx context.Context, n NewAccount) (identity.Account, error) {
	var account identity.Account
	n.Login = strings.TrimSpace(n.Login)
	key, err := identity.LoginKey(n.Login)
	if err != nil || !identity.DeliverableAddress(n.Login) {
		return account, identity.ErrLogin
	}
	given, ok := identity.CleanName(n.GivenName)
	family, ok2 := identity.CleanName(n.FamilyName)
	if !ok || !ok2 {
		return account, errName
	}
	id, err := identity.NewID(identity.KindAccount, a.Now(), a.Random)
	if err != nil {
		return account, err
	}
	now := a.Now()
	account = identity.Account{ID: id, Login: n.Login, LoginKey: key, GivenName: given, FamilyName: family,
		Administrator: n.Administrator, LoginVerified: true, CreatedAt: now, UpdatedAt: now}
	if n.Password.Reveal() == "" {
		return account, nil
	}
	if err := identity.CheckNewPassword(n.Password.Reveal(), a.MinLen, given, family, n.Login); err != nil {
		return account, err
	}
	ticket, err := a.Pool.Admit(ctx, true)
	if err != nil {
		return account, fmt.Errorf("console: admission: %w", err)
	}
	defer ticket.Release()
	encoded, err := ticket.Hash(identity.NormalPassword(n.Password.Reveal()))
	if err != nil {
		return account, fmt.Errorf("console: hash: %w", err)
	}
	account.SealedPassword = a.Ring.Seal(identity.PasswordContext(id), []byte(encoded))
	account.PasswordChangedAt = now
	return account, nil
}

var errName = errors.New("name-missing")

// CreateAccount makes an account. The operator vouches for the address.
func (a *Acts) CreateAccount(ctx context.Context, actor string, n NewAccount) (Account, error) {
	account, err := a.prepare(ctx, n)
	if err != nil {
		return Account{}, explain(err, a.MinLen)
	}
	e, err := a.event(identity.EventAccountCreated, actor)
	if err != nil {
		return Account{}, err
	}
	e.AccountID = account.ID
	err = a.DB.Tx(ctx, func(tx *storage.Tx) error {
		if err := tx.CreateAccount(account); err != nil {
			return err
		}
		return tx.Record(e)
	})
	if errors.Is(err, storage.ErrTaken) {
		return Account{}, refuse("an account with the login address %s exists already", account.Login)
	}
	return showAccount(account), err
}

// explain turns a rule's error into a sentence for an operator.
func explain(err error, minLen int) error {
	switch {
	case errors.Is(err, identity.ErrLogin):
		return refuse("the login address is not a valid e-mail address")
	case errors.Is(err, errName):
		return refuse("a name may have at most %d characters and no control characters", identity.MaxName)
	case errors.Is(err, identity.ErrPasswordShort), errors.Is(err, identity.ErrPasswordMissing):
		return refuse("the password must have at least %d characters", minLen)
	case errors.Is(err, identity.ErrPasswordLong):
		return refuse("the password must have at most %d bytes of UTF-8", identity.MaxPassword)
	case errors.Is(err, identity.ErrPasswordCommon):
		return refuse("the password is too easy to guess: it is made of common words, the person's own name or address, or a repeated pattern")
	}
	return err
}

// Accounts lists all accounts, oldest first.
func (a *Acts) Accounts(context.Context) ([]Account, error) {
	var out []Account
	var after time.Time
	var afterID string
	for {
		page, err := a.DB.Accounts(after, afterID, 500)
		if err != nil || len(page) == 0 {
			return out, err
		}
		for _, account := range page {
			out = append(out, showAccount(account))
		}
		last := page[len(page)-1]
		after, afterID = last.CreatedAt, last.ID
	}
}

// FindAccount returns the account with the id or login address.
func (a *Acts) FindAccount(_ context.Context, name string) (Account, error) {
	account, err := a.DB.Account(name)
	if errors.Is(err, storage.ErrNotFound) {
		key, keyErr := identity.LoginKey(name)
		if keyErr == nil {
			account, err = a.DB.AccountByLogin(key)
		}
	}
	if errors.Is(err, storage.ErrNotFound) {
		return Account{}, &Refusal{Text: fmt.Sprintf("no account %q", name), NotFound: true}
	}
	return showAccount(account), err
}
