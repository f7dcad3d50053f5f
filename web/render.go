package web

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

//go:embed templates/*.html
var templateFiles embed.FS

// View is one page. The structs of this package implement it; nobody else
// can, because a view belongs to a template here.
type View interface {
	// page returns the template's name and what the frame needs to know.
	page() pageInfo
}

// pageInfo is what a view tells the frame around it.
type pageInfo struct {
	name       string   // template file without .html
	title      string   // catalogue key of the document's title
	args       []string // of the title: name, value …
	wide       string   // "", "list" or "error": the card's width
	form       bool     // has a form of ours, so the browser needs an id
	transient  bool     // must not be reloaded: no language menu
	problem    bool     // a form that was not accepted
	strictCOOP bool     // not part of the sign-in chain
}

// headersView is a view that changes the page headers, or refuses to be shown
// because its address is not fit for one.
type headersView interface{ headers(http.Header) error }

// parseTemplates makes one set per page: the frame, the parts, the page.
func parseTemplates(st *static) (map[string]*template.Template, error) {
	frame, err := template.New("frame.html").Funcs(template.FuncMap{"asset": st.url}).
		ParseFS(templateFiles, "templates/frame.html", "templates/parts.html")
	if err != nil {
		return nil, err
	}
	names, err := templateFiles.ReadDir("templates")
	if err != nil {
		return nil, err
	}
	out := map[string]*template.Template{}
	for _, entry := range names {
		name := strings.TrimSuffix(entry.Name(), ".html")
		if name == "frame" || name == "parts" {
			continue
		}
		set, err := frame.Clone()
		if err != nil {
			return nil, err
		}
		if out[name], err = set.ParseFS(templateFiles, path.Join("templates", entry.Name())); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func pageHeaders(h http.Header, formAction, coop string) {
	h.Set("Content-Security-Policy", fmt.Sprintf(pageCSP, formAction))
	h.Set("Cross-Origin-Opener-Policy", coop)
	h.Set("Cache-Control", "no-store")
}

// Render writes a page. It adds the CSRF token (and the browser cookie it is
// bound to, if there is none yet) to views with forms, so call it before
// writing anything else. Nothing is written when an error is returned.
func (s *Site) Render(w http.ResponseWriter, r *http.Request, status int, v View) error {
	r, st := s.begin(r)
	info := v.page()
	set := s.templates[info.name]
	if set == nil {
		return fmt.Errorf("render: no template %q", info.name)
	}
	d := &frameData{V: v, Lang: s.Lang(r), Info: info, site: s}
	d.links(s, r)
	if info.form {
		if st.noCookies {
			return fmt.Errorf("render %s: a form on a route without cookies", info.name)
		}
		d.CSRF = s.csrfToken(s.Browser(w, r))
	}
	coop := coopPopups
	if info.strictCOOP {
		coop = coopStrict
	}
	pageHeaders(w.Header(), "'self'", coop)
	if h, ok := v.(headersView); ok {
		if err := h.headers(w.Header()); err != nil {
			return fmt.Errorf("render %s: %w", info.name, err)
		}
	}
	var buf bytes.Buffer
	if err := set.ExecuteTemplate(&buf, "frame.html", d); err != nil {
		return fmt.Errorf("render %s: %w", info.name, err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Language", d.Lang)
	w.Header().Set("Content-Length", strconv.Itoa(buf.Len()))
	w.WriteHeader(status)
	_, err := w.Write(buf.Bytes())
	if err != nil {
		return fmt.Errorf("render %s: write: %w", info.name, err)
	}
	return nil
}

// Card is the class of the card's width.
func (d *frameData) Card() string { return d.Info.wide }

// frameData is what templates see: `.` in the frame, `$` in parts and pages.
type frameData struct {
	V                View
	Lang, CSRF       string
	Info             pageInfo
	Languages        []langLink
	HelpURL, Privacy string
	site             *Site
}

// langLink is one entry of the language menu.
type langLink struct {
	Lang, URL string
	Current   bool
}

func (d *frameData) links(s *Site, r *http.Request) {
	d.HelpURL, d.Privacy = s.cfg.SupportContact, s.cfg.PrivacyURL
	if d.Info.transient {
		return
	}
	for _, lang := range s.texts.langs {
		d.Languages = append(d.Languages, langLink{lang, menuTarget(r, lang), lang == d.Lang})
	}
}

// Title is the document's title; a problem comes first, as it does in speech.
func (d *frameData) Title() string {
	title := d.T(d.Info.title, d.Info.args...)
	if d.Info.problem {
		return d.T("title.problem", "title", title)
	}
	return title
}

// T returns the text of a key; args are name, value, name, value …
func (d *frameData) T(key string, args ...string) string {
	return d.site.texts.text(d.Lang, key, pairs(args))
}

// Has reports whether the catalogues have a key.
func (d *frameData) Has(key string) bool { return d.site.texts.has(key) }

// TArgs is T with a map.
func (d *frameData) TArgs(key string, args map[string]string) string {
	return d.site.texts.text(d.Lang, key, args)
}

// TStrong is T with the values, escaped, in <b>.
func (d *frameData) TStrong(key string, args ...string) template.HTML {
	values := pairs(args)
	for name, value := range values {
		values[name] = "<b>" + template.HTMLEscapeString(value) + "</b>"
	}
	text := template.HTMLEscapeString(d.site.texts.text(d.Lang, key, nil))
	return template.HTML(fill(text, func(name string) (string, bool) { v, ok := values[name]; return v, ok }))
}

// TCode is T with every placeholder shown as code under its own name.
func (d *frameData) TCode(key string) template.HTML {
	text := template.HTMLEscapeString(d.site.texts.text(d.Lang, key, nil))
	return template.HTML(fill(text, func(name string) (string, bool) { return "<code>" + name + "</code>", true }))
}

// In reports a span of time in words, rounded up, for "try again in …".
func (d *frameData) In(span time.Duration) string {
	n, unit := wholeSeconds(span), "second"
	if n > 90 {
		n, unit = (n+59)/60, "minute"
	}
	if n != 1 {
		unit += "s"
	}
	return d.T("retry."+unit, "n", strconv.Itoa(n))
}

// Wait is the sentence on when to try again, or "".
func (d *frameData) Wait() string {
	if v, ok := d.V.(interface{ wait() time.Duration }); ok && v.wait() > 0 {
		return d.In(v.wait())
	}
	return ""
}

// Least is how many characters a new password must have, or "" on pages that
// take none.
func (d *frameData) Least() string {
	if v, ok := d.V.(interface{ least() int }); ok {
		return strconv.Itoa(v.least())
	}
	return ""
}

// Date writes a moment in the zone the caller gave it.
func (d *frameData) Date(t time.Time) string {
	return d.T("date.format", "day", strconv.Itoa(t.Day()), "month", d.T("month."+strconv.Itoa(int(t.Month()))),
		"year", strconv.Itoa(t.Year()), "time", t.Format("15:04"), "zone", t.Format("MST"))
}

func pairs(args []string) map[string]string {
	m := make(map[string]string, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		m[args[i]] = args[i+1]
	}
	return m
}
