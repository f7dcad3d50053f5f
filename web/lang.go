package web

import (
	"net/http"
	"net/url"

	"golang.org/x/text/language"
)

// langParam is the query parameter of the language menu.
const langParam = "ui_lang"

// maxLocales bounds what is parsed of a language list, in bytes.
const maxLocales = 256

// Lang returns the language of the answer, "en" or "de": the language menu's
// query parameter, then cookie lang, then the locales given to WithLang, then
// Accept-Language, else "en".
func (s *Site) Lang(r *http.Request) string {
	if lang := s.menuLang(r); lang != "" {
		return lang
	}
	if lang := s.Cookie(r, langCookie); s.texts.knows(lang) {
		return lang
	}
	if st := stateOf(r.Context()); st != nil {
		st.mu.Lock()
		locales := st.locales
		st.mu.Unlock()
		if lang := s.texts.match(spacesToCommas(locales)); lang != "" {
			return lang
		}
	}
	if lang := s.texts.match(r.Header.Get("Accept-Language")); lang != "" {
		return lang
	}
	return fallbackLang
}

// WithLang notes the ui_locales an application sent (OpenID Connect Core
// 3.1.2.1, separated by spaces) for the rest of this request.
func WithLang(r *http.Request, locales string) *http.Request {
	if st := stateOf(r.Context()); st != nil {
		st.mu.Lock()
		st.locales = locales
		st.mu.Unlock()
	}
	return r
}

func (s *Site) menuLang(r *http.Request) string {
	if r.URL.RawQuery == "" {
		return ""
	}
	if lang := r.URL.Query().Get(langParam); s.texts.knows(lang) {
		return lang
	}
	return ""
}

func spacesToCommas(s string) string {
	b := []byte(s)
	for i := range b {
		if b[i] == ' ' {
			b[i] = ','
		}
	}
	return string(b)
}

// match finds the best language for an Accept-Language value, or "".
func (c *catalogues) match(accept string) string {
	if accept == "" || len(accept) > maxLocales {
		return ""
	}
	// On an error the tags read so far still count: one bad tag of an
	// application should not cost the person their language.
	tags, _, _ := language.ParseAcceptLanguage(accept)
	if len(tags) == 0 {
		return ""
	}
	_, i, confidence := c.matcher.Match(tags...)
	if confidence == language.No {
		return ""
	}
	return c.langs[i]
}

// menuTarget is the address the language links lead to: this page, or, when
// this is the answer to a form, the page the form stood on.
func menuTarget(r *http.Request, lang string) string {
	u := r.URL
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		ref, err := url.Parse(r.Referer())
		if err != nil || ref.Host != r.Host {
			ref = &url.URL{Path: "/"}
		}
		u = ref
	}
	q := u.Query()
	q.Set(langParam, lang)
	return "?" + q.Encode()
}
