package harness

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/chromedp"
)

// chrome is one running Chromium.
type chrome struct {
	ctx       context.Context
	userAgent string // without the word Headless
	stop      func()
}

// startChrome starts a browser of its own with the further flags and, when
// profile is not "", that folder as user data.
func startChrome(profile string) (*chrome, error) {
	path, err := findChrome()
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path),
		chromedp.NoSandbox, // tests run as root in containers
		chromedp.DisableGPU,
		chromedp.NoFirstRun,
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("disable-component-update", true),
	)
	if profile != "" {
		options = append(options, chromedp.UserDataDir(profile))
	}
	alloc, stopAlloc := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, stopBrowser := chromedp.NewContext(alloc)
	c := &chrome{ctx: ctx, stop: func() { stopBrowser(); stopAlloc() }}
	if err := chromedp.Do(ctx); err != nil {
		c.stop()
		return nil, fmt.Errorf("start Chromium (%s): %w", path, err)
	}
	version, err := chromedp.CallBrowser(ctx, browser.GetVersion, cdp.Empty{})
	if err != nil {
		c.stop()
		return nil, fmt.Errorf("ask Chromium for its version: %w", err)
	}
	c.userAgent = strings.ReplaceAll(version.UserAgent, "Headless", "")
	return c, nil
}

func findChrome() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("chromium is not installed; the tests need it (make deps)")
}

// browser returns the package's Chromium, started at its first use.
func (s *Suite) browser(tb testing.TB) *chrome {
	tb.Helper()
	s.chrome.Do(func() { s.chrome.chrome, s.chrome.err = startChrome("") })
	if s.chrome.err != nil {
		tb.Fatal(s.chrome.err)
	}
	return s.chrome.chrome
}
