package sqldb

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// splitStatements cuts the text of a migration file at its semicolons.
//
// Semicolons inside '…' strings, "…" names, -- and /* */ comments, $tag$…$tag$
// and E'…\'…' strings (PostgreSQL) and inside the BEGIN … END body of CREATE
// TRIGGER, FUNCTION or PROCEDURE do not cut. Comments between statements are
// dropped; the last semicolon may be missing. Refused: what is not closed by the
// end of the text, block comments inside block comments (PostgreSQL nests them,
// SQLite does not), and NUL bytes. Names in […] or backticks, which only SQLite
// knows, get no special treatment.
func splitStatements(text string) ([]string, error) {
	var (
		statements []string
		start      = -1 // of the statement being read, -1 between statements
		end        int  // after its last token
		body       bodyTracker
	)
	finish := func() {
		if start >= 0 {
			statements = append(statements, text[start:end])
		}
		start, body = -1, bodyTracker{}
	}
	for l := (lexer{text: text}); ; {
		t, err := l.next()
		if err != nil {
			return nil, err
		}
		switch {
		case t.kind == tokenEnd:
			finish()
			return statements, nil
		case t.kind == tokenComment:
		case t.kind == tokenSemicolon && body.depth == 0:
			finish()
		default:
			if start < 0 {
				start = t.start
			}
			end = t.end
			if t.kind == tokenWord {
				body.word(strings.ToUpper(text[t.start:t.end]))
			}
		}
	}
}

// bodyTracker follows BEGIN and END in statements that have a body.
type bodyTracker struct {
	words   int
	creates bool // the first word is CREATE
	hasBody bool
	depth   int
}

func (b *bodyTracker) word(w string) {
	b.words++
	switch {
	case b.words == 1:
		b.creates = w == "CREATE"
	case !b.creates:
	case b.words <= 5 && !b.hasBody: // CREATE OR REPLACE CONSTRAINT TRIGGER
		switch w {
		case "OR", "REPLACE", "TEMP", "TEMPORARY", "CONSTRAINT":
		case "TRIGGER", "FUNCTION", "PROCEDURE":
			b.hasBody = true
		default:
			b.creates = false // another kind of CREATE
		}
	case b.hasBody && (w == "BEGIN" || w == "CASE" && b.depth > 0):
		b.depth++
	case b.hasBody && w == "END" && b.depth > 0:
		b.depth--
	}
}

// highestBind returns the highest N of the $N parameters in a statement, 0 for a
// text that cannot be read (the database will say why).
func highestBind(query string) int {
	highest := 0
	for l := (lexer{text: query}); ; {
		t, err := l.next()
		if err != nil || t.kind == tokenEnd {
			return highest
		}
		if t.kind == tokenParameter {
			if n, err := strconv.Atoi(query[t.start+1 : t.end]); err == nil {
				highest = max(highest, n)
			}
		}
	}
}

type tokenKind int

const (
	tokenEnd tokenKind = iota
	tokenSemicolon
	tokenComment
	tokenWord      // keyword, unquoted name or number
	tokenQuoted    // string or quoted name
	tokenParameter // $1
	tokenOther     // one byte of anything else
)

type token struct {
	kind       tokenKind
	start, end int // byte offsets
}

// lexer reads the tokens of SQL as far as they matter for finding semicolons and
// parameters.
type lexer struct {
	text string
	pos  int
}

var errNUL = errors.New("SQL text contains a NUL byte")

func (l *lexer) next() (token, error) {
	for l.pos < len(l.text) && strings.IndexByte(" \t\r\n\f\v", l.text[l.pos]) >= 0 {
		l.pos++
	}
	start := l.pos
	if start == len(l.text) {
		return token{tokenEnd, start, start}, nil
	}
	kind, length, err := scanToken(l.text[start:])
	if err != nil {
		line := 1 + strings.Count(l.text[:start], "\n")
		return token{}, fmt.Errorf("line %d: %w", line, err)
	}
	l.pos += length
	return token{kind, start, l.pos}, nil
}

// scanToken returns the kind and length of the token that s begins with.
func scanToken(s string) (tokenKind, int, error) {
	switch c := s[0]; {
	case c == 0:
		return 0, 0, errNUL
	case c == ';':
		return tokenSemicolon, 1, nil
	case c == '\'' || c == '"':
		n, err := quotedLength(s, c, false)
		return tokenQuoted, n, err
	case strings.HasPrefix(s, "--"):
		n := strings.IndexByte(s, '\n')
		if n < 0 {
			n = len(s)
		}
		return tokenComment, n, noNUL(s[:n])
	case strings.HasPrefix(s, "/*"):
		n, err := commentLength(s)
		return tokenComment, n, err
	case (c == 'e' || c == 'E') && strings.HasPrefix(s[1:], "'"):
		n, err := quotedLength(s[1:], '\'', true)
		return tokenQuoted, n + 1, err
	case c == '$':
		return dollarToken(s)
	case isWordByte(c):
		n := 1
		for n < len(s) && isWordByte(s[n]) {
			n++
		}
		return tokenWord, n, nil
	}
	return tokenOther, 1, nil
}

// quotedLength measures a string or name whose quote is doubled inside; with
// escapes a backslash takes the next byte along.
func quotedLength(s string, quote byte, escapes bool) (int, error) {
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == 0:
			return 0, errNUL
		case escapes && s[i] == '\\':
			i++
		case s[i] == quote && i+1 < len(s) && s[i+1] == quote:
			i++
		case s[i] == quote:
			return i + 1, nil
		}
	}
	return 0, fmt.Errorf("%c is never closed", quote)
}

func commentLength(s string) (int, error) {
	n := strings.Index(s[2:], "*/")
	if n < 0 {
		return 0, errors.New("/* is never closed")
	}
	if strings.Contains(s[2:2+n], "/*") {
		return 0, errors.New("/* inside a /* comment: the engines disagree where it ends")
	}
	return n + 4, noNUL(s[:n+4])
}

// dollarToken reads $1 or a dollar-quoted string.
func dollarToken(s string) (tokenKind, int, error) {
	n := 1
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	if n > 1 {
		return tokenParameter, n, nil
	}
	for n < len(s) && isWordByte(s[n]) && s[n] != '$' {
		n++
	}
	if n == len(s) || s[n] != '$' {
		return tokenOther, 1, nil
	}
	tag := s[:n+1]
	length := strings.Index(s[n+1:], tag)
	if length < 0 {
		return 0, 0, fmt.Errorf("%s is never closed", tag)
	}
	length += 2 * len(tag)
	return tokenQuoted, length, noNUL(s[:length])
}

func noNUL(s string) error {
	if strings.IndexByte(s, 0) >= 0 {
		return errNUL
	}
	return nil
}

// isWordByte reports whether c continues a name; the dollar sign does in both
// engines, and so does every byte of a character outside ASCII.
func isWordByte(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 ||
		c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
