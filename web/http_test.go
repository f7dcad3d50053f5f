package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"
)

const issuer = "https://id.nordwand.example"

func TestEveryPageHasTheStrictHeaders(t *testing.T) {
	h := form(testSite(t, issuer))
	for _, path := range []string{"/form/1", "/fail", "/panic", "/nowhere"} {
		w := get(h, issuer+path, "Accept", "text/html")
		for name, want := range map[string]string{
			"Content-Security-Policy":      fmt.Sprintf(pageCSP, "'self'"),
			"Cross-Origin-Opener-Policy":   "unsafe-none",
			"Cross-Origin-Resource-Policy": "same-origin",
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "same-origin",
			"Cache-Control":                "no-store",
			"Strict-Transport-Security":    "max-age=63072000",
			"Content-Type":                 "text/html; charset=utf-8",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s %s: %q, want %q", path, name, got, want)
			}
		}
	}
	if w := get(form(testSite(t, "http://localhost:8080")), "http://localhost:8080/form/1"); w.Header().Get("Strict-Transport-Security") != "" {
		t.Error("HSTS over http")
	}
}

func TestOnlyKnownHostsAreAnswered(t *testing.T) {
	h := form(testSite(t, "https://id.nordwand.example", func(c *Config) { c.Hosts = []string{"id2.nordwand.example:8443"} }))
	for host, want := range map[string]int{
		"id.nordwand.example": 200, "ID.Nordwand.Example:443": 200, "id2.nordwand.example:8443": 200,
		"id.nordwand.example:80": 421, "evil.example": 421, "id.nordwand.example.evil.example": 421, "": 421, "id2.nordwand.example": 421,
	} {
		r := httptest.NewRequest(http.MethodGet, "/form/1", nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != want || (want == 421 && strings.Contains(w.Body.String(), "<")) {
			t.Errorf("%q: %d, want %d", host, w.Code, want)
		}
	}
}

func TestReadyzAnswersWhateverTheHost(t *testing.T) {
	s := testSite(t, issuer)
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(http.ResponseWriter, *http.Request) {})
	h := s.Outer(mux)
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/readyz", 200}, {"HEAD", "/readyz", 200}, {"GET", "/readyz?x=1", 200},
		{"POST", "/readyz", 421}, {"GET", "/readyz/", 421}, {"GET", "/readyz/x", 421}, {"GET", "//readyz", 421}, {"GET", "/READYZ", 421}, {"GET", "/", 421},
	} {
		for _, host := range []string{"10.0.0.5:8443", "", "evil.example"} {
			r := httptest.NewRequest(c.method, "/", nil)
			r.URL.Path, r.URL.RawQuery, _ = strings.Cut(c.path, "?")
			r.Host = host
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.want {
				t.Errorf("%s %s at %q: %d, want %d", c.method, c.path, host, w.Code, c.want)
			}
		}
	}
}

func TestClientAddressIsTheRightmostUntrustedHop(t *testing.T) {
	s := testSite(t, issuer)
	for _, c := range []struct{ peer, chain, want string }{
		{"203.0.113.9:1", "", "203.0.113.9"},
		{"203.0.113.9:1", "198.51.100.1", "203.0.113.9"},
		{"127.0.0.1:1", "198.51.100.1", "127.0.0.1"},
		{"10.0.0.1:1", "", "10.0.0.1"},
		{"10.0.0.1:1", "198.51.100.1", "198.51.100.1"},
		{"10.0.0.1:1", "1.1.1.1, 198.51.100.1", "198.51.100.1"},
		{"10.0.0.1:1", "1.1.1.1, 198.51.100.1, 10.2.3.4", "198.51.100.1"},
		{"10.0.0.1:1", "10.5.5.5, 10.2.3.4", "10.5.5.5"},
		{"10.0.0.1:1", "198.51.100.1, rubbish", "10.0.0.1"},
		{"10.0.0.1:1", "198.51.100.1, rubbish, 10.9.9.9", "10.9.9.9"},
		{"10.0.0.1:1", "198.51.100.1:4711", "198.51.100.1"},
		{"10.0.0.1:1", "[2001:db8::7]:4711", "2001:db8::7"},
		{"10.0.0.1:1", "::ffff:198.51.100.1", "198.51.100.1"},
		{"[fd00::1%eth0]:1", "2001:db8::8", "2001:db8::8"},
		{"10.0.0.1:1", ",,", "10.0.0.1"},
		{"@", "198.51.100.1", "invalid IP"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = c.peer
		if c.chain != "" {
			r.Header.Set("X-Forwarded-For", c.chain)
		}
		if got := s.clientIP(r).String(); got != c.want {
			t.Errorf("%s with %q: %s, want %s", c.peer, c.chain, got, c.want)
		}
	}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = "10.0.0.1:1"
	r.Header["X-Forwarded-For"] = []string{"198.51.100.1", "10.2.2.2"}
	if got := s.clientIP(r); got != netip.MustParseAddr("198.51.100.1") {
		t.Errorf("two header lines: %s", got)
	}
}

func TestLogLineHasTheFactsAndNothingElse(t *testing.T) {
	var buf bytes.Buffer
	s := testSite(t, issuer, logTo(&buf))
	mux := http.NewServeMux()
	mux.Handle("GET /things/{id}", s.Page(func(w http.ResponseWriter, r *http.Request) error {
		AddLog(r, slog.String("client_id", "a\r\nb\x1b[31m\u202e"), slog.Any("cause", errors.New("x\ny")))
		return &Error{Status: 404, Key: "not-found", Err: errors.New("row\ngone")}
	}))
	w := get(s.Outer(mux), issuer+"/things/42?code=topsecret", "Cookie", "__Host-s=cookiesecret", "Referer", issuer+"/?x=refsecret")
	line := buf.String()
	if strings.Count(line, "\n") != 1 {
		t.Fatalf("not one line: %q", line)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(line), &got); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]any{
		"method": "GET", "route": "GET /things/{id}", "status": 404.0, "address": "192.0.2.1",
		"client_id": "a b[31m", "cause": "x y", "error": "not-found: row gone", "bytes": float64(w.Body.Len()),
	} {
		if got[key] != want {
			t.Errorf("%s: %q, want %q", key, got[key], want)
		}
	}
	id, _ := got["id"].(string)
	if !regexp.MustCompile(`^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$`).MatchString(id) || !strings.Contains(w.Body.String(), id) {
		t.Errorf("id %q is not the one on the page", id)
	}
	for _, secret := range []string{"topsecret", "cookiesecret", "refsecret", "/things/42"} {
		if strings.Contains(line, secret) {
			t.Errorf("log contains %s", secret)
		}
	}
}

func TestInternalErrorsAndPanicsShowOnlyTheID(t *testing.T) {
	for _, path := range []string{"/fail", "/panic"} {
		var buf bytes.Buffer
		w := get(form(testSite(t, issuer, logTo(&buf))), issuer+path)
		body := w.Body.String()
		if w.Code != 500 || !strings.Contains(body, "Something failed on our side") || strings.Contains(body, "fire") || strings.Contains(body, "boom") {
			t.Errorf("%s: %d %s", path, w.Code, body)
		}
		if !regexp.MustCompile(`Error [0-9A-Z]{4}-[0-9A-Z]{4}`).MatchString(body) {
			t.Errorf("%s: no id on the page", path)
		}
		if log := buf.String(); !strings.Contains(log, `"level":"ERROR"`) || !(strings.Contains(log, "fire") || strings.Contains(log, "boom boom")) {
			t.Errorf("%s: log lacks the cause: %s", path, log)
		}
	}
}

func TestUnroutedRequestsGetOurPages(t *testing.T) {
	h := form(testSite(t, issuer))
	w := get(h, issuer+"/nowhere", "Accept", "text/html,*/*")
	if w.Code != 404 || !strings.Contains(w.Body.String(), "There is no page here") {
		t.Errorf("%d %.200s", w.Code, w.Body)
	}
	w = post(h, issuer+"/fail", "", "Accept", "text/html")
	if w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" || !strings.Contains(w.Body.String(), "cannot be reached this way") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	w = get(h, issuer+"/.well-known/nothing")
	if w.Code != 404 || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestBusyNamesWhenToComeBack(t *testing.T) {
	s := testSite(t, issuer)
	w := get(s.Outer(s.Page(func(http.ResponseWriter, *http.Request) error {
		return &Error{Status: 503, Key: "busy", RetryAfter: 1500 * time.Millisecond}
	})), issuer+"/")
	if w.Code != 503 || w.Header().Get("Retry-After") != "2" || !strings.Contains(w.Body.String(), "in 2 seconds") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestUnknownErrorKeyBecomesInternal(t *testing.T) {
	s := testSite(t, issuer)
	w := get(s.Outer(s.Page(func(http.ResponseWriter, *http.Request) error { return &Error{Status: 400, Key: "no-such-key"} })), issuer+"/")
	if w.Code != 400 || !strings.Contains(w.Body.String(), "Something failed on our side") {
		t.Errorf("%d %.200s", w.Code, w.Body)
	}
}

func TestLanguageIsMenuThenCookieThenApplicationThenBrowser(t *testing.T) {
	s := testSite(t, issuer)
	for _, c := range []struct{ target, cookie, locales, accept, want string }{
		{"/", "", "", "", "en"},
		{"/", "", "", "de-CH,fr;q=0.8", "de"},
		{"/", "", "", "fr", "en"},
		{"/", "", "", "fr;q=0.9, de-AT;q=0.5", "de"},
		{"/", "", "fr de", "en", "de"},
		{"/", "", "xx", "de", "de"},
		{"/", "en", "de", "de", "en"},
		{"/?ui_lang=de", "en", "en", "en", "de"},
		{"/?ui_lang=xx", "de", "", "", "de"},
		{"/", "xx", "", "de", "de"},
		{"/", "", "", strings.Repeat("de,", 200), "en"},
	} {
		r, _ := s.begin(httptest.NewRequest(http.MethodGet, c.target, nil))
		if c.cookie != "" {
			r.AddCookie(&http.Cookie{Name: "__Host-lang", Value: c.cookie})
		}
		if c.accept != "" {
			r.Header.Set("Accept-Language", c.accept)
		}
		if got := s.Lang(WithLang(r, c.locales)); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

func TestLanguageMenuKeepsTheOtherParametersAndSetsTheCookie(t *testing.T) {
	h := form(testSite(t, issuer))
	w := get(h, issuer+"/form/1?handle=a%26b&ui_lang=de")
	if body := w.Body.String(); !strings.Contains(body, `href="?handle=a%26b&amp;ui_lang=en"`) || !strings.Contains(body, "Weiter") {
		t.Errorf("menu: %s", body)
	}
	if cookies := strings.Join(w.Header().Values("Set-Cookie"), "\n"); !strings.Contains(cookies, "__Host-lang=de; Path=/; Max-Age=34560000") {
		t.Errorf("cookies: %s", cookies)
	}
	// The answer to a form has no address of its own to come back to.
	w = post(h, issuer+"/form/1", "", "Referer", issuer+"/form/1?handle=x")
	if !strings.Contains(w.Body.String(), `href="/form/1?handle=x&amp;ui_lang=de"`) {
		t.Errorf("menu after a form: %s", w.Body)
	}
	w = post(h, issuer+"/form/1", "", "Referer", "https://evil.example/form/2")
	if strings.Contains(w.Body.String(), "evil") || strings.Contains(w.Body.String(), "form/2") {
		t.Error("menu follows a foreign referer")
	}
}

func TestStaticFilesAreImmutableAndCompressed(t *testing.T) {
	s := testSite(t, issuer)
	h := form(s)
	for name, u := range s.static.urls {
		w := get(h, issuer+u, "Accept-Encoding", "gzip, br")
		if w.Code != 200 || w.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
		if strings.HasSuffix(name, ".css") && w.Header().Get("Content-Encoding") != "gzip" {
			t.Errorf("%s is not compressed", name)
		}
	}
	sheet := get(h, issuer+s.static.urls["style.css"]).Body.String()
	if !strings.Contains(sheet, `url("`+s.static.urls["road.svg"]+`")`) {
		t.Error("stylesheet names a file without its hash")
	}
	for _, name := range fixed {
		if w := get(h, issuer+"/"+name); w.Code != 200 || w.Header().Get("Content-Type") == "" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
	if w := get(h, issuer+"/static/style.css"); w.Code != 404 {
		t.Errorf("unhashed name: %d", w.Code)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no issuer":       func(c *Config) { c.Issuer = nil },
		"short key":       func(c *Config) { c.CSRFKey = []byte("x") },
		"script contact":  func(c *Config) { c.SupportContact = "javascript:alert(1)" },
		"relative policy": func(c *Config) { c.PrivacyURL = "privacy" },
	} {
		cfg := testSite(t, issuer).cfg
		change(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
