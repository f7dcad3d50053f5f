package secret

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted is what every printer shows in place of a secret.
const redacted = "[redacted]"

// Token is a generated secret that authenticates whoever shows it. Every verb of
// fmt, slog, encoding/json and every text encoder print "[redacted]"; only
// [Token.Reveal] gives the value.
//
// Two places no method reaches: fmt reads unexported struct fields raw, so a
// Token belongs in an exported field of a struct that may be printed; and
// encoding/json writes map keys raw, so a Token is never a map key.
type Token string

// Reveal returns the secret itself, for the one place that hands it over.
func (t Token) Reveal() string { return string(t) }

// String returns "[redacted]".
func (t Token) String() string { return redacted }

// GoString returns "[redacted]".
func (t Token) GoString() string { return redacted }

// Format prints "[redacted]" for every verb; %d would print the value otherwise.
func (t Token) Format(f fmt.State, _ rune) { redact(f) }

// LogValue returns "[redacted]" for slog.
func (t Token) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns "[redacted]" as a JSON string. Whoever must send the
// secret writes Reveal's result.
func (t Token) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText returns "[redacted]" for the other encoders.
func (t Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Text is a secret that a person or an operator chose, such as a password in a
// form or in a configuration struct. It redacts like [Token], with the same
// two limits. It decodes from JSON and text like a string.
type Text string

// Reveal returns the secret itself.
func (t Text) Reveal() string { return string(t) }

// String returns "[redacted]".
func (t Text) String() string { return redacted }

// GoString returns "[redacted]".
func (t Text) GoString() string { return redacted }

// Format prints "[redacted]" for every verb.
func (t Text) Format(f fmt.State, _ rune) { redact(f) }

// LogValue returns "[redacted]" for slog.
func (t Text) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns "[redacted]" as a JSON string.
func (t Text) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText returns "[redacted]" for the other encoders.
func (t Text) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Format prints "[redacted]" for every verb: a ring in a log line must not show
// its keys.
func (r *Ring) Format(f fmt.State, _ rune) { redact(f) }

// LogValue returns "[redacted]" for slog.
func (r *Ring) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns "[redacted]"; [Ring.Save] is the way to write a ring.
func (r *Ring) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// redact cannot report a failed write: fmt collects into memory first.
func redact(f fmt.State) { _, _ = io.WriteString(f, redacted) }
