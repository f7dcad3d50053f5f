package harness

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// strictCSP is a policy as the product's pages have it.
const strictCSP = "default-src 'none'; script-src 'self'; style-src 'self'; form-action 'self'; " +
	"require-trusted-types-for 'script'; trusted-types app"

func pageServer(t *testing.T, body func(r *http.Request) string) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", strictCSP)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if r.URL.Path == "/script.js" {
			w.Header().Set("Content-Type", "text/javascript")
			io.WriteString(w, `document.getElementById("scripted").textContent = "scripted"`)
			return
		}
		io.WriteString(w, body(r))
	}))
	t.Cleanup(server.Close)
	return server
}

func wrap(main string) string {
	return `<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>T</title><main><h1>T</h1>` + main + `</main></html>`
}

func TestAxeFindsViolationsBehindAStrictPolicy(t *testing.T) {
	server := pageServer(t, func(r *http.Request) string {
		if r.URL.Path == "/bad" {
			return wrap(`<input name="nameless">`)
		}
		return wrap(`<label for="a">A</label><input id="a">`)
	})
	for _, look := range []Look{PhoneGermanDark(), DesktopEnglishLight(), DesktopNoScript()} {
		t.Run(look.Name, func(t *testing.T) {
			tab := suite.Tab(t, look)
			tab.Open(server.URL + "/bad")
			if found := tab.axe(); len(found) != 1 || found[0].ID != "label" {
				t.Errorf("bad page: %+v", found)
			}
			tab.Open(server.URL + "/good")
			if found := tab.axe(); len(found) != 0 {
				t.Errorf("good page: %+v", found)
			}
			if wide := tab.overflow(); wide != "" {
				t.Errorf("good page overflows: %s", wide)
			}
		})
	}
}

func TestOverflowIsSeen(t *testing.T) {
	server := pageServer(t, func(*http.Request) string {
		return wrap(`<table><tr><td>` + strings.Repeat("x", 500) + `</td></tr></table>`)
	})
	tab := suite.Tab(t, DesktopEnglishLight())
	tab.Open(server.URL)
	if tab.overflow() == "" {
		t.Error("500 letters without a break fit into 320 pixels?")
	}
}

func TestLookReachesThePage(t *testing.T) {
	server := pageServer(t, func(r *http.Request) string {
		return wrap(fmt.Sprintf(`<p id="lang">%s</p><p id="scripted">plain</p><script src="/script.js"></script>`,
			r.Header.Get("Accept-Language")))
	})
	for _, look := range []Look{PhoneGermanDark(), DesktopEnglishLight(), DesktopNoScript()} {
		tab := suite.Tab(t, look)
		if status := tab.Open(server.URL); status != http.StatusOK {
			t.Errorf("%s: status %d", look.Name, status)
		}
		if got := tab.Text("#lang"); !strings.HasPrefix(got, look.Language) {
			t.Errorf("%s: Accept-Language %q", look.Name, got)
		}
		if dark := Evaluate[bool](tab, `matchMedia("(prefers-color-scheme: dark)").matches`); dark != look.Dark {
			t.Errorf("%s: dark is %v", look.Name, dark)
		}
		if width := Evaluate[int64](tab, `innerWidth`); width != look.Width {
			t.Errorf("%s: %d px wide", look.Name, width)
		}
		if scripted := tab.Text("#scripted") == "scripted"; scripted == look.NoScript {
			t.Errorf("%s: scripts ran: %v", look.Name, scripted)
		}
	}
}

// Forms are filled and sent alike with and without JavaScript, tabs of a person
// share cookies and tests do not.
func TestTabsFillFormsAndKeepCookiesApart(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		seen := ""
		if c, err := r.Cookie("s"); err == nil {
			seen = c.Value
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, wrap(`<p id="seen">[`+seen+`]</p><form method="post"><label for="v">V</label><input id="v" name="v" value="old"><button id="submit">Go</button></form>`))
	})
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "s", Value: r.PostFormValue("v"), HttpOnly: true})
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	for _, look := range []Look{PhoneGermanDark(), DesktopNoScript()} {
		t.Run(look.Name, func(t *testing.T) {
			tab := suite.Tab(t, look)
			tab.Open(server.URL)
			tab.Type("#v", "new")
			if status := tab.Press("#submit"); status != http.StatusOK {
				t.Errorf("status %d", status)
			}
			tab.WaitURL(server.URL)
			if got := tab.Text("#seen"); got != "[new]" {
				t.Errorf("after the form: %s", got)
			}
			if got := tab.Cookies()["s"]; got != "new" {
				t.Errorf("cookie s is %q", got)
			}
			second := tab.Another()
			second.Open(server.URL)
			if got := second.Text("#seen"); got != "[new]" {
				t.Errorf("second tab: %s", got)
			}
			stranger := suite.Tab(t, look)
			stranger.Open(server.URL)
			if got := stranger.Text("#seen"); got != "[]" {
				t.Errorf("stranger: %s", got)
			}
		})
	}
	t.Run("cookies off", func(t *testing.T) {
		tab := suite.TabWithoutCookies(t, DesktopEnglishLight())
		tab.Open(server.URL)
		tab.Type("#v", "new")
		tab.Press("#submit")
		if got := tab.Text("#seen"); got != "[]" {
			t.Errorf("a cookie came back: %s", got)
		}
	})
}
