package rp

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"
)

// Mode is what a round trip to the provider is for.
type Mode int

const (
	// ModeSignIn signs a person in and begins a session.
	ModeSignIn Mode = iota
	// ModeRenew asks without a page (prompt=none) for new tokens for the
	// session of this browser.
	ModeRenew
	// ModeCheck asks without a page whether the person of this session is still
	// signed in at the provider. Its tokens are thrown away.
	ModeCheck
)

// Ask is one request to the provider.
type Ask struct {
	Mode Mode
	// Prompt is sent with ModeSignIn when non-empty (Core section 3.1.2.1).
	Prompt string
	// Locales is the language to show pages in (ui_locales), or "".
	Locales string
}

// login is a round trip that is under way.
type login struct {
	browser  string // shelfKey of the login cookie's value
	mode     Mode
	nonce    string
	verifier string
	scopes   []string
	session  *Session // the one to renew or check
}

// SignIn sends the browser to the provider with 303. The browser gets a
// ten-minute cookie that the answer must come back with. ModeRenew and
// ModeCheck need a session and count as asked from now on.
//
// No id_token_hint is sent with prompt=none: it would put the person's claims
// into an address, and the answer's sub is compared here anyway.
func (a *App) SignIn(w http.ResponseWriter, r *http.Request, ask Ask) error {
	p, err := a.provider.get(r.Context())
	if err != nil {
		return a.note(r.Context(), asError("sign in", err))
	}
	l := &login{mode: ask.Mode, scopes: a.cfg.Scopes}
	opts := []oauth2.AuthCodeOption{}
	switch ask.Mode {
	case ModeRenew, ModeCheck:
		if l.session = a.Session(r); l.session == nil {
			return fail(KindEnded, "sign in", nil)
		}
		l.session.setAsked(a.cfg.Now())
		opts = append(opts, oauth2.SetAuthURLParam("prompt", "none"))
		if ask.Mode == ModeCheck {
			l.scopes = []string{"openid"}
		}
	default:
		if ask.Prompt != "" {
			opts = append(opts, oauth2.SetAuthURLParam("prompt", ask.Prompt))
		}
	}
	if ask.Locales != "" {
		opts = append(opts, oauth2.SetAuthURLParam("ui_locales", ask.Locales))
	}
	to, err := a.open(w, p, l, opts)
	if err != nil {
		return a.note(r.Context(), fail(KindUnavailable, "sign in", err))
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// open remembers a round trip and returns the address it begins at.
func (a *App) open(w http.ResponseWriter, p *provider, l *login, opts []oauth2.AuthCodeOption) (string, error) {
	var values [4]string
	for i := range values {
		var err error
		if values[i], err = a.secret(); err != nil {
			return "", err
		}
	}
	state, browser := values[0], values[1]
	l.browser, l.nonce, l.verifier = shelfKey(browser), values[2], values[3]
	opts = append(opts,
		oauth2.SetAuthURLParam("nonce", l.nonce),
		oauth2.SetAuthURLParam("scope", strings.Join(l.scopes, " ")),
		oauth2.S256ChallengeOption(l.verifier))
	to := rp.AuthURL(state, p.party, func() []oauth2.AuthCodeOption { return opts })
	a.logins.put(shelfKey(state), l)
	a.setCookie(w, loginCookie(state), browser, a.path+"/callback", loginLife)
	return to, nil
}

// loginCookie gives every round trip a cookie of its own, so that two tabs may
// sign in side by side.
func loginCookie(state string) string { return "login_" + state[:8] }

// Callback takes the provider's answer (GET, response mode query). An answer
// is good once, in the browser that asked, within ten minutes. Afterwards the
// session of this browser is new (ModeSignIn), renewed or confirmed. When the
// provider says that nobody, or somebody else, is signed in there, the session
// is dropped and KindEnded returned. The mode tells what had been asked for.
func (a *App) Callback(w http.ResponseWriter, r *http.Request) (Mode, error) {
	l, ans, err := a.answer(w, r)
	if err != nil {
		return ModeSignIn, a.note(r.Context(), asError("callback", err))
	}
	if ans.err != "" {
		err := a.refused(w, r, l, ans.err)
		return l.mode, a.note(r.Context(), err)
	}
	// A browser that goes away must not waste the code and what it bought.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), callTimeout)
	defer cancel()
	if err := a.redeem(ctx, w, r, l, ans.code); err != nil {
		if KindOf(err) == KindEnded {
			a.endOnly(w, r, l.session)
		}
		return l.mode, a.note(ctx, asError("callback", err))
	}
	return l.mode, nil
}

// answer finds the round trip that an answer belongs to and spends it.
func (a *App) answer(w http.ResponseWriter, r *http.Request) (*login, answer, error) {
	ans, err := parseAnswer(r.URL.RawQuery)
	if err != nil {
		return nil, ans, fail(KindState, "callback", err)
	}
	cookie := loginCookie(ans.state)
	browser := oneCookie(r, a.cookieName(cookie))
	if browser == "" {
		return nil, ans, fail(KindState, "callback", errors.New("login cookie missing"))
	}
	a.setCookie(w, cookie, "", a.path+"/callback", -1)
	l, ok := a.logins.take(shelfKey(ans.state), func(l *login) bool {
		return subtle.ConstantTimeCompare([]byte(l.browser), []byte(shelfKey(browser))) == 1
	})
	if !ok {
		return nil, ans, fail(KindState, "callback", errors.New("no open sign-in with this state in this browser"))
	}
	// RFC 9207 section 2.4. Our provider always sends iss, so one that is
	// missing is as wrong as another's.
	if ans.iss != a.cfg.Issuer {
		return nil, ans, fail(KindIssuer, "callback", errors.New("iss of the answer is missing or not our provider's"))
	}
	return l, ans, nil
}

// refused handles an error answer. A silent request that the provider did not
// confirm ends the session here, unless the provider only was not able to say.
func (a *App) refused(w http.ResponseWriter, r *http.Request, l *login, code string) *Error {
	e := &Error{Kind: KindRefused, Op: "authorize", Code: errorCode(code)}
	if l.mode == ModeSignIn {
		return e
	}
	switch e.Code {
	case "server_error", "temporarily_unavailable":
		e.Kind = KindUnavailable
	default:
		e.Kind = KindEnded
		a.endOnly(w, r, l.session)
	}
	return e
}

// redeem changes the code into tokens and these into a session.
func (a *App) redeem(ctx context.Context, w http.ResponseWriter, r *http.Request, l *login, code string) error {
	p, err := a.provider.get(ctx)
	if err != nil {
		return err
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, a.provider.client)
	token, err := p.oauth.Exchange(ctx, code, oauth2.VerifierOption(l.verifier))
	if err != nil {
		return tokenError("exchange code", err)
	}
	raw, _ := token.Extra("id_token").(string)
	proof, err := a.verify(ctx, p, raw, token.AccessToken, l.nonce)
	if err != nil {
		return fail(KindToken, "check ID token", err)
	}
	now := a.cfg.Now()
	if l.mode == ModeSignIn {
		s := &Session{refresh: make(chan struct{}, 1)}
		s.facts.SignedIn, s.facts.Asked = now, now
		s.prove(proof, raw, l.nonce)
		s.hold(token, l.scopes, now)
		if err := a.begin(w, r, s); err != nil {
			return fail(KindUnavailable, "begin session", err)
		}
		return nil
	}
	s := a.Session(r)
	if s == nil || s != l.session || s.Facts().Subject != proof.claims.Subject {
		return fail(KindEnded, "compare person", nil)
	}
	s.prove(proof, raw, l.nonce)
	if l.mode == ModeRenew {
		s.hold(token, l.scopes, now)
	}
	return nil
}

// prove takes over an ID token that was checked.
func (s *Session) prove(p *proof, raw, nonce string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idToken, s.nonce = raw, nonce
	s.facts.Subject, s.facts.SID, s.facts.IDClaims = p.claims.Subject, p.claims.SessionID, p.all
	s.facts.AuthTime = authTime(p.claims)
}

// hold takes over an access token and, if one came, its refresh token. A
// refresh token that is not replaced stays good (RFC 6749 section 6), and a
// scope that is not named is the one asked for (section 5.1).
func (s *Session) hold(t *oauth2.Token, asked []string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.access, s.accessType = t.AccessToken, t.Type()
	if t.RefreshToken != "" {
		s.refreshToken = t.RefreshToken
	}
	s.facts.Refreshable = s.refreshToken != ""
	s.facts.AccessExpires = time.Time{}
	if t.ExpiresIn > 0 {
		s.facts.AccessExpires = now.Add(time.Duration(t.ExpiresIn) * time.Second)
	}
	s.facts.Scopes = asked
	if granted, _ := t.Extra("scope").(string); granted != "" {
		s.facts.Scopes = strings.Fields(granted)
	}
}

func authTime(c *oidc.IDTokenClaims) time.Time {
	if c.AuthTime == 0 {
		return time.Time{}
	}
	return c.AuthTime.AsTime()
}

func asError(op string, err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return fail(KindUnavailable, op, err)
}

// answer is what the provider appended to our redirect URI.
type answer struct{ state, iss, code, err string }

// maxAnswerQuery bounds the query of a callback, in bytes.
const maxAnswerQuery = 8 << 10

// parseAnswer reads an authorization response (RFC 6749 section 4.1.2). A
// parameter of ours that comes twice is refused.
func parseAnswer(rawQuery string) (answer, error) {
	if len(rawQuery) > maxAnswerQuery {
		return answer{}, errors.New("answer too long")
	}
	q, err := url.ParseQuery(rawQuery)
	if err != nil {
		return answer{}, errors.New("answer malformed")
	}
	for _, name := range []string{"state", "iss", "code", "error"} {
		if len(q[name]) > 1 {
			return answer{}, errors.New("parameter " + name + " came twice")
		}
	}
	ans := answer{state: q.Get("state"), iss: q.Get("iss"), code: q.Get("code"), err: q.Get("error")}
	if len(ans.state) != 43 || strings.Trim(ans.state, base64URL) != "" {
		return answer{}, errors.New("state is not one of ours")
	}
	if (ans.code == "") == (ans.err == "") {
		return answer{}, errors.New("neither a code nor an error, or both")
	}
	return ans, nil
}

const base64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
