package web

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"mime"
	"net/http"
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
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
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
		return &Error{Status: http.StatusForbidden, Key: "forbidden", Err: errors.New("csrf token missing or wrong")}
	}
	return nil
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
