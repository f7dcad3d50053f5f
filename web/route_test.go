package web

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

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
		{"empty token", "csrf=", []string{"Cookie", cookie, "Sec-Fetch-Site", "same-origin"}, 403, "We did not accept this form"},
		{"token of another tab", "csrf=" + otherToken, []string{"Cookie", cookie, "Sec-Fetch-Site", "same-origin"}, 403, "Another tab has taken over"},
		{"token of another tab without fetch metadata", "csrf=" + otherToken, []string{"Cookie", cookie, "Origin", issuer}, 403, "Another tab has taken over"},
		{"token of another tab, reloaded", "csrf=" + otherToken, []string{"Cookie", cookie, "Sec-Fetch-Site", "none", "Origin", issuer}, 403, "Another tab has taken over"},
		{"wrong token from nowhere", "csrf=" + otherToken, []string{"Cookie", cookie}, 403, "We did not accept this form"},
		{"wrong token from our host by the other scheme", "csrf=" + otherToken, []string{"Cookie", cookie, "Sec-Fetch-Site", "none", "Origin", "http://id.nordwand.example"}, 403, "We did not accept this form"},
		{"wrong token cross-site", "csrf=" + otherToken, []string{"Cookie", cookie, "Sec-Fetch-Site", "cross-site", "Origin", issuer}, 403, "We did not accept this form"},
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

// Both tabs asked before either had a cookie; the browser keeps the later one.
func TestTabThatLostItsCookieIsToldSoAndLedOn(t *testing.T) {
	h := form(testSite(t, issuer))
	first, _ := fetchForm(t, h, issuer)
	second, kept := fetchForm(t, h, issuer)
	header := []string{"Cookie", kept, "Sec-Fetch-Site", "same-origin", "Origin", issuer, "Accept-Language", "de-CH"}
	w := post(h, issuer+"/form/1", "login=lena&csrf="+first, header...)
	for _, want := range []string{"Ein anderer Tab hat übernommen", "nicht verwendet", `href="/">Zu Ihrem Konto</a>`} {
		if !strings.Contains(w.Body.String(), want) {
			t.Errorf("page lacks %q: %s", want, w.Body)
		}
	}
	if w.Code != 403 || len(w.Result().Cookies()) != 0 {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := post(h, issuer+"/form/1", "login=lena&csrf="+second, header...); w.Code != 200 {
		t.Errorf("the other tab: %d", w.Code)
	}
}

// acting is a page that acts by GET, beside our static files.
func acting(s *Site) (h http.Handler, acted *atomic.Int32) {
	acted = new(atomic.Int32)
	mux := http.NewServeMux()
	s.Mount(mux)
	mux.Handle("GET /continue", s.Page(func(w http.ResponseWriter, r *http.Request) error {
		acted.Add(1)
		return s.Render(w, r, http.StatusOK, SignedOutPage{})
	}))
	return s.Outer(mux), acted
}

func TestHEADNeverReachesAPage(t *testing.T) {
	s := testSite(t, issuer)
	h, acted := acting(s)
	head := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodHead, issuer+path, nil))
		return w
	}
	if w := head("/continue?ui_lang=de"); w.Code != 405 || w.Header().Get("Allow") != "GET" || len(w.Result().Cookies()) != 0 {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if acted.Load() != 0 {
		t.Error("HEAD acted")
	}
	if w := head(s.static.urls["style.css"]); w.Code != 200 {
		t.Errorf("stylesheet: %d", w.Code)
	}
}

func TestPageIsNotLoadedBeforeAnybodyGoesThere(t *testing.T) {
	var buf bytes.Buffer
	h, acted := acting(testSite(t, issuer, logTo(&buf)))
	for _, header := range [][]string{
		{"Sec-Purpose", "prefetch"}, {"Sec-Purpose", "prefetch;prerender"}, {"Sec-Purpose", "prefetch;anonymous-client-ip"},
		{"Sec-Purpose", "Prerender"}, {"Purpose", "prefetch"},
	} {
		w := get(h, issuer+"/continue?ui_lang=de", header...)
		if w.Code != 503 || w.Body.Len() != 0 || w.Header().Get("Cache-Control") != "no-store" || len(w.Result().Cookies()) != 0 || acted.Load() != 0 {
			t.Errorf("%v: %d %v, acted %d times", header, w.Code, w.Header(), acted.Load())
		}
	}
	if strings.Contains(buf.String(), `"level":"ERROR"`) {
		t.Errorf("a guess of the browser is logged as our failure: %s", buf.String())
	}
	if w := get(h, issuer+"/continue", "Purpose", "anything"); w.Code != 200 || acted.Load() != 1 {
		t.Errorf("a visit: %d", w.Code)
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
