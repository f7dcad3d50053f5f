package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed static
var staticFiles embed.FS

// static holds the files people's browsers fetch, under names that carry a
// hash of their content, so that they may be kept for ever. Immutable.
type static struct {
	urls  map[string]string // "style.css" → "/static/style.1a2b….css"
	files map[string]*staticFile
}

type staticFile struct {
	kind   string
	plain  []byte
	zipped []byte // nil when it would not be smaller
}

// The bitmaps (favicon.ico 32, apple-touch-icon 180, icon-maskable 512) are
// drawn from favicon.svg; the last two without its corners, because the system
// cuts its own.

// fixed are the files that browsers and robots look for under their own names.
var fixed = [...]string{"favicon.ico", "favicon.svg", "apple-touch-icon.png", "icon-maskable.png", "manifest.webmanifest", "robots.txt"}

func loadStatic() (*static, error) {
	entries, err := staticFiles.ReadDir("static")
	if err != nil {
		return nil, err
	}
	st := &static{urls: map[string]string{}, files: map[string]*staticFile{}}
	raw := map[string][]byte{}
	var sheets []string
	for _, e := range entries {
		if raw[e.Name()], err = staticFiles.ReadFile("static/" + e.Name()); err != nil {
			return nil, err
		}
		if path.Ext(e.Name()) == ".css" {
			sheets = append(sheets, e.Name())
			continue
		}
		if err := st.add(e.Name(), raw[e.Name()]); err != nil {
			return nil, err
		}
	}
	for _, name := range sheets { // last: they name other files
		if err := st.add(name, st.rewrite(raw[name])); err != nil {
			return nil, err
		}
	}
	return st, nil
}

// rewrite puts hashed names into url("…") of a stylesheet.
func (st *static) rewrite(sheet []byte) []byte {
	for name, to := range st.urls {
		sheet = bytes.ReplaceAll(sheet, []byte(`url("`+name+`")`), []byte(`url("`+to+`")`))
	}
	return sheet
}

func (st *static) add(name string, content []byte) error {
	kind, ok := map[string]string{
		".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
		".png": "image/png", ".ico": "image/x-icon", ".txt": "text/plain; charset=utf-8",
		".webmanifest": "application/manifest+json",
	}[path.Ext(name)]
	if !ok {
		return fmt.Errorf("static file %s: unknown kind", name)
	}
	f := &staticFile{kind: kind, plain: content}
	var buf bytes.Buffer
	zw, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := zw.Write(content); err != nil {
		return err
	}
	if err := zw.Close(); err != nil {
		return err
	}
	if buf.Len() < len(content) {
		f.zipped = buf.Bytes()
	}
	sum := sha256.Sum256(content)
	ext := path.Ext(name)
	u := "/static/" + strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:6]) + ext
	st.urls[name], st.files[u], st.files["/"+name] = u, f, f
	return nil
}

// url is the template function `asset`; a name that does not exist fails the
// rendering, so a test finds it.
func (st *static) url(name string) (string, error) {
	if u, ok := st.urls[name]; ok {
		return u, nil
	}
	return "", fmt.Errorf("no static file %q", name)
}

// Mount registers /static/… (content-hashed, immutable for a year, gzip where
// smaller), /favicon.ico, /favicon.svg, /apple-touch-icon.png,
// /manifest.webmanifest and /robots.txt.
func (s *Site) Mount(mux *http.ServeMux) {
	mux.HandleFunc("GET /static/{file}", func(w http.ResponseWriter, r *http.Request) {
		f := s.static.files[r.URL.Path]
		if f == nil {
			r, _ := s.begin(r)
			s.fail(w, r, &Error{Status: http.StatusNotFound, Key: "not-found"})
			return
		}
		f.serve(w, r, "public, max-age=31536000, immutable")
	})
	for _, name := range fixed {
		mux.HandleFunc("GET /"+name, func(w http.ResponseWriter, r *http.Request) {
			s.static.files["/"+name].serve(w, r, "public, max-age=86400")
		})
	}
}

func (f *staticFile) serve(w http.ResponseWriter, r *http.Request, cache string) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", cache)
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; frame-ancestors 'none'")
	h.Set("Vary", "Accept-Encoding")
	body := f.plain
	if f.zipped != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = f.zipped
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}
