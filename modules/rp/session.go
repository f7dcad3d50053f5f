package rp

import (
	"crypto/sha256"
	"net/http"
	"sync"
	"time"
)

// maxCookie is the longest cookie value looked at, in bytes.
const maxCookie = 128

// Session is one person in one browser at this application. Its tokens never
// leave this package. It is safe for concurrent use.
type Session struct {
	key     string        // where it stands on the shelf
	refresh chan struct{} // holds one token: who has it may refresh

	mu           sync.Mutex
	facts        Facts
	access       string
	accessType   string
	refreshToken string
	idToken      string
	nonce        string
}

// Facts is what an application may know of a session. The maps and slices are
// shared: read them only.
type Facts struct {
	// Subject is the person's sub: stable, and never shown as a name.
	Subject string
	// SID is the session at the provider (claim sid), or "".
	SID string
	// AuthTime is when the person last proved themselves to the provider; zero
	// if the provider did not say.
	AuthTime time.Time
	// Scopes are those the access token has.
	Scopes []string
	// IDClaims are the claims of the newest ID token.
	IDClaims map[string]any
	// AccessExpires is when the access token ends; zero if not known.
	AccessExpires time.Time
	// Refreshable says that there is a refresh token.
	Refreshable bool
	// SignedIn is when the session began here.
	SignedIn time.Time
	// Asked is when the provider was last asked for this session by redirect;
	// a check that was begun and never came back counts.
	Asked time.Time
}

// Facts returns a copy of what is known now.
func (s *Session) Facts() Facts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.facts
}

func (s *Session) setAsked(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.facts.Asked = now
}

// Session returns the session of this browser, or nil.
func (a *App) Session(r *http.Request) *Session {
	id := oneCookie(r, a.cookieName("session"))
	if id == "" {
		return nil
	}
	s, _ := a.sessions.get(shelfKey(id))
	return s
}

// begin replaces whatever session the browser had: a session id from before a
// sign-in never survives it.
func (a *App) begin(w http.ResponseWriter, r *http.Request, s *Session) error {
	id, err := a.secret()
	if err != nil {
		return err
	}
	if old := a.Session(r); old != nil {
		a.sessions.drop(old.key)
	}
	s.key = shelfKey(id)
	a.sessions.put(s.key, s)
	a.setCookie(w, "session", id, a.path+"/", a.cfg.SessionLife)
	return nil
}

// End forgets the session of this browser, here only.
func (a *App) End(w http.ResponseWriter, r *http.Request) {
	if s := a.Session(r); s != nil {
		a.sessions.drop(s.key)
	}
	a.setCookie(w, "session", "", a.path+"/", -1)
}

// endOnly forgets this session and no other: the browser may have begun a new
// one while a silent request was under way.
func (a *App) endOnly(w http.ResponseWriter, r *http.Request, s *Session) {
	if s != nil && a.Session(r) == s {
		a.End(w, r)
	}
}

// shelfKey keeps the ids that browsers hold out of memory dumps, and makes the
// time a look-up takes say nothing about them.
func shelfKey(id string) string {
	sum := sha256.Sum256([]byte(id))
	return string(sum[:])
}

// cookieName is unique per application and use. __Host- would demand Path=/,
// and two applications share this host.
func (a *App) cookieName(use string) string {
	name := a.cfg.Name + "_" + use
	if a.cfg.Base.Scheme == "https" {
		return "__Secure-" + name
	}
	return name
}

// setCookie sets a cookie, or drops it when life is negative.
func (a *App) setCookie(w http.ResponseWriter, use, value, path string, life time.Duration) {
	maxAge := int(life / time.Second)
	if life < 0 {
		maxAge = -1
	}
	http.SetCookie(w, &http.Cookie{
		Name: a.cookieName(use), Value: value, Path: path, MaxAge: maxAge,
		HttpOnly: true, Secure: a.cfg.Base.Scheme == "https", SameSite: http.SameSiteLaxMode,
	})
}

// oneCookie returns a cookie's value, or "" when it is absent, too long, or
// sent twice with different values: then a neighbour on this host planted one.
func oneCookie(r *http.Request, name string) string {
	value := ""
	for i, c := range r.CookiesNamed(name) {
		if len(c.Value) > maxCookie || (i > 0 && c.Value != value) {
			return ""
		}
		value = c.Value
	}
	return value
}
