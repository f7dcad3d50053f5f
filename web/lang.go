package web

import (
	"net/http"
	"net/url"
	"strings"

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
		if lang := s.texts.match(strings.ReplaceAll(locales, " ", ",")); lang != "" {
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

// menuTarget is the address a language link leads to: this page with all its
// other parameters, or, when this is the answer to a form, the page the form
// stood on (GET of the form's own address may not exist).
func menuTarget(r *http.Request, lang string) string {
	target, q := "", r.URL.Query()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		target, q = "/", url.Values{}
		if ref, err := url.Parse(r.Referer()); err == nil && ref.Host == r.Host {
			target, q = "/"+strings.TrimLeft(ref.EscapedPath(), "/"), ref.Query()
		}
	}
	q.Set(langParam, lang)
	return target + "?" + q.Encode()
}
