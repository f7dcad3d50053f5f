package web

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// application is another origin; it sends the path, the method and the form
// field code of what reaches it to the returned channel.
func application(t *testing.T) (origin string, arrived <-chan string) {
	t.Helper()
	c := make(chan string, 8)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/favicon.ico" {
			c <- fmt.Sprintf("%s %s code=%s origin=%s", r.Method, r.URL.Path, r.FormValue("code"), r.Header.Get("Origin"))
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<title>app</title>")
	}))
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "127.0.0.1", "localhost", 1), c
}

// chainServer is one sign-in from the form to the application. Without script
// our modules are empty; the engine's own switch would stop the driver too.
func chainServer(t *testing.T, app string, script bool) string {
	t.Helper()
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !script && strings.HasSuffix(r.URL.Path, ".js") {
			w.Header().Set("Content-Type", "text/javascript")
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s := testSite(t, server.URL)
	mux := http.NewServeMux()
	s.Mount(mux)
	mux.Handle("GET /password", s.Page(func(w http.ResponseWriter, r *http.Request) error {
		return s.Render(w, r, http.StatusOK, PasswordPage{Login: "lena@nordwand.example", Action: "/password", Host: "localhost"})
	}))
	mux.Handle("POST /password", s.Page(func(w http.ResponseWriter, r *http.Request) error {
		http.Redirect(w, r, "/"+r.PostForm.Get("password"), http.StatusSeeOther)
		return nil
	}))
	mux.Handle("GET /continue", s.Page(func(w http.ResponseWriter, r *http.Request) error {
		return s.Render(w, r, http.StatusOK, ContinuePage{URL: app + "/callback?code=x"})
	}))
	mux.Handle("GET /form-post", s.Page(func(w http.ResponseWriter, r *http.Request) error {
		return s.Render(w, r, http.StatusOK, FormPostPage{Action: app + "/callback", Fields: []Field{{"code", "x"}}})
	}))
	handler = s.Outer(mux)
	return server.URL
}

// A form that ends at another origin is blocked by form-action 'self' without
// a word; the continue page is the cure.
func TestSignInReachesTheApplicationFromAForm(t *testing.T) {
	browser := startBrowser(t)
	for _, c := range []struct {
		name, next, want string
		script           bool
	}{
		{"continue", "continue", "GET /callback code=x origin=", true},
		{"continue without JavaScript", "continue", "GET /callback code=x origin=", false},
		{"form_post", "form-post", "POST /callback code=x origin=http://127.0.0.1:", true},
		{"form_post without JavaScript", "form-post", "POST /callback code=x origin=http://127.0.0.1:", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			app, arrived := application(t)
			tab := openTab(t, browser)
			tab.open(chainServer(t, app, c.script) + "/password")
			tab.do(chromedp.SendKeys(chromedp.CSS("#password"), c.next))
			arrive := chromedp.WaitEvent(page.LoadEventFired, nil, chromedp.Click(chromedp.CSS("#submit")))
			if _, err := chromedp.Run(tab.ctx, arrive); err != nil {
				t.Fatal(err)
			}
			if c.next == "form-post" && !c.script {
				tab.do(chromedp.Click(chromedp.CSS("#continue")))
			}
			select {
			case got := <-arrived:
				if !strings.HasPrefix(got, c.want) {
					t.Errorf("application got %q, want %q", got, c.want)
				}
			case <-tab.ctx.Done():
				t.Error("browser ended before the application was reached")
			}
			tab.checkMessages()
		})
	}
}

// Chromium asks for the page early, is refused, and asks again when its person
// goes there.
func TestPrefetchedPageActsOnlyWhenItIsOpened(t *testing.T) {
	early := make(chan string, 8)
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/start" {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, `<link rel="icon" href="data:,"><link rel="prefetch" href="/continue"><a id="go" href="/continue">go</a>`)
			return
		}
		handler.ServeHTTP(w, r)
		if purpose := r.Header.Get("Sec-Purpose"); purpose != "" {
			early <- purpose
		}
	}))
	t.Cleanup(server.Close)
	var acted *atomic.Int32
	handler, acted = acting(testSite(t, server.URL))
	tab := openTab(t, startBrowser(t))
	tab.open(server.URL + "/start")
	select {
	case got := <-early:
		if got != "prefetch" || acted.Load() != 0 {
			t.Errorf("%q acted %d times", got, acted.Load())
		}
	case <-tab.ctx.Done():
		t.Fatal("browser ended before it asked")
	}
	arrive := chromedp.WaitEvent(page.LoadEventFired, nil, chromedp.Click(chromedp.CSS("#go")))
	if _, err := chromedp.Run(tab.ctx, arrive); err != nil {
		t.Fatal(err)
	}
	title, err := chromedp.Run(tab.ctx, chromedp.Evaluate[string]("document.title"))
	if err != nil || !strings.Contains(title, "You are signed out") || acted.Load() != 1 {
		t.Errorf("%q, acted %d times: %v", title, acted.Load(), err)
	}
}

func TestPasswordIsShownOnRequestAndHiddenBeforeItIsSent(t *testing.T) {
	app, _ := application(t)
	tab := openTab(t, startBrowser(t))
	tab.open(chainServer(t, app, true) + "/password")
	kind := func() string {
		got, err := chromedp.Run(tab.ctx, chromedp.Evaluate[string](
			`document.getElementById('password').type + ' ' + document.querySelector('.reveal').getAttribute('aria-pressed')`))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := kind(); got != "password false" {
		t.Errorf("at first: %s", got)
	}
	tab.do(chromedp.Click(chromedp.CSS(".reveal")))
	if got := kind(); got != "text true" {
		t.Errorf("after one press: %s", got)
	}
	if _, err := chromedp.Run(tab.ctx, chromedp.Evaluate[bool](`addEventListener('submit', e => e.preventDefault()), true`)); err != nil {
		t.Fatal(err)
	}
	tab.do(chromedp.Click(chromedp.CSS("#submit")))
	if got := kind(); got != "password false" {
		t.Errorf("when sent: %s", got)
	}
	tab.checkMessages()
}

func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}
