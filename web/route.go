package web

import (
	"net/http"
	"strings"
)

// pageCSP is the one policy of all pages (ui.md). %s is form-action.
const pageCSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"worker-src 'self'; manifest-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action %s; " +
	"require-trusted-types-for 'script'; trusted-types app"

// rawCSP is for answers that no browser should show as a page.
const rawCSP = "default-src 'none'; frame-ancestors 'none'"

// Opener policies. Applications open the sign-in in a pop-up and wait for it to
// come back (signinPopup of the browser libraries): measured in Chromium, every
// value but unsafe-none cuts that tie, same-origin-allow-popups included. Pages
// off the sign-in chain have no such guest.
const (
	coopPopups = "unsafe-none"
	coopStrict = "same-origin"
)

// Page makes a page route: strict policy, no-store, at most 64 KiB of body,
// and on unsafe methods the CSRF checks (forms must be urlencoded and carry
// the field csrf that Render put into the page). Errors become pages. When
// the handler runs, r.PostForm is filled for unsafe methods.
//
// Pages act by GET too (a sign-in begins, ends, goes on), so the handler sees
// neither HEAD (405) nor what a browser loads before anybody goes there (503).
func (s *Site) Page(h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, st := s.begin(r)
		st.kind = kindPage
		pageHeaders(w.Header(), "'self'", coopPopups)
		if speculative(r) {
			st.mu.Lock()
			st.speculative = true
			st.mu.Unlock()
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		if lang := s.menuLang(r); lang != "" && r.Method == http.MethodGet && lang != s.Cookie(r, langCookie) {
			s.SetCookie(w, langCookie, lang, longLife)
		}
		err := s.admit(w, r)
		if err == nil {
			err = h(w, r)
		}
		if err != nil {
			s.fail(w, r, err)
		}
	})
}

// speculative reports whether a browser only guesses that its person will go
// here (Fetch, section 3.8 "Sec-Purpose"; Purpose is the older name). Refused,
// the page is loaded for real when they do.
func speculative(r *http.Request) bool {
	purpose := strings.ToLower(r.Header.Get("Sec-Purpose") + " " + r.Header.Get("Purpose"))
	return strings.Contains(purpose, "prefetch") || strings.Contains(purpose, "prerender")
}

// CrossSite makes a page route that other sites post to (POST /authorize,
// POST /end_session): as Page, but no cookie is read or set and nothing is
// checked for CSRF, so it must change nothing that a person would notice.
func (s *Site) CrossSite(h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, st := s.begin(r)
		st.kind, st.noCookies = kindPage, true
		pageHeaders(w.Header(), "'self'", coopPopups)
		r.Body = http.MaxBytesReader(w, r.Body, s.cfg.MaxBody)
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	})
}

// Raw makes a protocol route: no cookie is read or set, nothing is checked for
// CSRF, errors become RFC 9457 problems. Answers are no-store until the
// handler says otherwise, and bodies end at Config.MaxBody.
func (s *Site) Raw(h Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r, st := s.begin(r)
		st.kind, st.noCookies = kindRaw, true
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Security-Policy", rawCSP)
		r.Body = http.MaxBytesReader(w, r.Body, s.cfg.MaxBody)
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	})
}
