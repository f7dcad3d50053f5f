package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"mime"
	"net/http"
	"strings"
)

// defaultMaxBody is the most a route reads where Config says nothing, in bytes
// (A38).
const defaultMaxBody = 64 << 10

// csrfField is the name of the hidden token field.
const csrfField = "csrf"

// csrfToken binds a form to the browser it was given to. Pages are never
// compressed, so the token needs no masking against BREACH.
func (s *Site) csrfToken(browser string) string {
	mac := hmac.New(sha256.New, s.cfg.CSRFKey)
	mac.Write([]byte("csrf\x00" + browser))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// admit checks an unsafe request before its handler sees it (A19): the
// browser's own word on where it comes from (Sec-Fetch-Site, else Origin),
// then the token. It parses the form, so handlers find r.PostForm filled.
func (s *Site) admit(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, s.cfg.MaxBody)
	switch r.Method {
	case http.MethodGet, http.MethodOptions:
		return nil
	case http.MethodHead:
		// ServeMux leads HEAD to the pattern of GET, so that is what there is.
		w.Header().Set("Allow", http.MethodGet)
		return &Error{Status: http.StatusMethodNotAllowed, Key: "method"}
	}
	if err := s.cross.Check(r); err != nil {
		return &Error{Status: http.StatusForbidden, Key: "forbidden", Err: err}
	}
	if err := parseForm(r); err != nil {
		return err
	}
	browser := s.KnownBrowser(r)
	if browser == "" {
		return &Error{Status: http.StatusForbidden, Key: "cookies-off", Err: errors.New("form without browser cookie")}
	}
	if !hmac.Equal([]byte(r.PostForm.Get(csrfField)), []byte(s.csrfToken(browser))) {
		return s.tokenMisfit(r)
	}
	return nil
}

// tokenMisfit says why a form's token is not this browser's. A page of ours
// always has one, so a wrong one in a request from our own origin was given to
// another browser cookie: two tabs came at once without one, each was given
// one, and the browser kept the later.
func (s *Site) tokenMisfit(r *http.Request) error {
	if r.PostForm.Get(csrfField) == "" || !s.fromOurOrigin(r) {
		return &Error{Status: http.StatusForbidden, Key: "forbidden", Err: errors.New("csrf token missing or wrong")}
	}
	return &Error{
		Status: http.StatusForbidden, Key: "other-tab", Err: errors.New("csrf token of another browser cookie"),
		Action: &Link{URL: "/", Label: "action.home"},
	}
}

// fromOurOrigin reports whether the browser says that a page of ours sent the
// request. It only chooses words: no request is let in for it.
func (s *Site) fromOurOrigin(r *http.Request) bool {
	if r.Header.Get("Sec-Fetch-Site") == "same-origin" {
		return true
	}
	scheme, host, ok := strings.Cut(r.Header.Get("Origin"), "://")
	return ok && scheme == s.cfg.Issuer.Scheme && s.canonicalHost(host) == s.canonicalHost(r.Host)
}

func parseForm(r *http.Request) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return &Error{Status: http.StatusUnsupportedMediaType, Key: "bad-request", Err: errors.New("form is not urlencoded")}
	}
	if err := r.ParseForm(); err != nil {
		var tooBig *http.MaxBytesError
		if errors.As(err, &tooBig) {
			return err
		}
		return &Error{Status: http.StatusBadRequest, Key: "bad-request", Err: err}
	}
	return nil
}
