package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"simplon/identity"
	"simplon/secret"
	"simplon/storage"
	"simplon/web"
)

// prefixSetup marks set-up links.
const prefixSetup = "smp_su_"

// SetupLink is a one-time address at which somebody becomes administrator.
type SetupLink struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
}

// NeedsSetup tells whether there is no administrator yet.
func (a *Acts) NeedsSetup() (bool, error) {
	n, err := a.DB.Administrators()
	return n == 0, err
}

// NewSetupLink makes a set-up link and ends the ones before it. Without
// emergency it is refused once there is an administrator; with it, it makes a
// further one and touches no account there is.
func (a *Acts) NewSetupLink(ctx context.Context, actor string, emergency bool) (SetupLink, error) {
	token := a.Source.Token(prefixSetup).Reveal()
	e, err := a.event(identity.EventSetupLinkMade, actor)
	if err != nil {
		return SetupLink{}, err
	}
	now := a.Now()
	link := identity.SetupLink{Hash: secret.Digest(token), Emergency: emergency, CreatedAt: now, ExpiresAt: now.Add(a.LinkLife)}
	err = a.DB.Tx(ctx, func(tx *storage.Tx) error {
		n, err := tx.Administrators()
		if err != nil {
			return err
		}
		if n > 0 && !emergency {
			return refuse("there is an administrator already; with --emergency the link makes a further one")
		}
		if err := tx.CreateSetupLink(link); err != nil {
			return err
		}
		return tx.Record(e)
	})
	return SetupLink{URL: a.Issuer + "/setup/" + token, ExpiresAt: link.ExpiresAt}, err
}

// Setup answers the set-up link.
type Setup struct {
	Acts *Acts
	Site *web.Site
	// Spent, if set, is called after a link was spent, so that the file it stood
	// in can go.
	Spent func()
}

// Mount registers the routes.
func (s *Setup) Mount(mux *http.ServeMux) {
	mux.Handle("GET /setup/{token}", s.Site.Page(s.show))
	mux.Handle("POST /setup/{token}", s.Site.Page(s.make))
}

// usable loads the link of the request, or says why it opens nothing. It spends
// nothing.
func (s *Setup) usable(r *http.Request) (hash []byte, err error) {
	token := r.PathValue("token")
	if !strings.HasPrefix(token, prefixSetup) || len(token) > 100 {
		return nil, &web.Error{Status: http.StatusNotFound, Key: "not-found"}
	}
	hash = secret.Digest(token)
	link, err := s.Acts.DB.SetupLink(hash)
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return nil, &web.Error{Status: http.StatusNotFound, Key: "not-found"}
	case err != nil:
		return nil, err
	case !link.SpentAt.IsZero():
		key := "setup-used"
		if needed, err := s.Acts.NeedsSetup(); err == nil && needed {
			key = "setup-expired" // nobody used it: a newer link took its place
		}
		return nil, &web.Error{Status: http.StatusGone, Key: key}
	case !s.Acts.Now().Before(link.ExpiresAt):
		return nil, &web.Error{Status: http.StatusGone, Key: "setup-expired"}
	case link.Emergency:
		return hash, nil
	}
	needed, err := s.Acts.NeedsSetup()
	if err == nil && !needed {
		return nil, &web.Error{Status: http.StatusGone, Key: "setup-used"}
	}
	return hash, err
}

func (s *Setup) show(w http.ResponseWriter, r *http.Request) error {
	if _, err := s.usable(r); err != nil {
		return err
	}
	return s.Site.Render(w, r, http.StatusOK, s.page(r))
}

func (s *Setup) page(r *http.Request) web.SetupPage {
	return web.SetupPage{Action: r.URL.Path, Host: s.host(), Least: s.Acts.MinLen}
}

// problem shows the form again with what was typed, but for the password.
func (s *Setup) problem(w http.ResponseWriter, r *http.Request, key string) error {
	page := s.page(r)
	page.Login, page.Name = r.PostForm.Get("login"), r.PostForm.Get("name")
	page.Problem, page.ProblemID = key, web.RequestID(r.Context())
	return s.Site.Render(w, r, http.StatusUnprocessableEntity, page)
}

func (s *Setup) host() string {
	u, err := url.Parse(s.Acts.Issuer)
	if err != nil {
		return s.Acts.Issuer
	}
	return u.Host
}

// make spends the link in the transaction that inserts the administrator.
func (s *Setup) make(w http.ResponseWriter, r *http.Request) error {
	hash, err := s.usable(r)
	if err != nil {
		return err
	}
	account, err := s.administrator(r, r.PostForm.Get("login"), r.PostForm.Get("name"))
	if problem := problemOf(err); problem != "" {
		return s.problem(w, r, problem)
	}
	if err == nil {
		err = s.Acts.insertAdministrator(r.Context(), hash, account, web.ClientIP(r).String(), web.RequestID(r.Context()))
	}
	switch {
	case errors.Is(err, secret.ErrBusy), errors.Is(err, storage.ErrBusy):
		return &web.Error{Status: http.StatusServiceUnavailable, Key: "busy", Err: err, RetryAfter: 5 * time.Second}
	case errors.Is(err, errSpent):
		return &web.Error{Status: http.StatusGone, Key: "setup-used"}
	case errors.Is(err, storage.ErrTaken):
		return s.problem(w, r, "address-taken")
	case err != nil:
		return err
	}
	if s.Spent != nil {
		s.Spent()
	}
	web.AddLog(r, slog.String("account", account.ID))
	return s.Site.Render(w, r, http.StatusOK, web.SetupDonePage{SignInURL: "/"})
}

var errSpent = errors.New("console: set-up link spent")

// insertAdministrator spends the link and inserts the account, both or neither.
// A plain link stops working once there is an administrator, however it came.
func (a *Acts) insertAdministrator(ctx context.Context, hash []byte, account identity.Account, address, requestID string) error {
	e, err := a.event(identity.EventSetupLinkSpent, "setup-link")
	if err != nil {
		return err
	}
	e.AccountID, e.Address, e.RequestID = account.ID, address, requestID
	return a.DB.TxOn(ctx, "setup", func(tx *storage.Tx) error {
		link, err := tx.SetupLink(hash)
		if err != nil {
			return err
		}
		n, err := tx.Administrators()
		if err != nil {
			return err
		}
		if n > 0 && !link.Emergency {
			return errSpent
		}
		spent, err := tx.SpendSetupLink(hash, a.Now())
		if err != nil {
			return err
		}
		if !spent {
			return errSpent
		}
		if err := tx.CreateAccount(account); err != nil {
			return err
		}
		return tx.Record(e)
	})
}

func (s *Setup) administrator(r *http.Request, login, name string) (identity.Account, error) {
	clean, ok := identity.CleanName(name)
	if !ok || clean == "" {
		return identity.Account{}, errName
	}
	password := secret.Text(r.PostForm.Get("password"))
	if password.Reveal() == "" {
		return identity.Account{}, identity.ErrPasswordMissing
	}
	given, family := clean, ""
	if i := strings.LastIndexByte(clean, ' '); i > 0 {
		given, family = clean[:i], clean[i+1:]
	}
	account, err := s.Acts.prepare(r.Context(), NewAccount{Login: login, GivenName: given, FamilyName: family, Password: password, Administrator: true})
	if err != nil {
		return account, fmt.Errorf("console: administrator: %w", err)
	}
	return account, nil
}

// problemOf names the catalogue key of a rule's refusal, "" for other errors.
func problemOf(err error) string {
	for _, known := range []error{errName, identity.ErrPasswordMissing, identity.ErrPasswordShort, identity.ErrPasswordLong, identity.ErrPasswordCommon} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	if errors.Is(err, identity.ErrLogin) {
		return "address-invalid"
	}
	return ""
}
