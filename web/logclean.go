package web

import (
	"fmt"
	"log/slog"
	"strings"
	"unicode"
)

// clean drops control characters, line separators and direction marks, so
// that what people and clients send can neither forge nor hide a log line
// (A37).
func clean(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\n', c == '\t':
			return ' '
		case unicode.IsControl(c), c == '\u2028', c == '\u2029', unicode.Is(unicode.Bidi_Control, c):
			return -1
		}
		return c
	}, s)
}

// cleanAttr cleans the strings inside a field. Redacting types (LogValuer)
// are resolved first, so their secret is never formatted.
func cleanAttr(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		v = slog.StringValue(clean(v.String()))
	case slog.KindGroup:
		group := v.Group()
		out := make([]slog.Attr, len(group))
		for i := range group {
			out[i] = cleanAttr(group[i])
		}
		v = slog.GroupValue(out...)
	case slog.KindAny:
		switch x := v.Any().(type) {
		case error:
			v = slog.StringValue(clean(x.Error()))
		case fmt.Stringer:
			v = slog.StringValue(clean(x.String()))
		}
	}
	return slog.Attr{Key: clean(a.Key), Value: v}
}
