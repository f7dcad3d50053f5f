package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"
)

// maxHops is how many redirects a browser follows.
const maxHops = 20

// ErrRefused says that a password was not accepted.
var ErrRefused = errors.New("the password was refused")

// Browser is an HTTP client with the manners of a browser: cookies, redirects,
// forms, Sec-Fetch headers. It stays at the server's origin: an address
// elsewhere ends up in Page.Next. One browser is one person: not safe for
// concurrent use; have many for load.
type Browser struct {
	// Header is added to every request, over the browser's own.
	Header http.Header
	Origin *url.URL

	client *http.Client
}

// NewBrowser returns a browser that nobody has used yet.
func (n *Server) NewBrowser(tb testing.TB) *Browser {
	tb.Helper()
	origin, err := url.Parse(n.Issuer)
	if err != nil {
		tb.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		tb.Fatal(err)
	}
	b := &Browser{Header: http.Header{}, Origin: origin}
	b.client = &http.Client{Jar: jar, Transport: n.transport(tb), Timeout: 2 * patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return b
}

// Via returns the same browser (same cookies), whose requests another node
// answers.
func (b *Browser) Via(tb testing.TB, n *Server) *Browser {
	tb.Helper()
	client := *b.client
	client.Transport = n.transport(tb)
	return &Browser{Header: b.Header.Clone(), Origin: b.Origin, client: &client}
}

// transport brings every request for the issuer to this node, whatever the
// port in the address says, as a load balancer would.
func (n *Server) transport(tb testing.TB) *http.Transport {
	dialer := &net.Dialer{Timeout: patience}
	t := &http.Transport{MaxIdleConnsPerHost: 4, DisableCompression: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, n.Address)
		}}
	tb.Cleanup(t.CloseIdleConnections)
	return t
}

// Get types an address and follows redirects within the origin.
func (b *Browser) Get(address string) (*Page, error) {
	target, err := b.Origin.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", address, err)
	}
	return b.follow(http.MethodGet, target, "", "none")
}

// GetOnce asks for an address as a link on a foreign site would, and does not
// follow the answer.
func (b *Browser) GetOnce(address string) (*Page, error) {
	target, err := b.Origin.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", address, err)
	}
	return b.request(http.MethodGet, target, "", "cross-site")
}

// Submit sends a form of ours and follows the answer.
func (b *Browser) Submit(f *Form) (*Page, error) {
	if f.Method == http.MethodGet {
		target := *f.Action
		target.RawQuery = f.Values.Encode()
		return b.follow(http.MethodGet, &target, "", "same-origin")
	}
	return b.follow(http.MethodPost, f.Action, f.Values.Encode(), "same-origin")
}

// PostOnce posts a form body and does not follow the answer; site is what the
// browser says in Sec-Fetch-Site ("same-origin", "cross-site", "" to say
// nothing, as old browsers do).
func (b *Browser) PostOnce(address string, values url.Values, site string) (*Page, error) {
	target, err := b.Origin.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("post %s: %w", address, err)
	}
	return b.request(http.MethodPost, target, values.Encode(), site)
}

func (b *Browser) follow(method string, target *url.URL, body, site string) (*Page, error) {
	for range maxHops {
		page, err := b.request(method, target, body, site)
		if err != nil {
			return nil, err
		}
		next, err := page.target()
		if err != nil || next == nil {
			return page, err
		}
		if !b.ours(next) {
			page.Next = next
			return page, nil
		}
		method, target, body = http.MethodGet, next, ""
	}
	return nil, fmt.Errorf("more than %d redirects, last to %s", maxHops, target)
}

// target is where a page sends the browser by itself, or nil.
func (p *Page) target() (*url.URL, error) {
	to := p.Header.Get("Location")
	if _, refresh, ok := strings.Cut(p.Header.Get("Refresh"), "url="); ok {
		to = refresh
	}
	if to == "" {
		return nil, nil
	}
	next, err := p.URL.Parse(to)
	if err != nil {
		return nil, fmt.Errorf("sent on by %s: %w", p.URL, err)
	}
	return next, nil
}

func (b *Browser) ours(u *url.URL) bool {
	return u.Scheme == b.Origin.Scheme && u.Host == b.Origin.Host
}

func (b *Browser) request(method string, target *url.URL, body, site string) (*Page, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, target.String(), strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, target, err)
	}
	b.dress(r, site)
	return send(b.client, r)
}

// send does a request and reads the answer.
func send(client *http.Client, r *http.Request) (*Page, error) {
	answer, err := client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.URL, err)
	}
	defer answer.Body.Close()
	page := &Page{Status: answer.StatusCode, URL: r.URL, Header: answer.Header}
	if page.Body, err = io.ReadAll(answer.Body); err != nil {
		return nil, fmt.Errorf("%s %s: read: %w", r.Method, r.URL, err)
	}
	return page, page.parse()
}

// dress gives a request the headers that Chromium sends with a navigation.
func (b *Browser) dress(r *http.Request, site string) {
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	r.Header.Set("Accept-Language", "en")
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36")
	if site != "" {
		r.Header.Set("Sec-Fetch-Site", site)
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Sec-Fetch-Dest", "document")
	}
	if r.Method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		switch site {
		case "same-origin":
			r.Header.Set("Origin", b.Origin.Scheme+"://"+b.Origin.Host)
		case "cross-site":
			r.Header.Set("Origin", "https://attacker.example")
		}
	}
	for name, values := range b.Header {
		r.Header[name] = values
		if name == "Host" {
			r.Host = values[0]
		}
	}
}

// Cookie returns the value of a cookie, "" when the browser holds none.
func (b *Browser) Cookie(name string) string {
	for _, c := range b.client.Jar.Cookies(b.Origin) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// SetCookie puts a cookie into the browser; an empty value removes it.
func (b *Browser) SetCookie(name, value string) {
	cookie := &http.Cookie{Name: name, Value: value, Path: "/"}
	if value == "" {
		cookie.MaxAge, cookie.Expires = -1, time.Unix(1, 0)
	}
	b.client.Jar.SetCookies(b.Origin, []*http.Cookie{cookie})
}

// ToPassword opens an authorization address and types the login: it returns the
// page that asks for the password.
func (b *Browser) ToPassword(authorize, login string) (*Page, error) {
	page, err := b.Get(authorize)
	if err != nil {
		return nil, err
	}
	if page.asksPassword() {
		return page, nil
	}
	form, err := page.FormOf("login")
	if err != nil {
		return nil, err
	}
	form.Values.Set("login", login)
	if page, err = b.Submit(form); err != nil {
		return nil, err
	}
	if !page.asksPassword() {
		return nil, fmt.Errorf("after the login, status %d and no password page: %s", page.Status, page.Text())
	}
	return page, nil
}

// asksLogin and asksPassword tell the two pages apart: each has both fields, so
// that password managers fill both; what is only there for them is read-only or
// hidden.
func (p *Page) asksLogin() bool {
	login := p.ByID("login")
	return login != nil && !login.Has("readonly") && login.Attr("type") != "hidden"
}

func (p *Page) asksPassword() bool {
	return !p.asksLogin() && p.ByID("password") != nil
}

// GivePassword fills a password page and presses its button.
func (b *Browser) GivePassword(page *Page, password string) (*Page, error) {
	form, err := page.FormOf("password")
	if err != nil {
		return nil, err
	}
	form.Values.Set("password", password)
	return b.Submit(form)
}

// SignIn goes through every page from an authorization address to the answer
// for the application and returns that address, not visited. It allows what the
// consent page asks. A page that refuses the password again ends it with
// ErrRefused.
func (b *Browser) SignIn(authorize string, who Person) (*url.URL, error) {
	page, err := b.Get(authorize)
	tried := false
	for range 10 {
		switch {
		case err != nil:
			return nil, err
		case page.Next != nil:
			return page.Next, nil
		case page.button("decision", "allow") != nil:
			page, err = b.Decide(page, "allow")
		case page.asksLogin():
			var form *Form
			if form, err = page.FormOf("login"); err == nil {
				form.Values.Set("login", who.Login)
				page, err = b.Submit(form)
			}
		case page.asksPassword() && !tried:
			tried = true
			page, err = b.GivePassword(page, who.Password)
		case page.asksPassword():
			return nil, fmt.Errorf("%w: %s", ErrRefused, page.Text())
		default:
			return nil, fmt.Errorf("stuck at %s, status %d: %s", page.URL, page.Status, page.Text())
		}
	}
	return nil, fmt.Errorf("no end at %s", page.URL)
}

// Decide presses the button that is named decision and has the value.
func (b *Browser) Decide(page *Page, decision string) (*Page, error) {
	form, err := page.formOf(page.button("decision", decision), decision)
	if err != nil {
		return nil, err
	}
	form.Values.Set("decision", decision)
	return b.Submit(form)
}
