package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Error is an error that people see. Key is a stem in the catalogues:
// error.<Key>.title, error.<Key>.text. Err is the cause and goes to the log
// only.
type Error struct {
	// Status is the HTTP status; 0 means 500.
	Status int
	Key    string
	// Args fill the {placeholders} of the texts and of Action's label.
	Args map[string]string
	Err  error
	// RetryAfter becomes the header (seconds, rounded up) and a sentence.
	RetryAfter time.Duration
	Action     *Link
	// Field names the form field or parameter at fault, or "".
	Field string
}

// Link is something to do next. Label is a catalogue key or, when no such key
// exists, the text itself.
type Link struct{ URL, Label string }

// Error returns key and cause, for the log.
func (e *Error) Error() string {
	if e.Err == nil {
		return e.Key
	}
	return e.Key + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// statusClientClosed is nginx's number for a client that went away; it is
// only ever logged.
const statusClientClosed = 499

// publicError turns any error into one that people may see.
func (s *Site) publicError(err error) *Error {
	var public *Error
	var tooBig *http.MaxBytesError
	switch {
	case errors.As(err, &public):
		e := *public
		if !s.texts.has("error." + e.Key + ".title") {
			e.Err = fmt.Errorf("no text for error key %q: %w", e.Key, err)
			e.Key = "internal"
		}
		if e.Status < 400 || e.Status > 599 {
			e.Status = http.StatusInternalServerError
		}
		return &e
	case errors.As(err, &tooBig):
		return &Error{Status: http.StatusRequestEntityTooLarge, Key: "too-large", Err: err}
	}
	return &Error{Status: http.StatusInternalServerError, Key: "internal", Err: err}
}

// fail answers a request whose handler returned an error: once, at the edge.
func (s *Site) fail(w http.ResponseWriter, r *http.Request, err error) {
	AddLog(r, slog.Any("error", err))
	if rec, ok := w.(*recorder); ok && rec.status != 0 {
		return // too late to say anything
	}
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		w.WriteHeader(statusClientClosed)
		return
	}
	e := s.publicError(err)
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(wholeSeconds(e.RetryAfter)))
	}
	if s.wantsPage(r) {
		page := ErrorPage{Key: e.Key, Args: e.Args, RetryAfter: e.RetryAfter, Action: e.Action, ID: RequestID(r.Context())}
		if renderErr := s.Render(w, r, e.Status, page); renderErr == nil {
			return
		} else {
			AddLog(r, slog.Any("render_error", renderErr))
		}
	}
	s.problem(w, r, e)
}

func (s *Site) wantsPage(r *http.Request) bool {
	if st := stateOf(r.Context()); st != nil && st.kind != kindUnknown {
		return st.kind == kindPage
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// problem writes an RFC 9457 problem. Its words are English: a program reads
// them, and `code` is what it should look at.
func (s *Site) problem(w http.ResponseWriter, r *http.Request, e *Error) {
	body := struct {
		Type   string `json:"type"`
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail"`
		Code   string `json:"code"`
		Field  string `json:"field,omitempty"`
		ID     string `json:"id"`
	}{
		"about:blank", s.texts.text("en", "error."+e.Key+".title", e.Args), e.Status,
		s.texts.text("en", "error."+e.Key+".text", e.Args), e.Key, e.Field, RequestID(r.Context()),
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", rawCSP)
	w.WriteHeader(e.Status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		AddLog(r, slog.Any("write_error", err))
	}
}

// wholeSeconds rounds up, so that nobody is told to come back too early.
func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }
