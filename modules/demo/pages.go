package demo

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/text/language"
)

//go:embed static templates i18n
var files embed.FS

// pages holds templates, texts and static files. Immutable.
type pages struct {
	sets       map[string]*template.Template
	langs      []string // the fallback first
	texts      map[string]map[string]string
	matcher    language.Matcher
	style      []byte
	styleName  string // with a hash, so that it may be kept for ever
	faviconSVG []byte
}

// frame is what the templates see.
type frame struct {
	Lang  string
	App   *application
	Apps  []*application
	Style string
	View  any
	page  string
	texts *pages
}

// Path is the first part of an application's address.
func (a *application) Path() string { return a.path }

// Name is an application's name.
func (a *application) Name() string { return a.name }

func loadPages() (*pages, error) {
	p := &pages{sets: map[string]*template.Template{}, langs: []string{"en", "de"}, texts: map[string]map[string]string{}}
	for _, name := range []string{"front", "start", "home", "problem"} {
		set, err := template.ParseFS(files, "templates/frame.html", "templates/"+name+".html")
		if err != nil {
			return nil, err
		}
		p.sets[name] = set
	}
	var tags []language.Tag
	for _, lang := range p.langs {
		raw, err := files.ReadFile("i18n/" + lang + ".json")
		if err != nil {
			return nil, err
		}
		texts := map[string]string{}
		if err := json.Unmarshal(raw, &texts); err != nil {
			return nil, fmt.Errorf("texts %s: %w", lang, err)
		}
		p.texts[lang] = texts
		tags = append(tags, language.MustParse(lang))
	}
	p.matcher = language.NewMatcher(tags)
	var err error
	if p.style, err = files.ReadFile("static/style.css"); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(p.style)
	p.styleName = "style." + hex.EncodeToString(sum[:6]) + ".css"
	p.faviconSVG, err = files.ReadFile("static/favicon.svg")
	return p, err
}

// lang is the best language for a browser, "en" or "de".
func (p *pages) lang(r *http.Request) string {
	accept := r.Header.Get("Accept-Language")
	if len(accept) > 256 {
		return p.langs[0]
	}
	tags, _, _ := language.ParseAcceptLanguage(accept) // what was read before a bad tag counts
	_, i, _ := p.matcher.Match(tags...)
	return p.langs[i]
}

// T is the text of a key with its {names} filled from name, value pairs.
func (f *frame) T(key string, args ...string) (string, error) {
	text, ok := f.texts.texts[f.Lang][key]
	if !ok {
		return "", fmt.Errorf("no text %q in %q", key, f.Lang)
	}
	pairs := make([]string, 0, len(args))
	for i := 0; i+1 < len(args); i += 2 {
		pairs = append(pairs, "{"+args[i]+"}", args[i+1])
	}
	return strings.NewReplacer(pairs...).Replace(text), nil
}

// Title is the document's title.
func (f *frame) Title() (string, error) {
	if v, ok := f.View.(*problemView); ok {
		return f.T("problem." + v.Key + ".title")
	}
	if f.App != nil {
		return f.App.name, nil
	}
	return f.T("front.title")
}

// Wide says whether the page uses the whole width.
func (f *frame) Wide() bool { return f.page == "home" }

func (s *Site) render(w http.ResponseWriter, r *http.Request, status int, page string, app *application, view any) {
	f := &frame{
		Lang: s.pages.lang(r), App: app, Apps: s.apps, Style: "/static/" + s.pages.styleName,
		View: view, page: page, texts: s.pages,
	}
	var buf bytes.Buffer
	if err := s.pages.sets[page].ExecuteTemplate(&buf, "frame.html", f); err != nil {
		s.log.ErrorContext(r.Context(), "render page", "page", page, "error", err)
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", f.Lang)
	h.Set("Vary", "Accept-Language")
	h.Set("Content-Length", strconv.Itoa(buf.Len()))
	w.WriteHeader(status)
	if _, err := w.Write(buf.Bytes()); err != nil {
		s.log.DebugContext(r.Context(), "write page", "page", page, "error", err)
	}
}

func (p *pages) serveStatic(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("file") != p.styleName {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Write(p.style)
}

func (p *pages) serveFavicon(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "public, max-age=86400")
	w.Header().Set("Content-Type", "image/svg+xml")
	w.Write(p.faviconSVG)
}
