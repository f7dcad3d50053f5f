package rp

import (
	"net/http"
	"net/url"
)

// SignOut forgets the session here and sends the browser to the provider to
// end it there (OpenID Connect RP-Initiated Logout 1.0), which sends it back
// to PostLogoutURI. On KindUnavailable the session here is over all the same
// and nothing has been written but the cookie. Without a session the browser
// is asked to sign out at the provider without a hint.
func (a *App) SignOut(w http.ResponseWriter, r *http.Request, locales string) error {
	hint := ""
	if s := a.Session(r); s != nil {
		s.mu.Lock()
		hint = s.idToken
		s.mu.Unlock()
	}
	a.End(w, r)
	p, err := a.provider.get(r.Context())
	if err != nil {
		return a.note(r.Context(), asError("sign out", err))
	}
	state, err := a.secret()
	if err != nil {
		return a.note(r.Context(), fail(KindUnavailable, "sign out", err))
	}
	to, err := url.Parse(p.endSession)
	if err != nil {
		return a.note(r.Context(), fail(KindUnavailable, "sign out", err))
	}
	q := to.Query()
	q.Set("client_id", a.cfg.ClientID)
	q.Set("post_logout_redirect_uri", a.PostLogoutURI())
	q.Set("state", state)
	if hint != "" {
		q.Set("id_token_hint", hint)
	}
	if locales != "" {
		q.Set("ui_locales", locales)
	}
	to.RawQuery = q.Encode()
	a.logouts.put(shelfKey(state), true)
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
	return nil
}

// SignedOut reports whether the browser came back from a SignOut of ours, once
// each. It changes nothing but that.
func (a *App) SignedOut(r *http.Request) bool {
	_, ok := a.logouts.take(shelfKey(r.URL.Query().Get("state")), func(bool) bool { return true })
	return ok
}
