package authserver

import (
	"errors"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"simplon/identity"
	"simplon/secret"
	"simplon/storage"
	"simplon/web"
)

func keysOf(v url.Values) iter.Seq[string] { return maps.Keys(v) }

// facts reads what identity.Next needs to know about a sign-in: its client, the
// browser's session and that session's account.
func (s *Server) facts(r *http.Request, signIn identity.SignIn) (identity.Facts, error) {
	var f identity.Facts
	var err error
	if f.Epoch, err = s.DB.Epoch(); err != nil {
		return f, err
	}
	if signIn.ClientID != "" {
		client, err := s.DB.Client(signIn.ClientID)
		if errors.Is(err, storage.ErrNotFound) {
			return f, &web.Error{Status: http.StatusBadRequest, Key: "unknown-client", Err: err}
		}
		if err != nil {
			return f, err
		}
		f.Client = &client
	}
	session, account, err := s.session(r, f.Epoch, signIn)
	if err != nil || session == nil {
		return f, err
	}
	f.Session, f.Account = session, account
	if f.Client != nil {
		f.Granted, err = s.DB.Consent(account.ID, f.Client.ID)
	}
	return f, err
}

// session returns the browser's live session that fits the sign-in best: the one
// it made, else the account that the client hinted at, else the one proved last.
// nil where there is none.
func (s *Server) session(r *http.Request, epoch int64, signIn identity.SignIn) (*identity.Session, *identity.Account, error) {
	cookie := s.Site.Cookie(r, cookieSession)
	if cookie == "" {
		return nil, nil, nil
	}
	now := s.Now()
	all, err := s.DB.SessionsInSet(secret.Digest(cookie), now)
	if err != nil {
		return nil, nil, err
	}
	var best *identity.Session
	for i := range all {
		c := &all[i]
		if !c.Live(s.Front.ID, epoch, now) {
			continue
		}
		if best == nil || c.ID == signIn.SessionID || best.ID != signIn.SessionID && c.AccountID == signIn.Request.HintSub {
			best = c
		}
	}
	if best == nil {
		return nil, nil, nil
	}
	account, err := s.DB.Account(best.AccountID)
	if err != nil {
		return nil, nil, err
	}
	if account.Disabled() {
		return nil, nil, nil
	}
	return best, &account, nil
}

// mine loads the sign-in of the request for the browser that started it, and
// nobody else.
func (s *Server) mine(r *http.Request, id string) (identity.SignIn, error) {
	if _, err := identity.ParseID(identity.KindSignIn, id); err != nil {
		return identity.SignIn{}, &web.Error{Status: http.StatusNotFound, Key: "not-found"}
	}
	browser := s.Site.KnownBrowser(r)
	if browser == "" {
		return identity.SignIn{}, &web.Error{Status: http.StatusBadRequest, Key: "cookies-off"}
	}
	signIn, err := s.DB.SignIn(id)
	if errors.Is(err, storage.ErrNotFound) {
		return signIn, &web.Error{Status: http.StatusGone, Key: "expired-sign-in"}
	}
	if err != nil {
		return signIn, err
	}
	if signIn.FrontID != s.Front.ID || !secret.Equal(signIn.BrowserHash, secret.Digest(browser)) {
		return signIn, &web.Error{Status: http.StatusForbidden, Key: "other-browser"}
	}
	web.AddLog(r, slog.String("signin", signIn.ID), slog.String("client", signIn.ClientID))
	return signIn, nil
}

// step shows the page of the sign-in's next step, whatever that is: the one
// place that every other handler sends the browser back to.
func (s *Server) step(w http.ResponseWriter, r *http.Request) error {
	signIn, err := s.mine(r, r.PathValue("id"))
	if err != nil {
		return err
	}
	facts, err := s.facts(r, signIn)
	if err != nil {
		return err
	}
	r = web.WithLang(r, signIn.Request.UILocales)
	switch decision := identity.Next(signIn, facts, s.Now()); decision.Step {
	case identity.StepLogin:
		return s.Site.Render(w, r, http.StatusOK, s.loginPage(signIn, facts))
	case identity.StepPassword:
		return s.Site.Render(w, r, http.StatusOK, s.passwordPage(signIn, facts))
	case identity.StepConsent:
		return s.Site.Render(w, r, http.StatusOK, s.consentPage(signIn, facts))
	case identity.StepDone, identity.StepRefuse:
		http.Redirect(w, r, "/continue?signin="+signIn.ID, http.StatusSeeOther)
		return nil
	case identity.StepClosed:
		return s.over("closed-sign-in", facts)
	default:
		return s.over("expired-sign-in", facts)
	}
}

// over is the error of a sign-in that goes no further, with the way to start
// again.
func (s *Server) over(key string, f identity.Facts) error {
	e := &web.Error{Status: http.StatusGone, Key: key, Action: &web.Link{URL: "/", Label: "action.home"}}
	if f.Client != nil {
		e.Args = map[string]string{"app": f.Client.Name}
		e.Action = nil
		if f.Client.HomeURL != "" {
			e.Action = &web.Link{URL: f.Client.HomeURL, Label: "action.start-again"}
		}
	}
	return e
}

func gate(f identity.Facts) web.Gate {
	if f.Client == nil {
		return web.Gate{}
	}
	return web.Gate{Client: f.Client.Name, ClientURL: f.Client.HomeURL}
}

func (s *Server) loginPage(signIn identity.SignIn, f identity.Facts) web.LoginPage {
	return web.LoginPage{Gate: gate(f), Action: "/signin/" + signIn.ID + "/login", Login: signIn.Login}
}

func (s *Server) passwordPage(signIn identity.SignIn, f identity.Facts) web.PasswordPage {
	base := "/signin/" + signIn.ID
	return web.PasswordPage{Gate: gate(f), Action: base + "/password", ChangeAction: base + "/change", Login: signIn.Login, Host: s.host()}
}

func (s *Server) consentPage(signIn identity.SignIn, f identity.Facts) web.ConsentPage {
	page := web.ConsentPage{Gate: gate(f), Action: "/signin/" + signIn.ID + "/consent", Account: f.Account.Login, AccountID: f.Account.ID}
	if u, err := url.Parse(signIn.Request.RedirectURI); err == nil {
		page.ClientHost = u.Host
		if page.ClientHost == "" {
			page.ClientHost = u.Scheme
		}
	}
	for _, scope := range signIn.Request.Scopes {
		page.Scopes = append(page.Scopes, web.ConsentScope{Name: scope})
	}
	return page
}

// open loads a sign-in for a POST and checks that the step is the one the form
// belongs to. Otherwise (back button, second tab) redirected tells that the
// browser was sent to the step that is due.
func (s *Server) open(w http.ResponseWriter, r *http.Request, want ...identity.Step) (signIn identity.SignIn, facts identity.Facts, redirected bool, err error) {
	if signIn, err = s.mine(r, r.PathValue("id")); err != nil {
		return signIn, facts, false, err
	}
	if facts, err = s.facts(r, signIn); err != nil {
		return signIn, facts, false, err
	}
	step := identity.Next(signIn, facts, s.Now()).Step
	for _, ok := range want {
		if step == ok {
			return signIn, facts, false, nil
		}
	}
	s.toStep(w, r, signIn.ID)
	return signIn, facts, true, nil
}

func (s *Server) toStep(w http.ResponseWriter, r *http.Request, id string) {
	http.Redirect(w, r, "/signin/"+id, http.StatusSeeOther)
}

// postLogin stores the address that was typed. It says nothing about whether
// anybody has it.
func (s *Server) postLogin(w http.ResponseWriter, r *http.Request) error {
	signIn, facts, redirected, err := s.open(w, r, identity.StepLogin, identity.StepPassword)
	if err != nil || redirected {
		return err
	}
	typed := strings.TrimSpace(r.PostForm.Get("login"))
	key, err := identity.LoginKey(typed)
	if err != nil {
		if len(typed) > 254 {
			typed = ""
		}
		page := s.loginPage(signIn, facts)
		page.Login, page.Problem, page.ProblemID = typed, "address-invalid", web.RequestID(r.Context())
		return s.Site.Render(w, web.WithLang(r, signIn.Request.UILocales), http.StatusUnprocessableEntity, page)
	}
	return s.setLogin(w, r, signIn.ID, typed, key)
}

// postChange goes back to the address, with what was typed still in the field.
func (s *Server) postChange(w http.ResponseWriter, r *http.Request) error {
	signIn, _, redirected, err := s.open(w, r, identity.StepLogin, identity.StepPassword)
	if err != nil || redirected {
		return err
	}
	return s.setLogin(w, r, signIn.ID, signIn.Login, "")
}

func (s *Server) setLogin(w http.ResponseWriter, r *http.Request, id, login, key string) error {
	err := s.DB.Tx(r.Context(), func(tx *storage.Tx) error {
		_, err := tx.SetLogin(id, login, key)
		return err
	})
	if err != nil {
		return err
	}
	s.toStep(w, r, id)
	return nil
}

// postConsent stores the person's answer.
func (s *Server) postConsent(w http.ResponseWriter, r *http.Request) error {
	signIn, facts, redirected, err := s.open(w, r, identity.StepConsent)
	if err != nil || redirected {
		return err
	}
	if r.PostForm.Get("account") != facts.Account.ID {
		// Somebody else signed in meanwhile, in another tab: ask that person.
		s.toStep(w, r, signIn.ID)
		return nil
	}
	decision := r.PostForm.Get("decision")
	if decision != "allow" && decision != "deny" {
		return &web.Error{Status: http.StatusBadRequest, Key: "bad-request", Field: "decision"}
	}
	kind, refusal := identity.EventConsentGiven, ""
	if decision == "deny" {
		kind, refusal = identity.EventConsentDenied, "access_denied"
	}
	e, err := s.event(r, kind)
	if err != nil {
		return err
	}
	e.AccountID, e.ClientID, e.SignInID, e.SessionID = facts.Account.ID, signIn.ClientID, signIn.ID, facts.Session.ID
	e.Detail = map[string]string{"scopes": signIn.Request.Scopes.String()}
	err = s.DB.Tx(r.Context(), func(tx *storage.Tx) error {
		answered, err := tx.SetConsented(signIn.ID, facts.Account.ID, refusal)
		if err != nil || !answered {
			return err
		}
		if refusal == "" {
			if err := tx.GiveConsent(facts.Account.ID, signIn.ClientID, signIn.Request.Scopes, s.Now()); err != nil {
				return err
			}
		}
		return tx.Record(e)
	})
	if err != nil {
		return err
	}
	s.toStep(w, r, signIn.ID)
	return nil
}

// retryAfter is how long a person is told to wait when the hash pool is full.
const retryAfter = 5 * time.Second
