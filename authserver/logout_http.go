package authserver

import (
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"simplon/identity"
	"simplon/secret"
	"simplon/storage"
	"simplon/web"
)

// home is the page at "/": who is signed in, with the way out; else the way in.
func (s *Server) home(w http.ResponseWriter, r *http.Request) error {
	epoch, err := s.DB.Epoch()
	if err != nil {
		return err
	}
	session, account, err := s.session(r, epoch, identity.SignIn{})
	if err != nil {
		return err
	}
	if session == nil && s.Site.KnownBrowser(r) == "" {
		// A visitor without cookies is a probe, or has them off: no row for it.
		if r.URL.Query().Has("begin") {
			return &web.Error{Status: http.StatusBadRequest, Key: "cookies-off"}
		}
		s.Site.Browser(w, r)
		http.Redirect(w, r, "/?begin", http.StatusSeeOther)
		return nil
	}
	if session == nil {
		signIn, err := s.newSignIn(r, s.Site.Browser(w, r), "", identity.Request{})
		if err != nil {
			return err
		}
		return s.begin(w, r, signIn)
	}
	web.AddLog(r, slog.String("account", account.ID))
	return s.Site.Render(w, r, http.StatusOK, web.HomePage{
		Account: account.Login, Name: account.Name(), Since: session.CreatedAt, Administrator: account.Administrator, SignOutAction: "/sign-out"})
}

// signOut ends the browser's sessions from our own page.
func (s *Server) signOut(w http.ResponseWriter, r *http.Request) error {
	if err := s.endBrowser(w, r); err != nil {
		return err
	}
	return s.Site.Render(w, r, http.StatusOK, web.SignedOutPage{})
}

// endBrowser ends every session that the browser's cookie opens.
func (s *Server) endBrowser(w http.ResponseWriter, r *http.Request) error {
	cookie := s.Site.Cookie(r, cookieSession)
	s.Site.DropCookie(w, cookieSession)
	if cookie == "" {
		return nil
	}
	held, err := s.DB.SessionsInSet(secret.Digest(cookie), s.Now())
	if err != nil {
		return err
	}
	for _, session := range held {
		e, err := s.event(r, identity.EventSignedOut)
		if err != nil {
			return err
		}
		e.AccountID, e.SessionID = session.AccountID, session.ID
		err = s.DB.Tx(r.Context(), func(tx *storage.Tx) error {
			ended, err := tx.EndSession(session.ID, s.Now())
			if err != nil || !ended {
				return err
			}
			return tx.Record(e)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// logout is a checked request to sign out (OpenID Connect RP-Initiated Logout
// 1.0, section 2).
type logout struct {
	client *identity.Client
	hint   idTokenHint
	target string // where to go afterwards, with state; "" for nowhere
}

// endSession answers an application's wish to sign the person out. An ID token
// of the session that this browser holds proves that the application may; in
// every other case the person is asked.
func (s *Server) endSession(w http.ResponseWriter, r *http.Request) error {
	raw, err := s.rawParams(r)
	if err != nil {
		return err
	}
	p, duplicate, err := parseParams(raw)
	if err != nil || duplicate != "" {
		return &web.Error{Status: http.StatusBadRequest, Key: "bad-request", Err: err, Field: duplicate}
	}
	r = web.WithLang(r, p["ui_locales"])
	out, err := s.checkLogout(r, p)
	if err != nil {
		return err
	}
	epoch, err := s.DB.Epoch()
	if err != nil {
		return err
	}
	session, account, err := s.session(r, epoch, identity.SignIn{SessionID: out.hint.Session})
	if err != nil {
		return err
	}
	if session != nil && session.ID != out.hint.Session {
		page := web.SignOutPage{Action: "/end_session/confirm", Account: account.Login}
		if out.client != nil {
			page.Gate = web.Gate{Client: out.client.Name, ClientURL: out.client.HomeURL}
		}
		for _, name := range []string{"client_id", "id_token_hint", "post_logout_redirect_uri", "state"} {
			if p[name] != "" {
				page.Hidden = append(page.Hidden, web.Field{Name: name, Value: p[name]})
			}
		}
		return s.Site.Render(w, r, http.StatusOK, page)
	}
	if err := s.endBrowser(w, r); err != nil {
		return err
	}
	return s.signedOut(w, r, out, false)
}

// endSessionConfirmed is the person's answer to the question of endSession.
func (s *Server) endSessionConfirmed(w http.ResponseWriter, r *http.Request) error {
	p, duplicate, err := single(r.PostForm)
	if err != nil || duplicate != "" {
		return &web.Error{Status: http.StatusBadRequest, Key: "bad-request", Err: err, Field: duplicate}
	}
	out, err := s.checkLogout(r, p)
	if err != nil {
		return err
	}
	if p["decision"] != "sign-out" {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return nil
	}
	if err := s.endBrowser(w, r); err != nil {
		return err
	}
	return s.signedOut(w, r, out, true)
}

func (s *Server) signedOut(w http.ResponseWriter, r *http.Request, out logout, afterForm bool) error {
	var gate web.Gate
	if out.client != nil {
		gate = web.Gate{Client: out.client.Name, ClientURL: out.client.HomeURL}
	}
	switch {
	case out.target == "":
		return s.Site.Render(w, r, http.StatusOK, web.SignedOutPage{Gate: gate})
	case afterForm:
		return s.Site.Render(w, r, http.StatusOK, web.ContinuePage{Gate: gate, URL: out.target})
	}
	w.Header().Set("Location", out.target)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// checkLogout checks what an application sent. The address to go to must be
// registered, byte by byte, for the client that the hint or client_id names;
// anything else is a page of ours, never a redirect (A2).
func (s *Server) checkLogout(r *http.Request, p params) (logout, error) {
	var out logout
	bad := func(field string, cause error) (logout, error) {
		return logout{}, &web.Error{Status: http.StatusBadRequest, Key: "bad-request", Field: field, Err: cause}
	}
	id := p["client_id"]
	if hint := p["id_token_hint"]; hint != "" {
		var err error
		if out.hint, err = s.Keys.parseHint(r.Context(), s.Issuer, hint); err != nil {
			if !errors.Is(err, ErrJWT) {
				return out, err
			}
			return bad("id_token_hint", err)
		}
		if id == "" && len(out.hint.Audience) == 1 {
			id = out.hint.Audience[0]
		}
		if id != "" && !slices.Contains(out.hint.Audience, id) {
			return bad("client_id", nil)
		}
	}
	if id != "" {
		client, err := s.DB.Client(id)
		if errors.Is(err, storage.ErrNotFound) || err == nil && client.FrontID != s.Front.ID {
			return logout{}, &web.Error{Status: http.StatusBadRequest, Key: "unknown-client"}
		}
		if err != nil {
			return out, err
		}
		out.client = &client
		web.AddLog(r, slog.String("client", client.ID))
	}
	target := p["post_logout_redirect_uri"]
	if target == "" {
		return out, nil
	}
	if out.client == nil || !slices.Contains(out.client.PostLogoutURIs, target) {
		return bad("post_logout_redirect_uri", nil)
	}
	out.target = target
	if p["state"] != "" {
		out.target = appendQuery(target, url.Values{"state": {p["state"]}})
	}
	if strings.ContainsAny(out.target, "\r\n") {
		return bad("state", nil)
	}
	return out, nil
}
