package web

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"time"
)

const (
	browserCookie = "b"
	langCookie    = "lang"
	// longLife is the longest life browsers grant a cookie.
	longLife = 400 * 24 * time.Hour
	// maxCookie is the longest value read, in bytes.
	maxCookie = 4096
	// browserBytes of randomness stand behind a browser id (144 bits).
	browserBytes = 18
)

// cookieName adds the __Host- prefix on https. Over http (loopback only) the
// names are plain, because most Safaris drop Secure cookies there.
func (s *Site) cookieName(name string) string {
	if s.https {
		return "__Host-" + name
	}
	return name
}

// Cookie returns the value of one of our cookies, or "" when it is absent,
// longer than 4096 bytes, or sent twice with different values (a sibling host
// planted one). On routes without cookies (Raw, CrossSite) it is always "".
func (s *Site) Cookie(r *http.Request, name string) string {
	if st := stateOf(r.Context()); st != nil && st.noCookies {
		return ""
	}
	value := ""
	for i, c := range r.CookiesNamed(s.cookieName(name)) {
		if len(c.Value) > maxCookie || (i > 0 && c.Value != value) {
			return ""
		}
		value = c.Value
	}
	return value
}

// SetCookie sets one of our cookies: HttpOnly, SameSite=Lax, Path=/, and on
// https Secure with the __Host- prefix. life is rounded down to seconds; 0
// means until the browser closes.
func (s *Site) SetCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	http.SetCookie(w, s.cookie(name, value, int(life/time.Second)))
}

// DropCookie tells the browser to forget one of our cookies.
func (s *Site) DropCookie(w http.ResponseWriter, name string) {
	http.SetCookie(w, s.cookie(name, "", -1))
}

func (s *Site) cookie(name, value string, maxAge int) *http.Cookie {
	return &http.Cookie{
		Name: s.cookieName(name), Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, Secure: s.https, SameSite: http.SameSiteLaxMode,
	}
}

// Browser returns the id of this browser (cookie b, 144 random bits,
// base64url) and makes and sets one for 400 days when it is absent or
// malformed. The id binds sign-ins and CSRF tokens; it never authenticates.
// Call it before the answer's header is written.
//
// Two first requests at the same time get two ids, and the browser keeps the
// later: nothing in them tells one browser's two tabs from two people behind
// one address or one proxy's connection, so nothing may join them. The form of
// the tab that lost is answered with other-tab.
func (s *Site) Browser(w http.ResponseWriter, r *http.Request) string {
	if id := s.KnownBrowser(r); id != "" {
		return id
	}
	raw := make([]byte, browserBytes)
	if _, err := io.ReadFull(s.cfg.Rand, raw); err != nil {
		// Without randomness nothing may go on: Outer answers 500.
		panic(fmt.Errorf("web: read randomness: %w", err))
	}
	id := base64.RawURLEncoding.EncodeToString(raw)
	if st := stateOf(r.Context()); st != nil {
		st.mu.Lock()
		st.browser = id
		st.mu.Unlock()
	}
	s.SetCookie(w, browserCookie, id, longLife)
	return id
}

// KnownBrowser returns the id this browser sent, or the one Browser made
// during this request, or "".
func (s *Site) KnownBrowser(r *http.Request) string {
	if st := stateOf(r.Context()); st != nil {
		st.mu.Lock()
		made := st.browser
		st.mu.Unlock()
		if made != "" {
			return made
		}
	}
	if id := s.Cookie(r, browserCookie); wellFormedBrowser(id) {
		return id
	}
	return ""
}

func wellFormedBrowser(id string) bool {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(id)
	return err == nil && len(raw) == browserBytes
}
