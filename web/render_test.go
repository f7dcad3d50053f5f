package web

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
)

// errorKeys are the keys the packages above may use.
var errorKeys = [...]string{
	"unknown-client", "redirect-uri", "bad-request", "expired-sign-in", "closed-sign-in", "other-browser", "cookies-off",
	"too-many-sign-ins", "busy", "too-many-requests", "not-found", "method", "forbidden", "too-large", "setup-used",
	"setup-expired", "internal", "other-tab", "disabled-client", "continue-used",
}

var problemKeys = [...]string{
	"sign-in", "address-invalid", "password-missing", "password-too-short", "password-common", "password-too-long",
	"address-taken", "name-missing",
}

func renderView(t *testing.T, s *Site, v View, lang string) *httptest.ResponseRecorder {
	t.Helper()
	h := s.Outer(s.Page(func(w http.ResponseWriter, r *http.Request) error { return s.Render(w, r, http.StatusOK, v) }))
	w := get(h, s.cfg.Issuer.String()+"/?x=1&ui_lang="+lang)
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return w
}

func TestEveryViewIsValidInEveryLanguage(t *testing.T) {
	s := testSite(t, "https://id.nordwand.example")
	views := sampleViews("https://mail.nordwand.example")
	for _, key := range errorKeys {
		views["error-"+key] = ErrorPage{Key: key}
	}
	for _, key := range problemKeys {
		views["problem-"+key] = SetupPage{Action: "/setup", Least: 15, Problem: key}
	}
	for name, v := range views {
		for _, lang := range s.texts.langs {
			t.Run(name+"/"+lang, func(t *testing.T) {
				checkDocument(t, renderView(t, s, v, lang).Body.String(), lang)
			})
		}
	}
}

// checkDocument asserts what holds for every page: unique ids that references
// reach, nothing inline that the policy would block, no text left unfilled.
func checkDocument(t *testing.T, doc, lang string) {
	t.Helper()
	root, err := html.Parse(strings.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"ZgotmplZ", "<no value>", "{client}", "{app}", "{host}", "{n}"} {
		if strings.Contains(doc, bad) {
			t.Errorf("page contains %q", bad)
		}
	}
	ids, refs := map[string]int{}, []string{}
	headings := 0
	for n := range root.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if n.Data == "h1" {
			headings++
		}
		if n.Data == "style" || (n.Data == "script" && (attr(n, "src") == "" || n.FirstChild != nil)) {
			t.Errorf("inline <%s>", n.Data)
		}
		if n.Data == "html" && attr(n, "lang") != lang {
			t.Errorf("lang is %q", attr(n, "lang"))
		}
		if n.Data == "form" && attr(n, "action") == "" {
			t.Error("form without action")
		}
		for _, a := range n.Attr {
			switch {
			case a.Key == "style" || strings.HasPrefix(a.Key, "on"):
				t.Errorf("inline %s on <%s>", a.Key, n.Data)
			case a.Key == "id":
				ids[a.Val]++
			case a.Key == "for" || a.Key == "aria-describedby" || a.Key == "aria-controls":
				refs = append(refs, strings.Fields(a.Val)...)
			}
		}
	}
	for id, n := range ids {
		if n > 1 || strings.ContainsAny(id, " \t") || id == "" {
			t.Errorf("id %q stands %d times", id, n)
		}
	}
	for _, ref := range refs {
		if ids[ref] == 0 {
			t.Errorf("reference to missing id %q", ref)
		}
	}
	if headings != 1 {
		t.Errorf("%d h1", headings)
	}
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

var placeholder = regexp.MustCompile(`\{[a-z_]+\}`)

func TestCataloguesHaveTheSameKeysAndPlaceholders(t *testing.T) {
	c, err := loadCatalogues()
	if err != nil {
		t.Fatal(err)
	}
	for _, lang := range c.langs[1:] {
		want, got := shape(c.texts[fallbackLang]), shape(c.texts[lang])
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s differs from %s (-%s +%s):\n%s", lang, fallbackLang, fallbackLang, lang, diff)
		}
	}
	for lang, texts := range c.texts {
		for key, text := range texts {
			if strings.ContainsAny(text, "!ß") || strings.TrimSpace(text) != text || text == "" {
				t.Errorf("%s %s: %q breaks the voice", lang, key, text)
			}
		}
	}
}

func shape(texts map[string]string) map[string]string {
	out := map[string]string{}
	for key, text := range texts {
		names := placeholder.FindAllString(text, -1)
		sort.Strings(names)
		out[key] = strings.Join(names, " ")
	}
	return out
}

func TestNoCatalogueKeyIsGivenTwice(t *testing.T) {
	for _, lang := range []string{"en", "de"} {
		raw, err := i18nFiles.ReadFile("i18n/" + lang + ".json")
		if err != nil {
			t.Fatal(err)
		}
		dec, seen := json.NewDecoder(bytes.NewReader(raw)), map[string]bool{}
		for i := 0; ; i++ {
			tok, err := dec.Token()
			if err != nil {
				break
			}
			if key, ok := tok.(string); ok && i%2 == 1 {
				if seen[key] {
					t.Errorf("%s: %q twice", lang, key)
				}
				seen[key] = true
			}
		}
	}
}

var (
	templateKey = regexp.MustCompile(`\.T(?:Strong|Code|Args)? "([a-z][a-z0-9._-]*)"`)
	errorUse    = regexp.MustCompile(`web\.Error\{[^}]*?Key:\s*"([^"]+)"`)
	problemUse  = regexp.MustCompile(`\bProblem\s*(?:=|:)\s*"([^"]+)"`)
)

func TestEveryKeyUsedExists(t *testing.T) {
	c, err := loadCatalogues()
	if err != nil {
		t.Fatal(err)
	}
	need := func(where, key string) {
		if !c.has(key) {
			t.Errorf("%s uses key %q that no catalogue has", where, key)
		}
	}
	for _, key := range errorKeys {
		need("errorKeys", "error."+key+".title")
		need("errorKeys", "error."+key+".text")
	}
	for _, key := range problemKeys {
		need("problemKeys", "problem."+key)
	}
	walkFiles(t, "templates", ".html", func(file, text string) {
		for _, m := range templateKey.FindAllStringSubmatch(text, -1) {
			need(file, m[1])
		}
	})
	// The whole module: a key misspelt in another package fails here.
	walkFiles(t, "..", ".go", func(file, text string) {
		for _, m := range errorUse.FindAllStringSubmatch(text, -1) {
			need(file, "error."+m[1]+".title")
			need(file, "error."+m[1]+".text")
		}
		for _, m := range problemUse.FindAllStringSubmatch(text, -1) {
			if strings.Contains(text, `"simplon/web"`) || strings.HasPrefix(text, "package web") {
				need(file, "problem."+m[1])
			}
		}
	})
}

func walkFiles(t *testing.T, root, ext string, visit func(file, text string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ext {
			return err
		}
		raw, err := os.ReadFile(path)
		if err == nil {
			visit(path, string(raw))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPageWithStylesheetAndScriptIsUnder30KB(t *testing.T) {
	s := testSite(t, "https://id.nordwand.example")
	for name, v := range sampleViews("https://mail.nordwand.example") {
		var doc bytes.Buffer
		zw := gzip.NewWriter(&doc)
		zw.Write(renderView(t, s, v, "de").Body.Bytes())
		zw.Close()
		total := doc.Len() + len(s.static.files["/style.css"].zipped) + len(s.static.files["/page.js"].zipped)
		if total > 30<<10 {
			t.Errorf("%s: %d bytes compressed", name, total)
		}
	}
}

func TestTitleAndRefreshAndFormActionFollowTheView(t *testing.T) {
	s := testSite(t, "https://id.nordwand.example")
	w := renderView(t, s, ContinuePage{Gate: Gate{Client: "App"}, URL: "com.example.app:/cb?code=a;b"}, "en")
	if got := w.Header().Get("Refresh"); got != "0; url=com.example.app:/cb?code=a;b" {
		t.Errorf("Refresh: %q", got)
	}
	if !strings.Contains(w.Body.String(), `href="com.example.app:/cb?code=a;b"`) {
		t.Error("native scheme is not linked")
	}
	w = renderView(t, s, FormPostPage{Action: "https://app.example:8443/cb", Fields: []Field{{"state", `"><script>`}}}, "en")
	if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "form-action https://app.example:8443;") {
		t.Errorf("CSP: %s", csp)
	}
	if got := w.Header().Get("Referrer-Policy"); got != "strict-origin" {
		t.Errorf("Referrer-Policy: %q", got)
	}
	if body := w.Body.String(); strings.Contains(body, "><script>") || strings.Contains(body, `name="csrf"`) {
		t.Error("form_post page leaks a tag or our token")
	}
}

func TestAddressesThatNoPageMayLeadToAreRefused(t *testing.T) {
	s := testSite(t, "https://id.nordwand.example")
	for _, v := range []View{
		ContinuePage{URL: "javascript:alert(1)"}, ContinuePage{URL: "JavaScript:alert(1)"}, ContinuePage{URL: "data:text/html,x"},
		ContinuePage{URL: "https://a.example/\r\nX: y"}, ContinuePage{URL: "/relative"}, ContinuePage{URL: "https://a.example/ b"},
		FormPostPage{Action: "javascript:alert(1)"}, FormPostPage{Action: "/cb"}, FormPostPage{Action: "https://a.example;x/"},
		FormPostPage{Action: "http://[::1]:4711/cb"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if err := s.Render(httptest.NewRecorder(), r, http.StatusOK, v); err == nil {
			t.Errorf("%#v was rendered", v)
		}
	}
}

func TestNamesOfClientsAreEscapedAndNeverReadAsPlaceholders(t *testing.T) {
	s := testSite(t, "https://id.nordwand.example")
	v := ConsentPage{Gate: Gate{Client: `<i>{host}</i>`}, Action: "/c", ClientHost: `<b>{client}`, Scopes: []ConsentScope{{`<x>`}}}
	body := renderView(t, s, v, "en").Body.String()
	for _, want := range []string{"&lt;i&gt;{host}&lt;/i&gt;", "<b>&lt;b&gt;{client}</b>", "<code>&lt;x&gt;</code>"} {
		if !strings.Contains(body, want) {
			t.Errorf("page lacks %s", want)
		}
	}
}
