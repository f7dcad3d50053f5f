package web

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

var testTime = time.Date(2026, 7, 27, 14, 12, 0, 0, time.UTC)

// testSite is a Site on the issuer with a fixed clock and a fixed seed.
func testSite(t testing.TB, issuer string, change ...func(*Config)) *Site {
	t.Helper()
	u, err := url.Parse(issuer)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Issuer: u, CSRFKey: bytes.Repeat([]byte{7}, 32),
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")},
		SupportContact: "mailto:help@nordwand.example", PrivacyURL: "https://nordwand.example/privacy",
		Now:  func() time.Time { return testTime },
		Rand: &seeded{source: rand.NewChaCha8([32]byte{1})},
	}
	for _, c := range change {
		c(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// seeded is a fixed source that requests may share.
type seeded struct {
	mu     sync.Mutex
	source *rand.ChaCha8
}

func (s *seeded) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.source.Read(p)
}

// logTo gives a site a JSON log in buf.
func logTo(buf *bytes.Buffer) func(*Config) {
	return func(cfg *Config) { cfg.Log = slog.New(slog.NewJSONHandler(buf, nil)) }
}

// sampleViews are all views as people may meet them; origin is where the
// pages that leave us go to.
func sampleViews(origin string) map[string]View {
	gate := Gate{Client: "Nordwand Mail", ClientURL: "https://mail.nordwand.example"}
	const lena = "lena.keller@nordwand.example"
	return map[string]View{
		"login":      LoginPage{Gate: gate, Action: "/signin/abc/login", Login: lena},
		"login-full": LoginPage{Gate: Gate{Client: "Nordwand Fahrplanauskunft und Reservationszentrale Oberwallis"}, Action: "/signin/abc/login", Problem: "address-invalid", ProblemID: "8F3K-20QX", Login: "lena.keller", ForgotURL: "/recover", RegisterURL: "/register"},
		"login-bare": LoginPage{Action: "/signin/abc/login"},
		"password": PasswordPage{Gate: gate, Action: "/signin/abc/password", Login: lena, ChangeAction: "/signin/abc/change",
			Host: "id.nordwand.example", ForgotURL: "/recover"},
		"password-wrong": PasswordPage{Gate: gate, Action: "/signin/abc/password", Login: lena, ChangeAction: "/signin/abc/change",
			Host: "id.nordwand.example", ForgotURL: "/recover", Problem: "sign-in", ProblemID: "8F3K-20QX", Retry: 30 * time.Second},
		"consent": ConsentPage{Gate: Gate{Client: "Nordwand Wiki"}, Action: "/signin/abc/consent", Account: lena, SwitchAction: "/signin/abc/switch",
			ClientHost: "wiki.nordwand.example", PolicyURL: "https://wiki.nordwand.example/privacy", TermsURL: "https://wiki.nordwand.example/terms",
			Scopes: []ConsentScope{{"openid"}, {"profile"}, {"email"}, {"address"}, {"phone"}, {"offline_access"}, {"wiki:pages.write"}}},
		"continue":            ContinuePage{Gate: gate, URL: origin + "/sink?code=x"},
		"form-post":           FormPostPage{Gate: gate, Action: origin + "/sink", Fields: []Field{{"code", "x"}, {"state", `a"b<c>`}}},
		"home":                HomePage{Account: lena, Name: "Lena Keller", Since: testTime, Administrator: true, SignOutAction: "/sign-out", Apps: []AppLink{{"Nordwand Mail", "https://mail.nordwand.example"}, {"Nordwand Wiki", "https://wiki.nordwand.example"}}},
		"home-bare":           HomePage{Account: lena, SignOutAction: "/sign-out"},
		"sign-out":            SignOutPage{Gate: gate, Action: "/end_session", Account: lena, Hidden: []Field{{"handle", "h"}}},
		"signed-out":          SignedOutPage{Gate: gate, ContinueURL: "https://mail.nordwand.example/"},
		"setup":               SetupPage{Action: "/setup/abc", Least: 15, Host: "id.nordwand.example"},
		"setup-problem":       SetupPage{Action: "/setup/abc", Least: 15, Host: "id.nordwand.example", Name: "Lena Keller", Login: lena, Problem: "password-too-short", ProblemID: "8F3K-20QX"},
		"setup-done":          SetupDonePage{SignInURL: "/"},
		"error-expired":       ErrorPage{Key: "expired-sign-in", Args: map[string]string{"app": "Nordwand Mail"}, Action: &Link{"https://mail.nordwand.example/", "action.start-again"}, ID: "8F3K-20QX"},
		"error-tab":           ErrorPage{Key: "other-tab", Action: &Link{"/", "action.home"}, ID: "8F3K-20QX"},
		"error-busy":          ErrorPage{Key: "busy", RetryAfter: 5 * time.Second, ID: "8F3K-20QX"},
		"error-internal":      ErrorPage{Key: "internal", ID: "8F3K-20QX"},
		"error-redirect":      RedirectErrorPage{Client: "Nordwand Wiki", Received: "https://wiki.nordwand.example/auth/callback/", ID: "8F3K-20QX"},
		"error-redirect-bare": RedirectErrorPage{Rule: "missing", ID: "8F3K-20QX"},
	}
}

// get asks a handler as a browser would.
func get(h http.Handler, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	setHeaders(r, header)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// post sends a urlencoded form.
func post(h http.Handler, target, form string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	setHeaders(r, header)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func setHeaders(r *http.Request, header []string) {
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
}
