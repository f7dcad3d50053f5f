package web

import (
	"embed"
	"encoding/json"
	"fmt"
	"strings"

	"golang.org/x/text/language"
)

//go:embed i18n/*.json
var i18nFiles embed.FS

// fallbackLang is complete by test; the others are compared with it.
const fallbackLang = "en"

// catalogues hold the flat texts of all languages. Immutable.
type catalogues struct {
	langs   []string // the fallback first
	texts   map[string]map[string]string
	matcher language.Matcher
}

func loadCatalogues() (*catalogues, error) {
	c := &catalogues{langs: []string{fallbackLang, "de"}, texts: map[string]map[string]string{}}
	var tags []language.Tag
	for _, lang := range c.langs {
		raw, err := i18nFiles.ReadFile("i18n/" + lang + ".json")
		if err != nil {
			return nil, err
		}
		var texts map[string]string
		if err := json.Unmarshal(raw, &texts); err != nil {
			return nil, fmt.Errorf("%s: %w", lang, err)
		}
		c.texts[lang] = texts
		tags = append(tags, language.MustParse(lang))
	}
	c.matcher = language.NewMatcher(tags)
	return c, nil
}

func (c *catalogues) knows(lang string) bool { return c.texts[lang] != nil }

func (c *catalogues) has(key string) bool {
	_, ok := c.texts[fallbackLang][key]
	return ok
}

// text returns the sentence of a key with its {placeholders} filled. A missing
// key falls back to English, then to the key itself.
func (c *catalogues) text(lang, key string, args map[string]string) string {
	text, ok := c.texts[lang][key]
	if !ok {
		if text, ok = c.texts[fallbackLang][key]; !ok {
			return key
		}
	}
	return fill(text, func(name string) (string, bool) { v, ok := args[name]; return v, ok })
}

// fill replaces each {name} once, from the left; values are never looked into,
// so a client called "{x}" stays that.
func fill(text string, value func(name string) (string, bool)) string {
	if !strings.Contains(text, "{") {
		return text
	}
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "{")
		b.WriteString(before)
		if !ok {
			return b.String()
		}
		name, after, ok := strings.Cut(rest, "}")
		if !ok {
			b.WriteString("{" + rest)
			return b.String()
		}
		if v, found := value(name); found {
			b.WriteString(v)
		} else {
			b.WriteString("{" + name + "}")
		}
		text = after
	}
}
