package demo

import (
	"net/http"
	"strings"
)

// maxBody bounds what a form may send, in bytes: ours send nothing.
const maxBody = 4 << 10

// Handler serves both applications under / of their host. Requests for another
// host are sent to Base, since redirect URIs and cookies belong to it.
func (s *Site) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.front)
	mux.HandleFunc("GET /static/{file}", s.pages.serveStatic)
	mux.HandleFunc("GET /favicon.svg", s.pages.serveFavicon)
	mux.HandleFunc("GET /favicon.ico", s.pages.serveFavicon)
	for _, app := range s.apps {
		root := "/" + app.path
		mux.HandleFunc("GET "+root+"/{$}", s.with(app, s.home))
		mux.HandleFunc("GET "+root+"/signin", s.with(app, s.signIn))
		mux.HandleFunc("GET "+root+"/callback", s.with(app, s.callback))
		mux.HandleFunc("POST "+root+"/refresh", s.with(app, s.refresh))
		mux.HandleFunc("POST "+root+"/signout", s.with(app, s.signOut))
		mux.HandleFunc("GET "+root+"/signed-out", s.with(app, s.signedOut))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.problem(w, r, nil, http.StatusNotFound, "not-found", "")
	})
	cross := http.NewCrossOriginProtection()
	cross.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.problem(w, r, nil, http.StatusForbidden, "forbidden", "")
	}))
	return s.outer(cross.Handler(mux))
}

func (s *Site) with(app *application, h func(http.ResponseWriter, *http.Request, *application)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { h(w, r, app) }
}

// outer sets the headers of every answer and keeps to one host.
func (s *Site) outer(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", s.csp)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store")
		if !strings.EqualFold(r.Host, s.cfg.Base.Host) {
			http.Redirect(w, r, s.cfg.Base.JoinPath("/").String(), http.StatusFound)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// front names both applications and who can sign in.
func (s *Site) front(w http.ResponseWriter, r *http.Request) {
	s.render(w, r, http.StatusOK, "front", nil, &frontView{People: s.cfg.People, Issuer: s.cfg.Issuer})
}
