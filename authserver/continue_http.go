package authserver

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"simplon/identity"
	"simplon/secret"
	"simplon/storage"
	"simplon/web"
)

// answerAtOnce answers a client whose person need not be asked anything: the
// code is stored and the browser redirected, without a sign-in row.
func (s *Server) answerAtOnce(w http.ResponseWriter, r *http.Request, signIn identity.SignIn, f identity.Facts) error {
	code := s.Source.Token(prefixCode).Reveal()
	row, err := s.codeFor(signIn, f, code)
	if err != nil {
		return err
	}
	if err := s.DB.Tx(r.Context(), func(tx *storage.Tx) error { return tx.CreateCode(row) }); err != nil {
		return err
	}
	return s.respond(w, r, *f.Client, signIn.Request, url.Values{"code": {code}}, false)
}

// goOn is the last page of a sign-in: it closes the row, issues the code and
// sends the browser on to the application by a Refresh header and a link,
// because a form may not be redirected to another origin. The code is derived
// from the row, so that a reload after a lost answer shows the same one.
func (s *Server) goOn(w http.ResponseWriter, r *http.Request) error {
	signIn, err := s.mine(r, r.URL.Query().Get("signin"))
	if err != nil {
		return err
	}
	facts, err := s.facts(r, signIn)
	if err != nil {
		return err
	}
	r = web.WithLang(r, signIn.Request.UILocales)
	switch decision := identity.Next(signIn, facts, s.Now()); {
	case decision.Step == identity.StepDone:
		return s.finish(w, r, signIn, facts)
	case decision.Step == identity.StepRefuse:
		return s.refuseClient(w, r, signIn, facts, decision.Error)
	case decision.Step == identity.StepClosed && facts.Client != nil:
		return s.again(w, r, signIn, facts)
	}
	s.toStep(w, r, signIn.ID)
	return nil
}

// finish closes the row and issues its code, in one transaction.
func (s *Server) finish(w http.ResponseWriter, r *http.Request, signIn identity.SignIn, f identity.Facts) error {
	if f.Client == nil {
		err := s.DB.Tx(r.Context(), func(tx *storage.Tx) error {
			_, err := tx.CloseSignIn(signIn.ID, "", s.Now())
			return err
		})
		if err != nil {
			return err
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}
	code := s.derivedCode(signIn)
	row, err := s.codeFor(signIn, f, code)
	if err != nil {
		return err
	}
	closed := false
	err = s.DB.TxOn(r.Context(), "signin:"+signIn.ID, func(tx *storage.Tx) error {
		closed, err = tx.CloseSignIn(signIn.ID, "", s.Now())
		if err != nil || !closed {
			return err
		}
		return tx.CreateCode(row)
	})
	if err != nil {
		return err
	}
	if !closed {
		return s.again(w, r, signIn, f)
	}
	return s.respond(w, r, *f.Client, signIn.Request, url.Values{"code": {code}}, true)
}

// refuseClient closes the row and tells the client why it gets no code.
func (s *Server) refuseClient(w http.ResponseWriter, r *http.Request, signIn identity.SignIn, f identity.Facts, code string) error {
	err := s.DB.Tx(r.Context(), func(tx *storage.Tx) error {
		_, err := tx.CloseSignIn(signIn.ID, code, s.Now())
		return err
	})
	if err != nil {
		return err
	}
	if f.Client == nil {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}
	return s.respond(w, r, *f.Client, signIn.Request, url.Values{"error": {code}}, true)
}

// again answers a reload of the last page: the same answer while its code is
// unspent, else a page that says the sign-in is over.
func (s *Server) again(w http.ResponseWriter, r *http.Request, signIn identity.SignIn, f identity.Facts) error {
	if signIn.Refusal != "" {
		return s.respond(w, r, *f.Client, signIn.Request, url.Values{"error": {signIn.Refusal}}, true)
	}
	code := s.derivedCode(signIn)
	row, err := s.DB.Code(secret.Digest(code))
	if errors.Is(err, storage.ErrNotFound) || err == nil && (!row.SpentAt.IsZero() || !s.Now().Before(row.ExpiresAt)) {
		return s.over("continue-used", f)
	}
	if err != nil {
		return err
	}
	return s.respond(w, r, *f.Client, signIn.Request, url.Values{"code": {code}}, true)
}

// derivedCode is the code of a stored sign-in: a MAC of its id and its random
// seed, which only this server can compute.
func (s *Server) derivedCode(signIn identity.SignIn) string {
	mac := s.Ring.MAC("authorization-code", []byte(signIn.ID), signIn.Seed)
	return prefixCode + base64.RawURLEncoding.EncodeToString(mac)
}

// codeFor makes the row of a code: everything that redeeming it will grant.
func (s *Server) codeFor(signIn identity.SignIn, f identity.Facts, code string) (identity.Code, error) {
	now := s.Now()
	id, err := s.newID(identity.KindGrant)
	if err != nil {
		return identity.Code{}, err
	}
	if f.Session == nil || f.Client == nil {
		return identity.Code{}, fmt.Errorf("authserver: sign-in %s is done without session or client", signIn.ID)
	}
	return identity.Code{
		Hash: secret.Digest(code), RedirectURI: signIn.Request.RedirectURI, Challenge: signIn.Request.Challenge,
		CreatedAt: now, ExpiresAt: now.Add(s.TTL.Code), ForgetAt: now.Add(s.TTL.Code + time.Hour),
		Grant: identity.Grant{
			ID: id, FrontID: s.Front.ID, AccountID: f.Session.AccountID, ClientID: f.Client.ID, SessionID: f.Session.ID,
			ManagingOrg: f.Session.ManagingOrg, ViaConnection: f.Session.ViaConnection, Scopes: signIn.Request.Scopes,
			Methods: f.Session.Methods, ACR: f.Session.ACR, AuthAt: f.Session.AuthAt.Truncate(time.Second), Nonce: signIn.Request.Nonce,
			Epoch: f.Epoch,
		},
	}, nil
}
