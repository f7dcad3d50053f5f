package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
)

// screenshotsVariable names the folder that pictures of pages go to; relative
// to the module. Without it none are taken.
const screenshotsVariable = "SIMPLON_SCREENSHOTS"

// patience is how long a condition may take to come true before the test gives
// up; it is no expectation of speed.
const patience = 30 * time.Second

// Look is how a visitor sees pages.
type Look struct {
	Name          string // for subtests and pictures, such as "phone-de-dark"
	Width, Height int64  // CSS pixels
	Phone         bool   // touch, mobile viewport
	Dark          bool   // prefers-color-scheme
	NoScript      bool   // JavaScript off
	Language      string // Accept-Language and locale, such as "de"
}

// PhoneGermanDark is a telephone at night.
func PhoneGermanDark() Look {
	return Look{Name: "phone-de-dark", Width: 390, Height: 844, Phone: true, Dark: true, Language: "de"}
}

// DesktopEnglishLight is an ordinary computer.
func DesktopEnglishLight() Look {
	return Look{Name: "desktop-en-light", Width: 1280, Height: 800, Language: "en"}
}

// DesktopNoScript is an ordinary computer with JavaScript switched off.
func DesktopNoScript() Look {
	return Look{Name: "desktop-en-noscript", Width: 1280, Height: 800, Language: "en", NoScript: true}
}

// Tab is one tab of Chromium. Its methods fail the test when the page does not
// come to the state they wait for. Not safe for concurrent use.
type Tab struct {
	Look Look

	suite *Suite
	tb    testing.TB
	ctx   context.Context
	agent string
}

// Tab opens a tab in a browser context of its own (no cookie of any other
// test), closed at the end of the test.
func (s *Suite) Tab(tb testing.TB, look Look) *Tab {
	tb.Helper()
	return s.newTab(tb, s.browser(tb), look)
}

// TabWithoutCookies opens a tab of a browser that was set to take no cookies.
func (s *Suite) TabWithoutCookies(tb testing.TB, look Look) *Tab {
	tb.Helper()
	profile := filepath.Join(tb.TempDir(), "profile")
	preferences := filepath.Join(profile, "Default", "Preferences")
	if err := os.MkdirAll(filepath.Dir(preferences), 0o700); err != nil {
		tb.Fatal(err)
	}
	const never = `{"profile":{"default_content_setting_values":{"cookies":2}}}`
	if err := os.WriteFile(preferences, []byte(never), 0o600); err != nil {
		tb.Fatal(err)
	}
	c, err := startChrome(profile)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		c.stop()
		if err := chromedp.WaitClosed(c.ctx); err != nil {
			tb.Logf("close Chromium: %v", err)
		}
	})
	t := &Tab{Look: look, suite: s, tb: tb, agent: c.userAgent}
	// The preference is the profile's own: no further browser context.
	t.open(chromedp.NewContext(c.ctx))
	return t
}

func (s *Suite) newTab(tb testing.TB, c *chrome, look Look) *Tab {
	t := &Tab{Look: look, suite: s, tb: tb, agent: c.userAgent}
	t.open(chromedp.NewContext(c.ctx, chromedp.WithNewBrowserContext()))
	return t
}

// Another opens a second tab of the same person: same cookies, same look.
func (t *Tab) Another() *Tab {
	t.tb.Helper()
	other := &Tab{Look: t.Look, suite: t.suite, tb: t.tb, agent: t.agent}
	other.open(chromedp.NewContext(t.ctx))
	return other
}

func (t *Tab) open(ctx context.Context, cancel context.CancelFunc) {
	t.tb.Helper()
	t.ctx = ctx
	t.tb.Cleanup(cancel)
	// The first call binds the tab's life to its context, so it has no time-out.
	if err := chromedp.Do(ctx); err != nil {
		t.tb.Fatalf("open a tab: %v", err)
	}
	t.do("dress the tab", t.dress()...)
}

func (t *Tab) dress() []chromedp.Action[chromedp.Void] {
	scheme := "light"
	if t.Look.Dark {
		scheme = "dark"
	}
	actions := []chromedp.Action[chromedp.Void]{
		t.viewport(t.Look.Width, t.Look.Height),
		command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme},
			{Name: "prefers-reduced-motion", Value: "reduce"}, // pictures and axe see pages at rest
		}}),
		t.scripts(!t.Look.NoScript),
	}
	if t.Look.Language != "" {
		actions = append(actions,
			command(emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{
				UserAgent: t.agent, AcceptLanguage: t.Look.Language}),
			command(emulation.SetLocaleOverride, emulation.SetLocaleOverrideParams{Locale: t.Look.Language}))
	}
	return actions
}

func (t *Tab) viewport(width, height int64) chromedp.Action[chromedp.Void] {
	if t.Look.Phone {
		return chromedp.EmulateViewport(width, height, chromedp.EmulateMobile, chromedp.EmulateTouch)
	}
	return chromedp.EmulateViewport(width, height)
}

func (t *Tab) scripts(on bool) chromedp.Action[chromedp.Void] {
	return command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
}

// command turns a protocol command into an action that drops its result.
func command[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, c, params)
		return err
	})
}

func (t *Tab) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		t.fatalf("%s: %v", what, err)
	}
}

// fatalf ends the test, saying and picturing where the tab stood.
func (t *Tab) fatalf(format string, args ...any) {
	t.tb.Helper()
	where := t.URL()
	t.Screenshot("failed-" + strings.ReplaceAll(t.tb.Name(), "/", "-"))
	text, err := evaluate[string](t, `document.documentElement.innerText`)
	if err != nil {
		text = err.Error()
	}
	t.tb.Fatalf("%s\nat %s, which shows:\n%s", fmt.Sprintf(format, args...), where, text)
}

// Open goes to an address as if it were typed, waits until the page has loaded
// and returns the HTTP status of the last answer of the chain.
func (t *Tab) Open(address string) int {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	answer, err := chromedp.Run(ctx, chromedp.NavigateResponse(address))
	if err != nil {
		t.fatalf("open %s: %v", address, err)
	}
	if answer == nil {
		return 0
	}
	return int(answer.Status)
}

// Type replaces the text of a field by keystrokes.
func (t *Tab) Type(css, text string) {
	t.tb.Helper()
	field := chromedp.CSS(css)
	t.do("type into "+css, chromedp.WaitVisible(field), chromedp.Clear(field), chromedp.SendKeys(field, text))
}

// Press clicks something that leads to another page, waits until that has
// loaded and returns its HTTP status. A page that sends the browser on at once
// may already be on its way: follow with WaitURL or WaitFor.
func (t *Tab) Press(css string) int {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	answer, err := chromedp.RunResponse(ctx, chromedp.Click(chromedp.CSS(css)))
	if err != nil {
		t.fatalf("press %s: %v", css, err)
	}
	if answer == nil {
		return 0
	}
	return int(answer.Status)
}

// WaitFor waits until an element is there and visible.
func (t *Tab) WaitFor(css string) {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	// Asked anew each time: pages may come and go meanwhile.
	err := Until(ctx, func() bool {
		seen, err := evaluate[bool](t, fmt.Sprintf(`[...document.querySelectorAll(%q)].some(
			e => e.checkVisibility({visibilityProperty: true}) && e.getClientRects().length > 0)`, css))
		return err == nil && seen
	})
	if err != nil {
		t.fatalf("wait for %s: %v", css, err)
	}
}

// WaitURL waits until the tab shows an address with that beginning, completely
// loaded, and returns the address.
func (t *Tab) WaitURL(prefix string) string {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	err := Until(ctx, func() bool {
		if !strings.HasPrefix(t.URL(), prefix) {
			return false
		}
		state, err := evaluate[string](t, `document.readyState+" "+location.href`)
		return err == nil && strings.HasPrefix(state, "complete "+prefix)
	})
	if err != nil {
		t.fatalf("wait for an address that begins with %s: %v", prefix, err)
	}
	return t.URL()
}

// URL is the address in the address bar, "" before the first page.
func (t *Tab) URL() string {
	history, err := chromedp.Call(t.ctx, page.GetNavigationHistory, cdp.Empty{})
	if err != nil || len(history.Entries) == 0 {
		return ""
	}
	return history.Entries[history.CurrentIndex].URL
}

// Text is the visible text of the first match.
func (t *Tab) Text(css string) string {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS(css)))
	if err != nil {
		t.fatalf("read %s: %v", css, err)
	}
	return text
}

// Has tells whether an element is on the page now.
func (t *Tab) Has(css string) bool {
	t.tb.Helper()
	return Evaluate[bool](t, fmt.Sprintf(`!!document.querySelector(%q)`, css))
}

// Back presses the back button and waits until the page before is there, be it
// loaded again or kept as it was (which brings no load event).
func (t *Tab) Back() {
	t.tb.Helper()
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	history, err := chromedp.Call(ctx, page.GetNavigationHistory, cdp.Empty{})
	if err != nil || history.CurrentIndex == 0 {
		t.fatalf("go back: nothing before this page (%v)", err)
	}
	to := history.Entries[history.CurrentIndex-1]
	t.do("go back", command(page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: to.ID}))
	err = Until(ctx, func() bool {
		now, err := chromedp.Call(ctx, page.GetNavigationHistory, cdp.Empty{})
		if err != nil || now.CurrentIndex == history.CurrentIndex {
			return false
		}
		state, err := evaluate[string](t, `document.readyState`)
		return err == nil && state == "complete"
	})
	if err != nil {
		t.fatalf("go back to %s: %v", to.URL, err)
	}
}

// Reload reloads the page, confirming that a form is sent again.
func (t *Tab) Reload() {
	t.tb.Helper()
	t.do("reload", chromedp.Reload())
}

// Cookies returns name and value of every cookie the person's browser holds.
func (t *Tab) Cookies() map[string]string {
	t.tb.Helper()
	id := chromedp.FromContext(t.ctx).BrowserContextID
	result, err := chromedp.CallBrowser(t.ctx, storage.GetCookies, storage.GetCookiesParams{BrowserContextID: id})
	if err != nil {
		t.fatalf("read cookies: %v", err)
	}
	jar := map[string]string{}
	for _, c := range result.Cookies {
		jar[c.Name] = c.Value
	}
	return jar
}

// Screenshot keeps a picture of the whole page under that name, if pictures
// are asked for.
func (t *Tab) Screenshot(name string) {
	t.tb.Helper()
	folder := os.Getenv(screenshotsVariable)
	if folder == "" {
		return
	}
	if !filepath.IsAbs(folder) {
		folder = filepath.Join(t.suite.Root, folder)
	}
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	picture, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.tb.Errorf("picture %s: %v", name, err)
		return
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.tb.Errorf("picture %s: %v", name, err)
		return
	}
	if err := os.WriteFile(filepath.Join(folder, name+"-"+t.Look.Name+".png"), picture, 0o644); err != nil {
		t.tb.Errorf("picture %s: %v", name, err)
	}
}

// Evaluate runs an expression in the page and returns its value.
func Evaluate[T any](t *Tab, expression string) T {
	t.tb.Helper()
	value, err := evaluate[T](t, expression)
	if err != nil {
		t.fatalf("evaluate %s: %v", expression, err)
	}
	return value
}

// evaluate runs an expression in an isolated world: no policy of the page holds
// there, and nothing of the page can interfere.
func evaluate[T any](t *Tab, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(t.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, func(ctx context.Context, target *chromedp.Target) (T, error) {
		var zero T
		world, err := isolatedWorld(ctx, target)
		if err != nil {
			return zero, err
		}
		return chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise,
			func(p *runtime.EvaluateParams) { p.ContextID = world })(ctx, target)
	})
}

func isolatedWorld(ctx context.Context, target *chromedp.Target) (runtime.ExecutionContextID, error) {
	tree, err := cdp.Call(ctx, target, page.GetFrameTree, cdp.Empty{})
	if err != nil {
		return 0, fmt.Errorf("find the frame: %w", err)
	}
	world, err := cdp.Call(ctx, target, page.CreateIsolatedWorld,
		page.CreateIsolatedWorldParams{FrameID: tree.FrameTree.Frame.ID, WorldName: "e2e"})
	if err != nil {
		return 0, fmt.Errorf("make an isolated world: %w", err)
	}
	return world.ExecutionContextID, nil
}
