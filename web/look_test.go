package web

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// TestLookOfEveryView renders every view in both languages, light and dark, on
// a phone and a desktop, into PNGs under SIMPLON_SCREENSHOTS (else a temporary
// folder), and asserts what a machine can see: no policy violation, no script
// error, no sideways scrolling at 320 px, nothing to press under 44 px.
func TestLookOfEveryView(t *testing.T) {
	dir := os.Getenv("SIMPLON_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	origin, views := lookServer(t)
	browser := startBrowser(t)
	for name := range views {
		t.Run(name, func(t *testing.T) {
			tab := openTab(t, browser)
			for _, lang := range []string{"en", "de"} {
				tab.resize(390, 844, 2)
				tab.open(origin + "/view/" + name + "?ui_lang=" + lang)
				for _, theme := range []string{"light", "dark"} {
					tab.theme(theme)
					file := filepath.Join(dir, name+"-"+lang+"-"+theme)
					tab.resize(390, 844, 2)
					tab.checkTargets()
					tab.shoot(file + "-390.png")
					tab.resize(1280, 800, 1)
					tab.shoot(file + "-1280.png")
				}
				tab.resize(320, 568, 1)
				tab.checkWidth()
			}
			if name == "login" {
				tab.resize(390, 844, 2)
				tab.do(chromedp.Click(chromedp.CSS("footer summary")))
				tab.shoot(filepath.Join(dir, "menu-de-dark-390.png"))
			}
			tab.checkMessages()
		})
	}
}

// lookServer serves /view/{name}; /sink swallows what pages send on, so that
// the browser stays where it is.
func lookServer(t *testing.T) (string, map[string]View) {
	t.Helper()
	var handler http.Handler
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	s := testSite(t, server.URL)
	views := sampleViews(server.URL)
	mux := http.NewServeMux()
	s.Mount(mux)
	mux.Handle("GET /view/{name}", s.Page(func(w http.ResponseWriter, r *http.Request) error {
		return s.Render(w, r, http.StatusOK, views[r.PathValue("name")])
	}))
	mux.HandleFunc("/sink", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	handler = s.Outer(mux)
	return server.URL, views
}

// startBrowser starts one Chromium for the test. Without one the test fails:
// nobody has looked. Motion is reduced, because Chromium drops mouse clicks
// while a view transition runs and a driver clicks sooner than a person.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	alloc, stop := chromedp.NewExecAllocator(t.Context(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("force-prefers-reduced-motion", true))...)
	t.Cleanup(stop)
	browser, cancel := chromedp.NewContext(alloc)
	t.Cleanup(cancel)
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	return browser
}

// tab is one page of the browser with its own cookies.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	messages []string
}

func openTab(t *testing.T, browser context.Context) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	return b
}

// listen keeps what the browser complains about; policy violations come as
// log entries of source "security" or as errors.
func (b *tab) listen(ev any) {
	var text string
	switch ev := ev.(type) {
	case *log.EventEntryAdded:
		text = fmt.Sprintf("%s %s: %s %s", ev.Entry.Source, ev.Entry.Level, ev.Entry.Text, ev.Entry.URL)
	case *runtime.EventExceptionThrown:
		text = "exception: " + ev.ExceptionDetails.Text
		if ev.ExceptionDetails.Exception != nil {
			text += " " + ev.ExceptionDetails.Exception.Description
		}
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages = append(b.messages, text)
}

func (b *tab) checkMessages() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.messages {
		b.t.Errorf("browser says: %s", m)
	}
}

func (b *tab) theme(name string) {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) open(address string) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.Navigate(address)); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) resize(width, height int64, scale float64) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, chromedp.EmulateViewport(width, height, chromedp.EmulateScale(scale))); err != nil {
		b.t.Fatal(err)
	}
}

// shoot takes the whole page, however long it is.
func (b *tab) shoot(file string) {
	b.t.Helper()
	beyond := true
	shot, err := chromedp.Call(b.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{
		CaptureBeyondViewport: &beyond, OptimizeForSpeed: &beyond,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if !bytes.HasPrefix(shot.Data, []byte("\x89PNG")) {
		b.t.Fatalf("%s is no PNG", file)
	}
	if err := os.WriteFile(file, shot.Data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tab) checkWidth() {
	b.t.Helper()
	wide, err := chromedp.Run(b.ctx, chromedp.Evaluate[int](`document.documentElement.scrollWidth`))
	if err != nil {
		b.t.Fatal(err)
	}
	if wide > 320 {
		b.t.Errorf("page is %d px wide in a window of 320", wide)
	}
}

func (b *tab) checkTargets() {
	b.t.Helper()
	small, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](`[...document.querySelectorAll(
		'button:not([hidden]), a.button, main input:not([type=hidden],[aria-hidden] *), summary, footer nav a, .rows a')]
		.filter(e => e.getBoundingClientRect().height < (e.matches('.link') ? 40 : 44))
		.map(e => e.outerHTML.slice(0, 80) + ' ' + e.getBoundingClientRect().height)`))
	if err != nil {
		b.t.Fatal(err)
	}
	for _, s := range small {
		b.t.Errorf("too small to press: %s", s)
	}
}
