package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxConfigBytes bounds the configuration file and the files of secrets.
const maxConfigBytes = 1 << 20

// readSmallFile reads a regular file and its permissions.
func readSmallFile(path string) ([]byte, fs.FileMode, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is not a file", path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	if err != nil {
		return nil, 0, err
	}
	if len(text) > maxConfigBytes {
		return nil, 0, fmt.Errorf("%s is larger than %s", path, Bytes(maxConfigBytes))
	}
	return text, info.Mode().Perm(), nil
}

// loadFile sets what the YAML file says.
func (c *Config) loadFile(path string) []error {
	text, perm, err := readSmallFile(path)
	if err != nil {
		return []error{fmt.Errorf("configuration file: %w", err)}
	}
	return c.loadYAML(path, text, perm)
}

// loadYAML sets what a YAML text says; name stands in messages for its file.
// One plain mapping is read and nothing cleverer: anchors, aliases, tags, merge
// keys and further documents are refused, so that what stands in the file is
// what the reader of the file sees.
func (c *Config) loadYAML(name string, text []byte, perm fs.FileMode) []error {
	if !utf8.Valid(text) {
		return []error{fmt.Errorf("%s: not a text in UTF-8", name)}
	}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return []error{syntaxError(name, err)}
	}
	r := yamlReader{config: c, name: name, perm: perm, options: configOptions(c)}
	for i, doc := range file.Docs {
		if i > 0 && doc.Body != nil {
			r.errorAt(doc.Body, "a second document; the configuration is one")
			break
		}
		if doc.Body != nil {
			r.section("", doc.Body)
		}
	}
	return r.errs
}

// syntaxError keeps the parser's message and position and leaves out the lines
// of the file that it would quote, which may hold secrets.
func syntaxError(name string, err error) error {
	var e yaml.Error
	if errors.As(err, &e) && e.GetToken() != nil {
		return fmt.Errorf("%s: %s", place(name, e.GetToken()), e.GetMessage())
	}
	return fmt.Errorf("%s: not YAML", name)
}

func place(name string, t *token.Token) string {
	return fmt.Sprintf("%s:%d:%d", name, t.Position.Line, t.Position.Column)
}

// yamlReader walks the document and collects every mistake.
type yamlReader struct {
	config  *Config
	name    string
	perm    fs.FileMode
	options []option
	errs    []error
}

func (r *yamlReader) errorAt(n ast.Node, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s: %s", place(r.name, n.GetToken()), fmt.Sprintf(format, args...)))
}

// section reads a mapping whose keys continue prefix ("" at the top).
func (r *yamlReader) section(prefix string, n ast.Node) {
	if _, empty := n.(*ast.NullNode); empty {
		return // all its keys are commented out
	}
	mapping, ok := n.(*ast.MappingNode)
	if !ok {
		if prefix == "" {
			r.errorAt(n, "expected keys and values")
		} else {
			r.errorAt(n, "%s is a section; expected its keys, indented below it: %s", prefix, sectionKeys(r.options, prefix))
		}
		return
	}
	for _, pair := range mapping.Values {
		key, ok := pair.Key.(*ast.StringNode)
		if !ok {
			r.errorAt(pair.Key, "expected a key")
			continue
		}
		r.entry(prefix, key, pair.Value)
	}
}

func (r *yamlReader) entry(prefix string, key *ast.StringNode, value ast.Node) {
	full := key.Value
	if prefix != "" {
		full = prefix + "." + key.Value
	}
	for _, o := range r.options {
		if o.key == full && !strings.Contains(key.Value, ".") {
			r.value(o, key, value)
			return
		}
	}
	if known := sectionKeys(r.options, full); known != "" {
		r.section(full, value)
		return
	}
	where := "the keys are"
	if prefix != "" {
		where = prefix + " has"
	}
	r.errorAt(key, "unknown key %.80q; %s %s", full, where, sectionKeys(r.options, prefix))
}

func (r *yamlReader) value(o option, key, value ast.Node) {
	var err error
	if seq, ok := value.(*ast.SequenceNode); ok && o.isList() {
		items := make([]string, 0, len(seq.Values))
		for _, n := range seq.Values {
			text, ok := scalar(n)
			if !ok {
				r.errorAt(n, "%s: expected a list of plain values", o.key)
				return
			}
			items = append(items, text)
		}
		err = o.setList(items)
	} else {
		text, ok := scalar(value)
		if !ok {
			r.errorAt(value, "%s: expected a value; remove the line for the default", o.key)
			return
		}
		if o.isSecret() && holdsPassword(text) {
			r.config.source.secrets = append(r.config.source.secrets, secretFile{at: place(r.name, key.GetToken()), path: r.name, perm: r.perm})
		}
		err = r.setScalar(o, text)
	}
	if err != nil {
		r.errorAt(value, "%s: %s", o.key, err)
		return
	}
	r.config.source.at[o.key] = place(r.name, value.GetToken())
}

// setScalar sets one value; for a list it is the list's only item, commas and all.
func (r *yamlReader) setScalar(o option, text string) error {
	if o.isList() && text != "" {
		return o.setList([]string{text})
	}
	return o.set(text)
}

// scalar is the text of a plain, quoted or block value, as written: the option's
// type decides what it means, exactly as for the environment.
func scalar(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// plainScalar reports whether a text may stand in YAML without quotes.
func plainScalar(text string) bool {
	if text == "" || text == "null" || text == "~" {
		return false
	}
	for i, r := range text {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '/'
		if !letter && (i == 0 || r != ':' && r != '-' && r != '_' && r != '@') {
			return false
		}
	}
	return text[len(text)-1] != ':'
}

// quoteScalar writes a text so that YAML reads it back.
func quoteScalar(text string) string {
	if plainScalar(text) {
		return text
	}
	return strconv.Quote(text)
}
