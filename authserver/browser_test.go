package authserver

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// browser drives the pages as a browser without JavaScript does: a cookie jar,
// forms that carry their hidden fields, redirects within the issuer followed.
type browser struct {
	w      *world
	client *http.Client
}

func (w *world) browser() *browser {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	w.check(err)
	return &browser{w: w, client: &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// page is where the browser came to a halt: a page of ours, or a redirect to
// somebody else (location).
type page struct {
	b        *browser
	status   int
	path     string // with the query
	location string
	header   http.Header
	body     string
}

// String tells what the page is, for messages: status, path, heading.
func (p *page) String() string {
	heading := regexp.MustCompile(`(?s)<h1>(.*?)</h1>`).FindString(p.body)
	return fmt.Sprintf("%d %.200s (%s, to %.200q)", p.status, p.path, heading, p.location)
}

func (b *browser) get(path string) *page {
	b.w.t.Helper()
	req, err := http.NewRequest(http.MethodGet, b.w.issuer+path, nil)
	b.w.check(err)
	return b.do(req)
}

// do sends a request and follows redirects within the issuer.
func (b *browser) do(req *http.Request) *page {
	b.w.t.Helper()
	for range 10 {
		res, err := b.client.Do(req)
		b.w.check(err)
		body, err := io.ReadAll(res.Body)
		b.w.check(err)
		b.w.check(res.Body.Close())
		p := &page{b: b, status: res.StatusCode, path: req.URL.RequestURI(), header: res.Header, body: string(body), location: res.Header.Get("Location")}
		if p.location == "" {
			return p
		}
		next, err := req.URL.Parse(p.location)
		b.w.check(err)
		if next.Scheme+"://"+next.Host != b.w.issuer {
			return p
		}
		if req, err = http.NewRequest(http.MethodGet, next.String(), nil); err != nil {
			b.w.t.Fatal(err)
		}
	}
	b.w.t.Fatal("more than ten redirects")
	return nil
}

// cookie returns the value of one of the browser's cookies.
func (b *browser) cookie(name string) string {
	b.w.t.Helper()
	u, err := url.Parse(b.w.issuer)
	b.w.check(err)
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// drop forgets one cookie, as when the browser is closed.
func (b *browser) drop(name string) {
	b.w.t.Helper()
	u, err := url.Parse(b.w.issuer)
	b.w.check(err)
	b.client.Jar.SetCookies(u, []*http.Cookie{{Name: name, Path: "/", MaxAge: -1}})
}

var (
	formPattern  = regexp.MustCompile(`(?s)<form[^>]*?action="([^"]*)"[^>]*>(.*?)</form>`)
	inputPattern = regexp.MustCompile(`<input[^>]*>`)
	attrPattern  = regexp.MustCompile(`([a-z-]+)="([^"]*)"`)
)

// form finds the form whose action ends in suffix, with the values of its fields.
func (p *page) form(suffix string) (action string, fields url.Values) {
	p.b.w.t.Helper()
	for _, m := range formPattern.FindAllStringSubmatch(p.body, -1) {
		action := html.UnescapeString(m[1])
		if !strings.HasSuffix(action, suffix) {
			continue
		}
		fields := url.Values{}
		for _, input := range inputPattern.FindAllString(m[2], -1) {
			attrs := map[string]string{}
			for _, a := range attrPattern.FindAllStringSubmatch(input, -1) {
				attrs[a[1]] = html.UnescapeString(a[2])
			}
			if attrs["name"] != "" {
				fields.Add(attrs["name"], attrs["value"])
			}
		}
		return action, fields
	}
	p.b.w.t.Fatalf("%s has no form %q", p, suffix)
	return "", nil
}

// submit posts the form whose action ends in suffix with the fields set: name,
// value, name, value …
func (p *page) submit(suffix string, fields ...string) *page {
	p.b.w.t.Helper()
	action, form := p.form(suffix)
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return p.b.postForm(action, form)
}

// postForm posts as a form of our own pages does.
func (b *browser) postForm(action string, form url.Values) *page {
	b.w.t.Helper()
	req, err := http.NewRequest(http.MethodPost, b.w.issuer+action, strings.NewReader(form.Encode()))
	b.w.check(err)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", b.w.issuer)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(req)
}

// answer returns what the application gets: where, and with which parameters,
// by redirect, by the page that continues, or by a form that posts itself.
func (p *page) answer() (target string, values url.Values) {
	p.b.w.t.Helper()
	switch refresh, ok := strings.CutPrefix(p.header.Get("Refresh"), "0; url="); {
	case p.location != "":
		target = p.location
	case ok:
		target = refresh
	case strings.Contains(p.body, `id="post"`):
		return p.form("")
	default:
		p.b.w.t.Fatalf("%s is no answer to an application", p)
	}
	u, err := url.Parse(target)
	p.b.w.check(err)
	return target, u.Query()
}

// code returns the authorization code of an answer.
func (p *page) code() string {
	p.b.w.t.Helper()
	_, v := p.answer()
	if v.Get("code") == "" {
		p.b.w.t.Fatalf("no code in %v", v)
	}
	return v.Get("code")
}

// want ends the test unless the page has the status and shows the id.
func (p *page) want(status int, id string) *page {
	p.b.w.t.Helper()
	if p.status != status || id != "" && !strings.Contains(p.body, id) {
		p.b.w.t.Fatalf("%s: want %d and %q", p, status, id)
	}
	return p
}

// problem is the text of the error that a form shows, "" for none.
func (p *page) problem() string {
	m := regexp.MustCompile(`(?s)role="alert".*?<p>(.*?)</p>`).FindStringSubmatch(p.body)
	if m == nil {
		return ""
	}
	return regexp.MustCompile(`\s*<span class="id">.*`).ReplaceAllString(m[1], "")
}

func (p *page) isLogin() bool { return strings.Contains(p.body, `autocomplete="username webauthn"`) }

func (p *page) isPassword() bool {
	return strings.Contains(p.body, `autocomplete="current-password" autocapitalize`)
}

func (p *page) isConsent() bool { return strings.Contains(p.body, `value="deny"`) }

// signInID is the id of the sign-in that the page belongs to.
func (p *page) signInID() string {
	p.b.w.t.Helper()
	m := regexp.MustCompile(`sgn_[0-9a-z]{26}`).FindString(p.path + p.body)
	if m == "" {
		p.b.w.t.Fatalf("%s belongs to no sign-in", p.path)
	}
	return m
}

// prove goes through address and password from the page of a sign-in.
func (p *page) prove(who person) *page {
	p.b.w.t.Helper()
	return p.at(who.Login).submit("/password", "password", who.password)
}

// at types the address and stands before the password.
func (p *page) at(login string) *page {
	p.b.w.t.Helper()
	if p.isPassword() {
		p = p.submit("/change")
	}
	if !p.isLogin() {
		p.b.w.t.Fatalf("%s is not the page that asks for the address", p)
	}
	p = p.submit("/login", "login", login)
	if !p.isPassword() {
		p.b.w.t.Fatalf("%s is not the page that asks for the password", p)
	}
	return p
}

// signedIn is a new browser in which the person has a session.
func (w *world) signedIn(who person) *browser {
	w.t.Helper()
	b := w.browser()
	if p := b.get("/").prove(who); !strings.Contains(p.body, who.Login) || p.status != http.StatusOK || p.path != "/" {
		w.t.Fatalf("not signed in: %s", p)
	}
	return b
}

// subtests runs fn for each row of a table by name.
func subtests[T any](t *testing.T, table map[string]T, fn func(t *testing.T, row T)) {
	t.Helper()
	for name, row := range table {
		t.Run(strings.ReplaceAll(name, "/", "|"), func(t *testing.T) { fn(t, row) })
	}
}
