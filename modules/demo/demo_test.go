package demo_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"simplon/modules/demo"
	"simplon/modules/rp/rptest"
)

type stage struct {
	t    *testing.T
	op   *rptest.Provider
	base *url.URL
	log  *bytes.Buffer

	mu sync.Mutex
	at time.Time
}

func (s *stage) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

func (s *stage) advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = s.at.Add(d)
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, at: time.Date(2031, 5, 4, 10, 0, 0, 0, time.UTC), log: &bytes.Buffer{}}
	s.op = rptest.New(t, s.now, map[string]string{"id-mail": "secret-mail", "id-wiki": "secret-wiki"})
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	var err error
	if s.base, err = url.Parse(server.URL); err != nil {
		t.Fatal(err)
	}
	site, err := demo.New(demo.Config{
		Issuer: s.op.Issuer, Base: s.base,
		Mail:   demo.App{ClientID: "id-mail", ClientSecret: "secret-mail"},
		Wiki:   demo.App{ClientID: "id-wiki", ClientSecret: "secret-wiki"},
		People: []string{"ada@nordwand.example", "<b>@nordwand.example"},
		Now:    s.now, Log: slog.New(slog.NewTextHandler(s.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	handler = site.Handler()
	return s
}

// browser is a person's browser with a language.
type browser struct {
	*stage
	client *http.Client
	lang   string
}

func (s *stage) browser(lang string) *browser {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &browser{s, &http.Client{Jar: jar}, lang}
}

func (b *browser) do(method, path string, header http.Header) (*http.Response, string) {
	b.t.Helper()
	req, err := http.NewRequest(method, b.base.String()+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	maps.Copy(req.Header, header)
	req.Header.Set("Accept-Language", b.lang)
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return resp, string(body)
}

// sees checks that a page holds, or with a leading "!" lacks, each text.
func (b *browser) sees(method, path string, texts ...string) string {
	b.t.Helper()
	_, page := b.do(method, path, nil)
	for _, text := range texts {
		text, not := strings.CutPrefix(text, "!")
		if strings.Contains(page, text) == not {
			b.t.Errorf("%s %s: contains %q = %v\n%s\nlog: %s", method, path, text, not, page, b.log)
		}
	}
	return page
}

func TestSignInOnceForBothAndOut(t *testing.T) {
	b := newStage(t).browser("en")
	b.sees("GET", "/", "Nordwand Mail", "Nordwand Wiki", "ada@nordwand.example", "&lt;b&gt;@nordwand.example", "!secret-")
	b.sees("GET", "/mail/", `id="signin"`, "Sign in with Simplon", "!id=\"note\"")
	b.sees("GET", "/mail/signin", `id="name">Ada Example`, `id="email">ada@nordwand.example`, "verified",
		`id="sub">person-1`, `id="sid">sid-1`, `id="auth_time">2031-05-04 10:00:00 UTC`, "!offline_access", "userinfo", "at_hash")
	b.sees("GET", "/wiki/", `id="signin"`)
	b.sees("GET", "/wiki/signin", `id="name">Ada Example`, `id="sid">sid-1`, "offline_access")
	b.sees("POST", "/mail/signout", `id="signin"`, "You have signed out, here and at the sign-in service.")
	b.sees("GET", "/mail/", `id="signin"`)

	b.sees("GET", "/wiki/", `id="name"`) // asked less than a minute ago
	b.advance(time.Minute)
	b.sees("GET", "/wiki/", `id="signin"`, "has ended")
	b.sees("GET", "/wiki/", `id="signin"`, "!has ended")
}

func TestMailNoticesTheEndAtItsNextRequest(t *testing.T) {
	b := newStage(t).browser("de")
	b.sees("GET", "/mail/signin", "Angemeldet bei Nordwand Mail", `lang="de"`)
	b.op.EndSession()
	b.sees("GET", "/mail/", `id="signin"`, "Ihre Sitzung beim Anmeldedienst ist beendet")
}

func TestWikiAsksAtMostOnceAMinute(t *testing.T) {
	b := newStage(t).browser("en")
	b.sees("GET", "/wiki/signin", `id="name"`)
	asked := b.op.Requests("/authorize")
	b.advance(59 * time.Second)
	b.sees("GET", "/wiki/", `id="name"`)
	b.advance(time.Second)
	b.sees("GET", "/wiki/", `id="name"`)
	b.sees("GET", "/wiki/", `id="name"`)
	if n := b.op.Requests("/authorize") - asked; n != 1 {
		t.Errorf("asked %d times, want once", n)
	}
	b.advance(time.Minute)
	b.op.Behave(rptest.Behaviour{Deny: "temporarily_unavailable"})
	b.sees("GET", "/wiki/", `id="name"`) // a provider in trouble signs nobody out
}

func TestRefreshRenewsTokensInBoth(t *testing.T) {
	b := newStage(t).browser("en")
	b.sees("GET", "/mail/signin", `id="until">2031-05-04 10:05:00 UTC`)
	b.sees("GET", "/wiki/signin", `id="until">2031-05-04 10:05:00 UTC`)
	b.advance(30 * time.Second)
	for _, app := range []string{"mail", "wiki"} {
		b.sees("POST", "/"+app+"/refresh", "renewed", `id="until">2031-05-04 10:05:30 UTC`)
	}
	b.advance(10 * time.Minute) // now both are out of date and renew by themselves
	for _, app := range []string{"mail", "wiki"} {
		b.sees("GET", "/"+app+"/", `id="until">2031-05-04 10:15:30 UTC`)
	}
}

func TestRevokedGrantEndsTheSession(t *testing.T) {
	b := newStage(t).browser("en")
	for _, app := range []string{"mail", "wiki"} {
		b.sees("GET", "/"+app+"/signin", `id="name"`)
	}
	b.op.RevokeAll()
	b.sees("GET", "/mail/", `id="signin"`, "has ended")
	b.sees("POST", "/wiki/refresh", `id="signin"`, "has ended")
}

func TestTokensDeadOnArrivalMakeNoLoop(t *testing.T) {
	b := newStage(t).browser("en")
	b.op.Behave(rptest.Behaviour{TokenLife: time.Second})
	b.sees("GET", "/mail/signin", `id="name"`)
	b.advance(time.Second)
	b.sees("GET", "/mail/", `id="signin"`, "has ended")
}

func TestProviderTroubleGetsAPage(t *testing.T) {
	for name, tc := range map[string]struct {
		does   rptest.Behaviour
		status int
		text   string
	}{
		"denied":         {rptest.Behaviour{Deny: "access_denied"}, 403, "You have not been signed in"},
		"login required": {rptest.Behaviour{Deny: "login_required"}, 401, "The sign-in needs you"},
		"server error":   {rptest.Behaviour{Deny: "server_error"}, 503, "does not answer"},
		"other":          {rptest.Behaviour{Deny: "invalid_scope"}, 502, "invalid_scope"},
		"not a code":     {rptest.Behaviour{Deny: "<script>"}, 502, "unknown_error"},
		"bad client":     {rptest.Behaviour{TokenError: "invalid_client"}, 502, "invalid_client"},
		"bad issuer":     {rptest.Behaviour{Iss: "https://evil.example"}, 502, "We do not trust this answer"},
		"bad token":      {rptest.Behaviour{Alg: "none"}, 502, "We do not trust this answer"},
		"down":           {rptest.Behaviour{Down: true}, 503, "does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newStage(t).browser("en")
			b.op.Behave(tc.does)
			resp, page := b.do("GET", "/mail/signin", nil)
			if resp.StatusCode != tc.status || !strings.Contains(page, tc.text) || !strings.Contains(page, `id="again" href="/mail/"`) {
				t.Errorf("%d, want %d with %q:\n%s", resp.StatusCode, tc.status, tc.text, page)
			}
		})
	}
}

func TestProviderDownLeavesASignedInPersonWhereTheyAre(t *testing.T) {
	b := newStage(t).browser("en")
	b.sees("GET", "/wiki/signin", `id="name"`)
	b.advance(2 * time.Minute)
	b.op.Behave(rptest.Behaviour{Down: true})
	// The provider's address is known, so the browser is sent there; whoever
	// comes back finds the page.
	b.do("GET", "/wiki/", nil)
	b.sees("GET", "/wiki/", `id="name">Ada Example`, "does not answer")
	b.sees("POST", "/wiki/refresh", "does not answer")
	b.op.Behave(rptest.Behaviour{})
	b.sees("GET", "/wiki/", `id="name">Ada Example`, "!does not answer")
}

func TestReplayedCallbackGetsAPage(t *testing.T) {
	b := newStage(t).browser("en")
	resp, page := b.do("GET", "/mail/callback?code=c&iss=i&state="+strings.Repeat("a", 43), nil)
	if resp.StatusCode != http.StatusBadRequest || !strings.Contains(page, "no longer open") {
		t.Errorf("%d:\n%s", resp.StatusCode, page)
	}
}

func TestForeignFormsAndHostsDoNothing(t *testing.T) {
	b := newStage(t).browser("en")
	b.sees("GET", "/mail/signin", `id="name"`)
	resp, _ := b.do("POST", "/mail/signout", http.Header{"Sec-Fetch-Site": {"cross-site"}})
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("foreign form: %d", resp.StatusCode)
	}
	b.sees("GET", "/mail/", `id="name"`)
	if resp, _ := b.do("GET", "/mail/signout", nil); resp.StatusCode == http.StatusOK {
		t.Error("GET signs out")
	}
	b.sees("GET", "/mail/", `id="name"`)

	req, err := http.NewRequest("GET", b.base.String()+"/mail/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	resp, err = http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusFound || resp.Header.Get("Location") != b.base.String()+"/" {
		t.Errorf("foreign host: %d to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
}

func TestPagesAreStrictAndPlain(t *testing.T) {
	b := newStage(t).browser("de-CH, fr;q=0.5")
	resp, page := b.do("GET", "/mail/", nil)
	want := "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' " + b.op.Issuer
	if got := resp.Header.Get("Content-Security-Policy"); got != want {
		t.Errorf("CSP %q", got)
	}
	if resp.Header.Get("Cache-Control") != "no-store" || !strings.Contains(page, "Mit Simplon anmelden") {
		t.Errorf("%v\n%s", resp.Header, page)
	}
	_, signedIn := b.do("GET", "/mail/signin", nil)
	for _, p := range []string{page, signedIn} {
		if strings.Contains(p, "<script") || strings.Contains(p, "style=") || strings.Contains(p, " onclick") {
			t.Errorf("page needs more than its policy allows:\n%s", p)
		}
		if strings.Contains(p, "access-") || strings.Contains(p, "eyJ") {
			t.Errorf("page shows a token:\n%s", p)
		}
	}
	sheet := regexp.MustCompile(`/static/style\.[0-9a-f]+\.css`).FindString(page)
	resp, _ = b.do("GET", sheet, nil)
	if resp.Header.Get("Content-Type") != "text/css; charset=utf-8" || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("stylesheet: %v", resp.Header)
	}
	if resp, _ := b.do("GET", "/nowhere", nil); resp.StatusCode != http.StatusNotFound {
		t.Errorf("unknown page: %d", resp.StatusCode)
	}
}

func TestClientsGetNarrowCookies(t *testing.T) {
	b := newStage(t).browser("en")
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, _ := b.do("GET", "/wiki/signin", nil)
	c := resp.Cookies()
	if len(c) != 1 || !strings.HasPrefix(c[0].Name, "nordwand_wiki_login_") || !c[0].HttpOnly || c[0].Path != "/wiki/callback" {
		t.Errorf("cookies %v", c)
	}
}

func TestAddressesToRegister(t *testing.T) {
	base, err := url.Parse("http://127.0.0.1:8081")
	if err != nil {
		t.Fatal(err)
	}
	mail, wiki := demo.RedirectURIs(base)
	mailOut, wikiOut := demo.PostLogoutURIs(base)
	got := slices.Concat(mail, wiki, mailOut, wikiOut)
	want := []string{
		"http://127.0.0.1:8081/mail/callback", "http://127.0.0.1:8081/wiki/callback",
		"http://127.0.0.1:8081/mail/signed-out", "http://127.0.0.1:8081/wiki/signed-out",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestBothLanguagesHaveTheSameTexts(t *testing.T) {
	texts := map[string]map[string]string{}
	for _, lang := range []string{"en", "de"} {
		raw, err := os.ReadFile("i18n/" + lang + ".json")
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]string{}
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		texts[lang] = m
	}
	holes := regexp.MustCompile(`\{[a-z]+\}`)
	for key, en := range texts["en"] {
		de, ok := texts["de"][key]
		if !ok || !slices.Equal(holes.FindAllString(en, -1), holes.FindAllString(de, -1)) {
			t.Errorf("%s: %q against %q", key, en, de)
		}
		if strings.Contains(de, "ß") {
			t.Errorf("%s: ß", key)
		}
	}
	if len(texts["en"]) != len(texts["de"]) {
		t.Errorf("%d texts in English, %d in German", len(texts["en"]), len(texts["de"]))
	}
}

func TestNewRefusesBadConfiguration(t *testing.T) {
	base, _ := url.Parse("http://127.0.0.1:8081")
	deep, _ := url.Parse("http://127.0.0.1:8081/demo")
	app := demo.App{ClientID: "i", ClientSecret: "s"}
	for name, cfg := range map[string]demo.Config{
		"base":   {Issuer: "http://localhost:8080", Mail: app, Wiki: app},
		"path":   {Issuer: "http://localhost:8080", Base: deep, Mail: app, Wiki: app},
		"issuer": {Base: base, Mail: app, Wiki: app},
		"secret": {Issuer: "http://localhost:8080", Base: base, Mail: app, Wiki: demo.App{ClientID: "i"}},
	} {
		if _, err := demo.New(cfg); err == nil {
			t.Errorf("bad %s accepted", name)
		}
	}
}
