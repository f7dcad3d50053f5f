package authserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"simplon/storage"
	"simplon/web"
)

// protocolError is an OAuth error with its HTTP status (RFC 6749, section 5.2).
// Its description may be shown to the developer of the client; cause goes to the
// log only.
type protocolError struct {
	code        string
	description string
	status      int
	challenge   string // WWW-Authenticate, "" for none
	cause       error
}

// Error names the code, for the log.
func (e *protocolError) Error() string { return "oauth: " + e.code + ": " + e.description }

// Unwrap returns the cause.
func (e *protocolError) Unwrap() error { return e.cause }

// refuse makes a protocol error of one of the library's kinds with status 400.
func refuse(kind func() *oidc.Error, description string) *protocolError {
	return &protocolError{code: string(kind().ErrorType), description: description, status: http.StatusBadRequest}
}

func (e *protocolError) because(err error) *protocolError {
	e.cause = err
	return e
}

// params are the parameters of a protocol request, one value each.
type params map[string]string

// parseParams reads an urlencoded query or form. A parameter sent twice is an
// error (RFC 6749, section 3.1), named by duplicate; an empty one counts as not
// sent, and so do the empty client fields that some clients send beside Basic.
// resource and audience may be sent more than once (RFC 8707, section 2); the
// first value is kept.
func parseParams(raw string) (p params, duplicate string, err error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, "", fmt.Errorf("authserver: parameters: %w", err)
	}
	return single(values)
}

func single(values url.Values) (p params, duplicate string, err error) {
	if len(values) > 64 {
		return nil, "", errors.New("authserver: more than 64 parameters")
	}
	p = make(params, len(values))
	for name, v := range values {
		if len(v) > 1 && !repeatable(name) && (duplicate == "" || duplicateBefore(name, duplicate)) {
			duplicate = name
		}
		if !plainText(v[0]) {
			return nil, "", errors.New("authserver: a parameter is not text")
		}
		if v[0] != "" {
			p[name] = v[0]
		}
	}
	return p, duplicate, nil
}

// repeatable tells whether a parameter may be sent more than once. One without
// a name means nothing, and must not hide another behind its empty name.
func repeatable(name string) bool { return name == "resource" || name == "audience" || name == "" }

// duplicateBefore orders the parameters sent twice by which one to name: first
// those that decide where an answer may go (A2).
func duplicateBefore(a, b string) bool {
	rank := func(name string) int { return slices.Index([]string{"redirect_uri", "client_id"}, name) }
	if ra, rb := rank(a), rank(b); ra != rb {
		return ra > rb
	}
	return a < b
}

// plainText tells whether a text is UTF-8 without NUL: PostgreSQL stores no
// other, and JSON would alter it.
func plainText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// protocolHandler answers a protocol request whose form, if any, is parsed.
type protocolHandler func(w http.ResponseWriter, r *http.Request, p params) error

// protocol is the guard that every protocol endpoint passes: methods, one value
// a parameter, form encoding, no-store, CORS for registered origins without
// credentials, and OAuth errors.
func (s *Server) protocol(h protocolHandler, methods ...string) http.Handler {
	return s.Site.Raw(func(w http.ResponseWriter, r *http.Request) error {
		head := w.Header()
		head.Set("Cache-Control", "no-store")
		head.Set("Pragma", "no-cache")
		head.Add("Vary", "Origin")
		if r.Method == http.MethodOptions {
			return s.preflight(w, r, methods)
		}
		if !slices.Contains(methods, r.Method) {
			head.Set("Allow", strings.Join(methods, ", "))
			return s.protocolAnswer(w, r, &protocolError{
				code: invalidRequest, description: "use " + strings.Join(methods, " or "), status: http.StatusMethodNotAllowed})
		}
		p, err := readForm(r)
		if err == nil {
			err = h(w, r, p)
		}
		return s.protocolAnswer(w, r, err)
	})
}

func readForm(r *http.Request) (params, error) {
	if r.Method != http.MethodPost {
		return params{}, nil
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if r.ContentLength == 0 && r.Header.Get("Content-Type") == "" {
		return params{}, nil
	}
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, refuse(oidc.ErrInvalidRequest, "send parameters as application/x-www-form-urlencoded")
	}
	if err := r.ParseForm(); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			e := refuse(oidc.ErrInvalidRequest, "the request is too large")
			e.status = http.StatusRequestEntityTooLarge
			return nil, e
		}
		return nil, refuse(oidc.ErrInvalidRequest, "the form cannot be read").because(err)
	}
	p, duplicate, err := single(r.PostForm)
	if err != nil {
		return nil, refuse(oidc.ErrInvalidRequest, "there are too many parameters, or one is not text").because(err)
	}
	if duplicate != "" {
		return nil, refuse(oidc.ErrInvalidRequest, "a parameter was sent twice")
	}
	return p, nil
}

// protocolAnswer writes err as an OAuth error; anything that is not one is a
// server error whose text stays in the log.
func (s *Server) protocolAnswer(w http.ResponseWriter, r *http.Request, err error) error {
	if err == nil {
		return nil
	}
	var e *protocolError
	if errors.Is(err, storage.ErrBusy) {
		e = &protocolError{code: "temporarily_unavailable", description: "busy; try again in a moment", status: http.StatusServiceUnavailable, cause: err}
		w.Header().Set("Retry-After", strconv.Itoa(int(retryAfter/time.Second)))
	} else if !errors.As(err, &e) {
		e = refuse(oidc.ErrServerError, "something failed on our side; error "+web.RequestID(r.Context())).because(err)
		e.status = http.StatusInternalServerError
	}
	web.AddLog(r, slog.String("oauth_error", e.code))
	if e.cause != nil {
		web.AddLog(r, slog.String("error", e.cause.Error()))
	}
	if err := s.allowScript(w, r); err != nil {
		return err
	}
	if e.challenge != "" {
		w.Header().Set("WWW-Authenticate", e.challenge)
	}
	return writeJSON(w, e.status, map[string]string{"error": e.code, "error_description": e.description})
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("authserver: answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil {
		return fmt.Errorf("authserver: write answer: %w", err)
	}
	return nil
}

// preflight answers a CORS preflight.
func (s *Server) preflight(w http.ResponseWriter, r *http.Request, methods []string) error {
	if err := s.allowScript(w, r); err != nil {
		return err
	}
	if head := w.Header(); head.Get("Access-Control-Allow-Origin") != "" {
		head.Set("Access-Control-Allow-Methods", strings.Join(methods, ", "))
		head.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
		head.Set("Access-Control-Max-Age", "600")
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// allowScript lets a script read a preflight or an error, which name no client:
// its origin passes if any single-page application of this front is registered
// with it. A real answer is checked against the one client (A12). Credentials
// never pass.
func (s *Server) allowScript(w http.ResponseWriter, r *http.Request) error {
	origin := r.Header.Get("Origin")
	if origin == "" || len(origin) >= 300 || !plainText(origin) || w.Header().Get("Access-Control-Allow-Origin") != "" {
		return nil
	}
	ok, err := s.DB.OriginRegistered(s.Front.ID, origin)
	if err == nil && ok {
		w.Header().Set("Access-Control-Allow-Origin", origin)
	}
	return err
}
