package rp

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"golang.org/x/oauth2"
)

// Kind says what went wrong in words an application can act on.
type Kind string

const (
	// KindState: the answer belongs to no open sign-in of this browser: it was
	// spent, is older than ten minutes, or came from somewhere else. Start again.
	KindState Kind = "state"
	// KindIssuer: the answer does not name our provider (RFC 9207).
	KindIssuer Kind = "issuer"
	// KindRefused: the provider answered with an error; see Error.Code.
	KindRefused Kind = "refused"
	// KindToken: an ID token or a userinfo answer does not prove what it must.
	KindToken Kind = "token"
	// KindUnavailable: the provider cannot be reached or does not talk sense.
	// Trying again later may help.
	KindUnavailable Kind = "unavailable"
	// KindEnded: the session at the provider is over; ours has been dropped.
	KindEnded Kind = "ended"
	// KindExpired: the access token is out of date and there is no refresh
	// token: ask with ModeRenew.
	KindExpired Kind = "expired"
)

// Error is the only error type App's methods return. Its text is for the log
// and holds no token, code, secret or state.
type Error struct {
	Kind Kind
	// Op is the operation that failed.
	Op string
	// Code is the provider's error code (RFC 6749 section 4.1.2.1 and 5.2,
	// OpenID Connect Core section 3.1.2.6), or "".
	Code string
	// Err is the cause, or nil.
	Err error
}

// Error implements error.
func (e *Error) Error() string {
	s := e.Op + ": " + string(e.Kind)
	if e.Code != "" {
		s += " " + e.Code
	}
	if e.Err != nil {
		s += ": " + printable(e.Err.Error(), maxErrorText)
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf returns the kind of an error of this package, or "".
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// maxErrorText bounds what a provider's answer may add to a log line.
const maxErrorText = 300

func fail(kind Kind, op string, err error) *Error { return &Error{Kind: kind, Op: op, Err: err} }

// tokenError turns an error of the token endpoint into ours. The library's
// text is not used for refusals, since it may quote a whole answer.
func tokenError(op string, err error) *Error {
	var refused *oauth2.RetrieveError
	switch {
	case !errors.As(err, &refused):
		return fail(KindUnavailable, op, err)
	case refused.ErrorCode == "":
		return fail(KindUnavailable, op, errors.New("status "+refused.Response.Status))
	}
	return &Error{Kind: KindRefused, Op: op, Code: errorCode(refused.ErrorCode)}
}

// errorCode keeps what the grammar of error codes can hold in practice, so
// that a page and a log line may show it.
func errorCode(code string) string {
	if len(code) > 64 || strings.Trim(code, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != "" {
		return "unknown_error"
	}
	return code
}

// printable cuts a text to n bytes of printable ASCII.
func printable(s string, n int) string {
	if len(s) > n {
		s = s[:n] + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

func (a *App) note(ctx context.Context, err *Error) *Error {
	level := slog.LevelWarn
	switch err.Kind {
	case KindUnavailable:
		level = slog.LevelError
	case KindEnded, KindExpired: // the ordinary end of a session
		level = slog.LevelInfo
	}
	a.log.LogAttrs(ctx, level, "sign-in at the provider", slog.String("error", err.Error()))
	return err
}
