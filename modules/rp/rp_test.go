package rp_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"simplon/modules/rp"
	"simplon/modules/rp/rptest"
)

// clock is the time of both sides.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// stage is one application with its provider and a browser.
type stage struct {
	t     *testing.T
	clock *clock
	op    *rptest.Provider
	app   *rp.App
	base  string
	log   *bytes.Buffer
}

func newStage(t *testing.T, change func(*rp.Config)) *stage {
	t.Helper()
	s := &stage{t: t, clock: &clock{t: time.Date(2031, 5, 4, 10, 0, 0, 0, time.UTC)}, log: &bytes.Buffer{}}
	s.op = rptest.New(t, s.clock.now, map[string]string{"mail": "mail secret/+"})
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	base, err := url.Parse(server.URL + "/mail")
	if err != nil {
		t.Fatal(err)
	}
	cfg := rp.Config{
		Name: "test_mail", Issuer: s.op.Issuer, ClientID: "mail", ClientSecret: "mail secret/+", Base: base,
		Scopes: []string{"openid", "profile"}, Now: s.clock.now,
		Log: slog.New(slog.NewTextHandler(s.log, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	if s.app, err = rp.New(cfg); err != nil {
		t.Fatal(err)
	}
	s.base = base.String()
	s.mount(mux)
	return s
}

// mount makes the plainest application: it says in its body what happened.
func (s *stage) mount(mux *http.ServeMux) {
	say := func(w http.ResponseWriter, err error) {
		if err != nil {
			io.WriteString(w, "error "+string(rp.KindOf(err))+" "+err.Error())
		}
	}
	modes := map[string]rp.Mode{"": rp.ModeSignIn, "renew": rp.ModeRenew, "check": rp.ModeCheck}
	mux.HandleFunc("GET /mail/signin", func(w http.ResponseWriter, r *http.Request) {
		say(w, s.app.SignIn(w, r, rp.Ask{Mode: modes[r.URL.Query().Get("mode")], Locales: "de"}))
	})
	mux.HandleFunc("GET /mail/callback", func(w http.ResponseWriter, r *http.Request) {
		if _, err := s.app.Callback(w, r); err != nil {
			say(w, err)
			return
		}
		http.Redirect(w, r, "/mail/", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /mail/signout", func(w http.ResponseWriter, r *http.Request) { say(w, s.app.SignOut(w, r, "")) })
	mux.HandleFunc("GET /mail/signed-out", func(w http.ResponseWriter, r *http.Request) {
		if s.app.SignedOut(r) {
			io.WriteString(w, "signed out")
		}
	})
	mux.HandleFunc("GET /mail/refresh", func(w http.ResponseWriter, r *http.Request) {
		say(w, s.app.Refresh(r.Context(), s.app.Session(r)))
	})
	mux.HandleFunc("GET /mail/{$}", func(w http.ResponseWriter, r *http.Request) {
		session := s.app.Session(r)
		if session == nil {
			io.WriteString(w, "nobody")
			return
		}
		info, err := s.app.UserInfo(r.Context(), session)
		if err != nil {
			say(w, err)
			return
		}
		io.WriteString(w, session.Facts().Subject+" "+session.Facts().SID+" "+info["email"].(string))
	})
}

func (s *stage) browser() *http.Client {
	s.t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return &http.Client{Jar: jar}
}

func (s *stage) get(c *http.Client, to string) string {
	s.t.Helper()
	if strings.HasPrefix(to, "/") {
		to = s.base + to
	}
	resp, err := c.Get(to)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(body)
}

// hop follows one redirect only and returns where it leads.
func (s *stage) hop(c *http.Client, to string) string {
	s.t.Helper()
	one := *c
	one.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if strings.HasPrefix(to, "/") {
		to = s.base + to
	}
	resp, err := one.Get(to)
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.Header.Get("Location")
}

func (s *stage) want(got, prefix string) {
	s.t.Helper()
	if !strings.HasPrefix(got, prefix) {
		s.t.Errorf("got %q, want it to begin with %q\nlog: %s", got, prefix, s.log)
	}
}

func TestSignInRenewCheckAndSignOut(t *testing.T) {
	s := newStage(t, nil)
	c := s.browser()
	s.want(s.get(c, "/"), "nobody")
	s.want(s.get(c, "/signin"), "person-1 sid-1 ada@nordwand.example")
	if got := s.op.LastAuthorize(); got.Get("ui_locales") != "de" || got.Get("scope") != "openid profile" || got.Get("prompt") != "" {
		t.Errorf("authorization request: %v", got)
	}
	s.want(s.get(c, "/signin?mode=check"), "person-1 sid-1")
	if got := s.op.LastAuthorize(); got.Get("prompt") != "none" || got.Get("scope") != "openid" {
		t.Errorf("check asked %v", got)
	}
	s.want(s.get(c, "/signin?mode=renew"), "person-1 sid-1")
	s.want(s.get(c, "/signout"), "signed out")
	s.want(s.get(c, "/"), "nobody")
	s.want(s.get(c, "/signin"), "person-1 sid-")
}

func TestAnswerIsGoodOnceInTheBrowserThatAsked(t *testing.T) {
	s := newStage(t, nil)
	c := s.browser()
	callback := s.hop(c, s.hop(c, "/signin"))
	s.want(s.get(s.browser(), callback), "error state") // somebody else's browser spends nothing
	s.want(s.get(c, strings.Replace(callback, "state=", "state=x", 1)), "error state")
	s.want(s.get(c, callback+"&state=twice"), "error state")
	s.want(s.get(c, callback), "person-1")
	s.want(s.get(c, callback), "error state")
	s.want(s.get(c, "/"), "person-1") // a replay does not end the session
}

func TestAnswerExpiresAfterTenMinutes(t *testing.T) {
	s := newStage(t, nil)
	c := s.browser()
	callback := s.hop(c, s.hop(c, "/signin"))
	s.clock.advance(10 * time.Minute)
	s.want(s.get(c, callback), "error state")
}

func TestTwoTabsSignInSideBySide(t *testing.T) {
	s := newStage(t, nil)
	c := s.browser()
	first, second := s.hop(c, "/signin"), s.hop(c, "/signin")
	s.want(s.get(c, first), "person-1")
	s.want(s.get(c, second), "person-1")
}

func TestMisbehavingProviderIsRefused(t *testing.T) {
	hour := time.Hour
	start := time.Date(2031, 5, 4, 10, 0, 0, 0, time.UTC)
	for name, tc := range map[string]struct {
		does rptest.Behaviour
		kind rp.Kind
	}{
		"another iss":         {rptest.Behaviour{Iss: "https://evil.example"}, rp.KindIssuer},
		"no iss":              {rptest.Behaviour{Iss: "-"}, rp.KindIssuer},
		"another iss, denied": {rptest.Behaviour{Iss: "https://evil.example", Deny: "access_denied"}, rp.KindIssuer},
		"denied":              {rptest.Behaviour{Deny: "access_denied"}, rp.KindRefused},
		"token refused":       {rptest.Behaviour{TokenError: "invalid_grant"}, rp.KindRefused},
		"wrong nonce":         {rptest.Behaviour{Claims: map[string]any{"nonce": "other"}}, rp.KindToken},
		"no nonce":            {rptest.Behaviour{Claims: map[string]any{"nonce": nil}}, rp.KindToken},
		"alg none":            {rptest.Behaviour{Alg: "none"}, rp.KindToken},
		"alg HS256":           {rptest.Behaviour{Alg: "HS256"}, rp.KindToken},
		"token expired":       {rptest.Behaviour{Claims: map[string]any{"exp": start.Unix()}}, rp.KindToken},
		"no exp":              {rptest.Behaviour{Claims: map[string]any{"exp": nil}}, rp.KindToken},
		"no iat":              {rptest.Behaviour{Claims: map[string]any{"iat": nil}}, rp.KindToken},
		"iat in the future":   {rptest.Behaviour{Claims: map[string]any{"iat": start.Add(hour).Unix()}}, rp.KindToken},
		"nbf in the future":   {rptest.Behaviour{Claims: map[string]any{"nbf": start.Add(hour).Unix()}}, rp.KindToken},
		"another aud":         {rptest.Behaviour{Claims: map[string]any{"aud": "wiki"}}, rp.KindToken},
		"one aud too many":    {rptest.Behaviour{Claims: map[string]any{"aud": []string{"mail", "wiki"}, "azp": "mail"}}, rp.KindToken},
		"aud of numbers":      {rptest.Behaviour{Claims: map[string]any{"aud": []any{1}}}, rp.KindToken},
		"another azp":         {rptest.Behaviour{Claims: map[string]any{"azp": "wiki"}}, rp.KindToken},
		"another issuer":      {rptest.Behaviour{Claims: map[string]any{"iss": "https://evil.example"}}, rp.KindToken},
		"no sub":              {rptest.Behaviour{Claims: map[string]any{"sub": nil}}, rp.KindToken},
		"another at_hash":     {rptest.Behaviour{Claims: map[string]any{"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}}, rp.KindToken},
		"claims of odd types": {rptest.Behaviour{Claims: map[string]any{"sid": 7}}, rp.KindToken},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, nil)
			s.op.Behave(tc.does)
			c := s.browser()
			s.want(s.get(c, "/signin"), "error "+string(tc.kind))
			s.want(s.get(c, "/"), "nobody")
		})
	}
}

func TestProviderThatIsNotUpYetIsFoundLater(t *testing.T) {
	s := newStage(t, nil)
	c := s.browser()
	s.op.Behave(rptest.Behaviour{Down: true})
	s.want(s.get(c, "/signin"), "error unavailable")
	s.want(s.get(c, "/signin"), "error unavailable")
	if n := s.op.Requests("/.well-known/openid-configuration"); n != 1 {
		t.Errorf("%d discoveries within two seconds, want 1", n)
	}
	s.op.Behave(rptest.Behaviour{})
	s.clock.advance(2 * time.Second)
	s.want(s.get(c, "/signin"), "person-1")
}

func TestDiscoveryOfAnotherIssuerIsRefused(t *testing.T) {
	s := newStage(t, func(cfg *rp.Config) { cfg.Issuer += "/" })
	s.want(s.get(s.browser(), "/signin"), "error unavailable")
}

func TestRefreshRotatesAndExpiredTokenRefreshesByItself(t *testing.T) {
	s := newStage(t, func(cfg *rp.Config) { cfg.Scopes = append(cfg.Scopes, "offline_access") })
	c := s.browser()
	s.want(s.get(c, "/signin"), "person-1")
	if got := s.get(c, "/refresh") + s.get(c, "/refresh"); got != "" {
		t.Errorf("refresh twice: %s", got)
	}
	s.clock.advance(time.Hour)
	before := s.op.Requests("/oauth/token")
	s.want(s.get(c, "/"), "person-1")
	s.want(s.get(c, "/"), "person-1")
	if n := s.op.Requests("/oauth/token") - before; n != 1 {
		t.Errorf("%d refreshes after expiry, want 1", n)
	}
}

func TestParallelRequestsRefreshOnce(t *testing.T) {
	s := newStage(t, func(cfg *rp.Config) { cfg.Scopes = append(cfg.Scopes, "offline_access") })
	c := s.browser()
	s.want(s.get(c, "/signin"), "person-1")
	s.clock.advance(time.Hour)
	before := s.op.Requests("/oauth/token")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { s.want(s.get(c, "/"), "person-1") })
	}
	wg.Wait()
	if n := s.op.Requests("/oauth/token") - before; n != 1 {
		t.Errorf("%d refreshes, want 1", n)
	}
}

func TestRefreshedTokenMustBeAboutTheSamePerson(t *testing.T) {
	for name, claims := range map[string]map[string]any{
		"sub": {"sub": "person-2"}, "auth_time": {"auth_time": 1}, "nonce": {"nonce": "other"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, func(cfg *rp.Config) { cfg.Scopes = append(cfg.Scopes, "offline_access") })
			c := s.browser()
			s.want(s.get(c, "/signin"), "person-1")
			s.op.Behave(rptest.Behaviour{Claims: claims})
			s.want(s.get(c, "/refresh"), "error token")
		})
	}
}

func TestEndOfTheSessionIsNoticed(t *testing.T) {
	t.Run("by userinfo", func(t *testing.T) {
		s := newStage(t, nil)
		c := s.browser()
		s.want(s.get(c, "/signin"), "person-1")
		s.op.EndSession()
		s.want(s.get(c, "/"), "error ended")
		s.want(s.get(c, "/"), "nobody")
	})
	t.Run("by check", func(t *testing.T) {
		s := newStage(t, func(cfg *rp.Config) { cfg.Scopes = append(cfg.Scopes, "offline_access") })
		c := s.browser()
		s.want(s.get(c, "/signin"), "person-1")
		s.op.EndSession()
		s.want(s.get(c, "/"), "person-1") // offline access outlives the session
		s.want(s.get(c, "/signin?mode=check"), "error ended")
		s.want(s.get(c, "/"), "nobody")
	})
	t.Run("by another person", func(t *testing.T) {
		s := newStage(t, nil)
		c, other := s.browser(), s.browser()
		s.want(s.get(c, "/signin"), "person-1")
		s.op.SwitchPerson("person-2")
		s.want(s.get(other, "/signin"), "person-2")
		s.want(s.get(c, "/signin?mode=renew"), "error ended")
		s.want(s.get(c, "/"), "nobody")
		s.want(s.get(other, "/"), "person-2")
	})
	t.Run("by refresh", func(t *testing.T) {
		s := newStage(t, func(cfg *rp.Config) { cfg.Scopes = append(cfg.Scopes, "offline_access") })
		c := s.browser()
		s.want(s.get(c, "/signin"), "person-1")
		s.op.RevokeAll()
		s.want(s.get(c, "/"), "error ended")
		s.want(s.get(c, "/"), "nobody")
	})
	t.Run("but not by a provider in trouble", func(t *testing.T) {
		s := newStage(t, nil)
		c := s.browser()
		s.want(s.get(c, "/signin"), "person-1")
		s.op.Behave(rptest.Behaviour{Deny: "temporarily_unavailable"})
		s.want(s.get(c, "/signin?mode=check"), "error unavailable")
		s.op.Behave(rptest.Behaviour{Down: true})
		s.want(s.get(c, "/"), "error unavailable")
		s.op.Behave(rptest.Behaviour{})
		s.want(s.get(c, "/"), "person-1")
	})
}

func TestExpiredTokenWithoutRefreshTokenAsksForRenewal(t *testing.T) {
	s := newStage(t, nil)
	c := s.browser()
	s.want(s.get(c, "/signin"), "person-1")
	s.want(s.get(c, "/refresh"), "error expired")
	s.clock.advance(5 * time.Minute)
	s.want(s.get(c, "/"), "error expired")
	s.want(s.get(c, "/signin?mode=renew"), "person-1 sid-1")
}

func TestSilentRequestsNeedASession(t *testing.T) {
	s := newStage(t, nil)
	s.want(s.get(s.browser(), "/signin?mode=check"), "error ended")
}

func TestUserInfoAboutAnotherPersonIsRefused(t *testing.T) {
	s := newStage(t, nil)
	c := s.browser()
	s.op.Behave(rptest.Behaviour{UserInfoSub: "person-2"})
	s.want(s.get(c, "/signin"), "error token")
}

func TestAnswersAreBounded(t *testing.T) {
	s := newStage(t, nil)
	s.op.Behave(rptest.Behaviour{Huge: true})
	s.want(s.get(s.browser(), "/signin"), "error unavailable userinfo: unavailable: answer is longer than 1 MiB")
}

func TestSessionsAreBoundedInNumberAndLife(t *testing.T) {
	s := newStage(t, func(cfg *rp.Config) { cfg.MaxSessions, cfg.SessionLife = 2, time.Hour })
	first, second, third := s.browser(), s.browser(), s.browser()
	for _, c := range []*http.Client{first, second, third} {
		s.want(s.get(c, "/signin"), "person-1")
	}
	s.want(s.get(first, "/"), "nobody")
	s.want(s.get(second, "/"), "person-1")
	s.want(s.get(third, "/signin"), "person-1") // replaces its own, not another's
	s.want(s.get(second, "/"), "person-1")
	s.clock.advance(time.Hour)
	s.want(s.get(second, "/"), "nobody")
}

func TestSignOutWhileTheProviderIsDownEndsTheSessionHere(t *testing.T) {
	s := newStage(t, nil)
	c := s.browser()
	s.op.Behave(rptest.Behaviour{Down: true})
	s.want(s.get(c, "/signout"), "error unavailable")
	s.want(s.get(c, "/"), "nobody")
}

func TestSignedOutBelievesItsOwnStateOnce(t *testing.T) {
	s := newStage(t, nil)
	c := s.browser()
	s.want(s.get(c, "/signin"), "person-1")
	back := s.hop(c, s.hop(c, "/signout"))
	s.want(s.get(c, back), "signed out")
	if got := s.get(c, back) + s.get(c, "/signed-out"); got != "" {
		t.Errorf("believed again: %q", got)
	}
}

func TestCookiesAreNarrow(t *testing.T) {
	for scheme, prefix := range map[string]string{"http": "", "https": "__Secure-"} {
		s := newStage(t, func(cfg *rp.Config) {
			base := *cfg.Base
			base.Scheme = scheme
			cfg.Base = &base
		})
		w := httptest.NewRecorder()
		if err := s.app.SignIn(w, httptest.NewRequest("GET", "/mail/signin", nil), rp.Ask{}); err != nil {
			t.Fatal(err)
		}
		got := w.Result().Cookies()
		if len(got) != 1 {
			t.Fatalf("%d cookies, want 1", len(got))
		}
		c := got[0]
		if !strings.HasPrefix(c.Name, prefix+"test_mail_login_") || c.Path != "/mail/callback" || !c.HttpOnly ||
			c.SameSite != http.SameSiteLaxMode || c.Secure != (scheme == "https") || c.MaxAge != 600 {
			t.Errorf("%s: login cookie %v", scheme, c)
		}
	}
}

func TestLogHoldsNoSecret(t *testing.T) {
	s := newStage(t, func(cfg *rp.Config) { cfg.Scopes = append(cfg.Scopes, "offline_access") })
	c := s.browser()
	callback := s.hop(c, s.hop(c, "/signin"))
	s.get(s.browser(), callback)
	s.get(c, callback)
	s.op.Behave(rptest.Behaviour{Claims: map[string]any{"nonce": "other"}})
	s.get(c, "/signin")
	s.get(c, "/refresh")
	s.op.RevokeAll()
	s.get(c, "/")
	u, err := url.Parse(callback)
	if err != nil {
		t.Fatal(err)
	}
	log := s.log.String()
	if log == "" {
		t.Fatal("nothing was logged")
	}
	for _, secret := range []string{"mail secret", "access-", "refresh-", "code-", u.Query().Get("state"), s.op.LastAuthorize().Get("nonce"), "eyJ"} {
		if strings.Contains(log, secret) {
			t.Errorf("log holds %q:\n%s", secret, log)
		}
	}
}

func TestNewRefusesBadConfiguration(t *testing.T) {
	base, _ := url.Parse("http://127.0.0.1:8081/mail")
	good := rp.Config{Name: "a", Issuer: "http://localhost:8080", ClientID: "i", ClientSecret: "s", Base: base, Scopes: []string{"openid"}}
	if _, err := rp.New(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*rp.Config){
		"name":   func(c *rp.Config) { c.Name = "a b" },
		"issuer": func(c *rp.Config) { c.Issuer = "localhost:8080" },
		"secret": func(c *rp.Config) { c.ClientSecret = "" },
		"base":   func(c *rp.Config) { c.Base = &url.URL{Path: "/mail"} },
		"scopes": func(c *rp.Config) { c.Scopes = []string{"profile"} },
	} {
		bad := good
		change(&bad)
		if _, err := rp.New(bad); err == nil {
			t.Errorf("bad %s accepted", name)
		}
	}
}
