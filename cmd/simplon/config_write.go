package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"simplon/secret"
)

// configFileName is what init writes.
const configFileName = "config.yaml"

// renderConfig writes a configuration as commented YAML. Keys for which active
// says no are written as comments, so that they follow the defaults of the
// version that runs. Secrets are written out: the caller guards the text.
func renderConfig(c Config, head string, active func(key string) bool) string {
	var b strings.Builder
	b.WriteString(comment("", head))
	section := ""
	defaults := defaultConfig()
	defaultOptions := configOptions(&defaults)
	for i, o := range configOptions(&c) {
		name, indent := o.key, ""
		b.WriteString("\n")
		if s, rest, ok := strings.Cut(o.key, "."); ok {
			name, indent = rest, "  "
			if s != section {
				fmt.Fprintf(&b, "%s:\n", s)
			}
			section = s
		}
		b.WriteString(comment(indent, o.doc))
		b.WriteString(comment(indent, describe(defaultOptions[i])))
		off := "# "
		if active(o.key) {
			off = ""
		}
		fmt.Fprintf(&b, "%s%s%s: %s\n", indent, off, name, formatValue(o))
	}
	return b.String()
}

// describe writes an option's default, bounds and variable in one line.
func describe(o option) string {
	text := "Default " + formatValue(o)
	if o.hi != 0 {
		text += ", from " + o.bound(o.lo) + " to " + o.bound(o.hi)
	}
	text += ". " + o.variable()
	if o.isSecret() {
		text += " or " + o.variable() + fileSuffix
	}
	return text + "."
}

func formatValue(o option) string {
	switch field := o.field.(type) {
	case *string:
		return quoteScalar(*field)
	case *URL:
		return quoteScalar(field.String())
	case *secret.Text:
		return quoteScalar(field.Reveal())
	case *List:
		return formatList(*field)
	case *CIDRs:
		var items []string
		for _, p := range *field {
			items = append(items, p.String())
		}
		return formatList(items)
	case *bool:
		return fmt.Sprint(*field)
	}
	n, _ := o.number()
	return o.bound(n)
}

func formatList(items []string) string {
	quoted := make([]string, len(items))
	for i, item := range items {
		quoted[i] = quoteScalar(item)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// comment wraps a text into YAML comment lines of about 80 columns; lines of
// the text stay lines.
func comment(indent, text string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		width := 0
		for i, word := range strings.Fields(line) {
			if i == 0 || width+1+len(word) > 80 {
				if i > 0 {
					b.WriteString("\n")
				}
				b.WriteString(indent + "#")
				width = len(indent) + 1
			}
			b.WriteString(" " + word)
			width += 1 + len(word)
		}
		if width == 0 {
			b.WriteString(indent + "#")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// exampleHead begins config.example.yaml.
const exampleHead = "Configuration of Simplon: every key, with its default as its value.\n\n" +
	"This file is read by simplon serve --config FILE, or from SIMPLON_CONFIG. It is optional; so is every key. A key that is not listed here is an error. " + headEnd

// initHead begins the file that init writes.
const initHead = "Configuration of Simplon, written by simplon init.\n\n" +
	"A key behind a # has the value shown; take the # away to change it. A key that is not listed here is an error. " + headEnd

const headEnd = "The environment wins over the file, under the name given with each key; lists are separated by commas there.\n\n" +
	"Durations: 90s, 30m, 12h, 365d (a day is 24 hours). Sizes: B, KiB, MiB, GiB. simplon check-config --config FILE tells all mistakes at once."

// exampleConfig is the text of config.example.yaml.
func exampleConfig() string {
	return renderConfig(defaultConfig(), exampleHead, func(string) bool { return true })
}

// writeInit writes dir/config.yaml (0600, dir 0700 if it is missing) for an
// issuer, with data_dir next to it, the proxy on this machine trusted if the issuer
// is https, and all other keys as comments, and returns
// its path. It refuses an issuer that serve would refuse, and never overwrites:
// the error then wraps fs.ErrExist.
func writeInit(issuer, dir string) (string, error) {
	if issuer == "" {
		return "", errors.New("init: an issuer is needed, such as https://id.example.org")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("init: %w", err)
	}
	c := defaultConfig()
	if c.Issuer, err = parseURL(issuer); err != nil {
		return "", fmt.Errorf("init: issuer: %w", err)
	}
	c.DataDir = filepath.Join(dir, "data")
	c.source.at = map[string]string{"issuer": "init"}
	resolved := c
	resolved.resolve()
	if err := resolved.Validate(); err != nil {
		return "", err
	}
	set := []string{"issuer", "data_dir"}
	if len(resolved.TrustedProxies) > 0 {
		c.TrustedProxies = resolved.TrustedProxies
		set = append(set, "trusted_proxies")
	}
	text := renderConfig(c, initHead, func(key string) bool { return slices.Contains(set, key) })
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("init: %w", err)
	}
	path := filepath.Join(dir, configFileName)
	if err := writeNew(path, text); err != nil {
		return "", fmt.Errorf("init: %w", err)
	}
	return path, nil
}

// writeNew writes a file that must not exist yet, readable by its owner only.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists and is left as it is: %w", path, fs.ErrExist)
	}
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		// An unfinished file would stop the next init.
		return errors.Join(err, os.Remove(path))
	}
	return nil
}
