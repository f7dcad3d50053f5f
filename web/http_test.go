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

var csrfInput = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// form serves a page with a form at GET and accepts it at POST.
func form(s *Site) http.Handler {
	mux := http.NewServeMux()
	s.Mount(mux)
	mux.Handle("GET /form/{id}", s.Page(func(w http.ResponseWriter, r *http.Request) error {
		return s.Render(w, r, http.StatusOK, LoginPage{Action: "/form/1"})
	}))
	mux.Handle("POST /form/{id}", s.Page(func(w http.ResponseWriter, r *http.Request) error {
		fmt.Fprintf(w, "accepted %s", r.PostForm.Get("login"))
		return nil
	}))
	mux.Handle("GET /fail", s.Page(func(http.ResponseWriter, *http.Request) error { return errors.New("the database is on fire") }))
	mux.Handle("GET /panic", s.Page(func(http.ResponseWriter, *http.Request) error { panic("boom\nboom") }))
	mux.Handle("POST /raw", s.Raw(func(w http.ResponseWriter, r *http.Request) error {
		if s.Cookie(r, "b") != "" || s.Lang(r) != "en" {
			return errors.New("raw route saw a cookie")
		}
		return &Error{Status: 400, Key: "bad-request", Field: "scope", Err: errors.New("secret detail")}
	}))
	mux.Handle("POST /cross", s.CrossSite(func(w http.ResponseWriter, r *http.Request) error {
		return &Error{Status: 400, Key: "unknown-client"}
	}))
	return s.Outer(mux)
}

// fetchForm returns the token and the cookie header of a fresh browser.
func fetchForm(t *testing.T, h http.Handler, base string) (token, cookie string) {
	t.Helper()
	w := get(h, base+"/form/1")
	m := csrfInput.FindStringSubmatch(w.Body.String())
	if m == nil || len(w.Result().Cookies()) != 1 {
		t.Fatalf("no token or cookie: %d %v", w.Code, w.Header())
	}
	c := w.Result().Cookies()[0]
	return m[1], c.Name + "=" + c.Value
}

func TestFormIsAcceptedOnlyFromItsOwnPageAndBrowser(t *testing.T) {
	h := form(testSite(t, issuer))
	token, cookie := fetchForm(t, h, issuer)
	otherToken, otherCookie := fetchForm(t, h, issuer)
	if token == otherToken || cookie == otherCookie {
		t.Fatal("two browsers got the same id")
	}
	good := "login=lena&csrf=" + token
	for _, c := range []struct {
		name, body string
		header     []string
		status     int
		want       string
	}{
		{"good", good, []string{"Cookie", cookie, "Sec-Fetch-Site", "same-origin", "Origin", issuer}, 200, "accepted lena"},
		{"old browser without fetch metadata", good, []string{"Cookie", cookie, "Origin", issuer}, 200, "accepted lena"},
		{"no token", "login=lena", []string{"Cookie", cookie, "Sec-Fetch-Site", "same-origin"}, 403, "We did not accept this form"},
		{"token in the query", "login=lena", []string{"Cookie", cookie, "X-Query", token}, 403, "We did not accept this form"},
		{"wrong token", "csrf=AAAA", []string{"Cookie", cookie, "Sec-Fetch-Site", "same-origin"}, 403, "We did not accept this form"},
		{"token of another browser", "csrf=" + otherToken, []string{"Cookie", cookie, "Sec-Fetch-Site", "same-origin"}, 403, "We did not accept this form"},
		{"cross-site", good, []string{"Cookie", cookie, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403, "We did not accept this form"},
		{"sibling host", good, []string{"Cookie", cookie, "Sec-Fetch-Site", "same-site", "Origin", "https://x.nordwand.example"}, 403, "We did not accept this form"},
		{"foreign origin without fetch metadata", good, []string{"Cookie", cookie, "Origin", "https://evil.example"}, 403, "We did not accept this form"},
		{"origin null", good, []string{"Cookie", cookie, "Origin", "null"}, 403, "We did not accept this form"},
		{"no cookie", good, []string{"Sec-Fetch-Site", "same-origin"}, 403, "keeps no cookies"},
		{"planted second cookie", good, []string{"Cookie", cookie + "; " + otherCookie}, 403, "keeps no cookies"},
		{"too large", good + "&x=" + strings.Repeat("a", defaultMaxBody), []string{"Cookie", cookie, "Sec-Fetch-Site", "same-origin"}, 413, "too much at once"},
		{"broken encoding", good + "&x=%zz", []string{"Cookie", cookie}, 400, "could not read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			target := issuer + "/form/1"
			if c.name == "token in the query" {
				target += "?csrf=" + token
			}
			w := post(h, target, c.body, c.header...)
			if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
				t.Errorf("got %d, want %d with %q: %.300s", w.Code, c.status, c.want, w.Body)
			}
		})
	}
}

func TestMultipartFormIsRefused(t *testing.T) {
	h := form(testSite(t, issuer))
	_, cookie := fetchForm(t, h, issuer)
	r := httptest.NewRequest(http.MethodPost, issuer+"/form/1", strings.NewReader("--x--"))
	setHeaders(r, []string{"Cookie", cookie, "Content-Type", "multipart/form-data; boundary=x"})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusUnsupportedMediaType {
		t.Errorf("status %d", w.Code)
	}
}

func TestCookieFlagsFollowTheIssuer(t *testing.T) {
	for _, c := range []struct{ issuer, want string }{
		{"https://id.example", "__Host-s=v; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax"},
		{"http://localhost:8080", "s=v; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax"},
	} {
		s := testSite(t, c.issuer)
		w := httptest.NewRecorder()
		s.SetCookie(w, "s", "v", time.Hour)
		if got := w.Header().Get("Set-Cookie"); got != c.want {
			t.Errorf("%s: %s", c.issuer, got)
		}
		w = httptest.NewRecorder()
		s.SetCookie(w, "s", "v", 0)
		if got := w.Header().Get("Set-Cookie"); strings.Contains(got, "Max-Age") {
			t.Errorf("session cookie has an age: %s", got)
		}
		w = httptest.NewRecorder()
		s.DropCookie(w, "s")
		if got := w.Header().Get("Set-Cookie"); !strings.Contains(got, "Max-Age=0") {
			t.Errorf("dropped cookie lives on: %s", got)
		}
	}
}

func TestBrowserIDIsKeptAndMadeOnce(t *testing.T) {
	s := testSite(t, "http://localhost:8080")
	r, _ := s.begin(httptest.NewRequest(http.MethodGet, "/", nil))
	w := httptest.NewRecorder()
	id := s.Browser(w, r)
	if id != s.Browser(w, r) || id != s.KnownBrowser(r) || len(w.Result().Cookies()) != 1 {
		t.Error("one request made two ids")
	}
	r = httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(&http.Cookie{Name: "b", Value: id})
	w = httptest.NewRecorder()
	if s.Browser(w, r) != id || len(w.Result().Cookies()) != 0 {
		t.Error("known id was replaced")
	}
	for _, bad := range []string{"", "short", id + "A", strings.Repeat("*", len(id)), strings.Repeat("A", 5000)} {
		r = httptest.NewRequest(http.MethodGet, "/", nil)
		r.AddCookie(&http.Cookie{Name: "b", Value: bad})
		if s.KnownBrowser(r) != "" {
			t.Errorf("%.20q is taken for an id", bad)
		}
	}
}

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

func TestRawRouteAnswersProblemsWithoutCookies(t *testing.T) {
	h := form(testSite(t, issuer))
	_, cookie := fetchForm(t, h, issuer)
	w := post(h, issuer+"/raw?ui_lang=en", "x=y", "Cookie", cookie+"; __Host-lang=de", "Sec-Fetch-Site", "cross-site", "Origin", "https://app.example")
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if w.Code != 400 || w.Header().Get("Content-Type") != "application/problem+json" || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if got["code"] != "bad-request" || got["field"] != "scope" || got["status"] != 400.0 || got["id"] == "" || strings.Contains(w.Body.String(), "secret detail") {
		t.Errorf("%v", got)
	}
}

func TestCrossSiteRouteAnswersPagesWithoutCookies(t *testing.T) {
	s := testSite(t, issuer)
	w := post(form(s), issuer+"/cross", "x=y", "Sec-Fetch-Site", "cross-site", "Origin", "https://app.example", "Accept-Language", "de-CH")
	if w.Code != 400 || !strings.Contains(w.Body.String(), "Diese Anwendung kennen wir nicht") || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	h := s.CrossSite(func(w http.ResponseWriter, r *http.Request) error { return s.Render(w, r, 200, LoginPage{}) })
	if w := post(h, issuer+"/cross", ""); w.Code != 500 || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("a form on a route without cookies: %d", w.Code)
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
