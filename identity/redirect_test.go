package identity_test

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"simplon/identity"
)

const (
	web    = identity.ClientWeb
	spa    = identity.ClientSPA
	native = identity.ClientNative
)

func TestCheckRedirectURI(t *testing.T) {
	for _, c := range []struct {
		name string
		kind identity.ClientKind
		uri  string
		ok   bool
	}{
		{"https", web, "https://app.example/cb", true},
		{"https of a single-page application", spa, "https://app.example/", true},
		{"https with query", web, "https://app.example/cb?x=1&y=%20", true},
		{"https with port", web, "https://app.example:8443/cb", true},
		{"https IPv6", web, "https://[2001:db8::1]/cb", true},
		{"https native", native, "https://app.example/cb", true},
		{"escapes", web, "https://app.example/a%2Fcb", true},
		{"http localhost", web, "http://localhost:3000/cb", true},
		{"http loopback", web, "http://127.0.0.1:3000/cb", true},
		{"http far loopback", web, "http://127.1.2.3/cb", true},
		{"http IPv6 loopback", native, "http://[::1]/cb", true},
		{"own scheme", native, "com.example.app:/cb", true},
		{"own scheme with authority", native, "com.example.app://cb", true},

		{"empty", web, "", false},
		{"relative", web, "/cb", false},
		{"network path", web, "//app.example/cb", false},
		{"no host", web, "https:///cb", false},
		{"no slashes", web, "https:app.example/cb", false},
		{"one slash", web, "https:/app.example/cb", false},
		{"only a port", web, "https://:443/cb", false},
		{"too long", web, "https://app.example/" + strings.Repeat("a", 2000), false},
		{"fragment", web, "https://app.example/cb#x", false},
		{"empty fragment", web, "https://app.example/cb#", false},
		{"fragment of an own scheme", native, "com.example.app:/cb#x", false},
		{"user", web, "https://anna@app.example/cb", false},
		{"user and password", web, "https://anna:pw@app.example/cb", false},
		{"empty user", web, "https://@app.example/cb", false},
		{"user hiding the host", web, "https://app.example%2Fcb@evil.example/", false},
		{"user of an own scheme", native, "com.example.app://anna@cb/", false},
		{"wildcard host", web, "https://*.app.example/cb", false},
		{"wildcard path", web, "https://app.example/*", false},
		{"backslash", web, `https://app.example\@evil.example/cb`, false},
		{"tab", web, "https://app.example/c\tb", false},
		{"line break", web, "https://app.example/cb\n", false},
		{"space", web, "https://app.example/c b", false},
		{"leading space", web, " https://app.example/cb", false},
		{"NUL", web, "https://app.example/cb\x00", false},
		{"letters beyond ASCII", web, "https://app.example/süd", false},
		{"host beyond ASCII", web, "https://müller.example/cb", false},
		{"quote", web, `https://app.example/"cb`, false},
		{"angle", web, "https://app.example/<cb", false},
		{"broken escape", web, "https://app.example/%zz", false},
		{"escape in the host", web, "https://app%2eexample/cb", false},
		{"scheme case", web, "HTTPS://app.example/cb", false},
		{"host case", web, "https://App.example/cb", false},
		{"own scheme case", native, "Com.Example.App:/cb", false},
		{"port that is none", web, "https://app.example:x/cb", false},
		{"http off loopback", web, "http://app.example/cb", false},
		{"http native off loopback", native, "http://192.168.0.1/cb", false},
		{"loopback as a label", web, "http://127.0.0.1.evil.example/cb", false},
		{"localhost as a label", web, "http://localhost.evil.example/cb", false},
		{"short loopback", web, "http://127.1/cb", false},
		{"octal loopback", web, "http://0177.0.0.1/cb", false},
		{"decimal loopback", web, "http://2130706433/cb", false},
		{"unspecified address", web, "http://0.0.0.0/cb", false},
		{"loopback with zone", web, "http://[::1%25eth0]/cb", false},
		{"own scheme of a web application", web, "com.example.app:/cb", false},
		{"own scheme of a single-page application", spa, "com.example.app:/cb", false},
		{"own scheme without dot", native, "myapp:/cb", false},
		{"own scheme with leading dot", native, ".example:/cb", false},
		{"own scheme with trailing dot", native, "example.:/cb", false},
		{"javascript", web, "javascript:alert(1)", false},
		{"javascript native", native, "javascript:alert(1)", false},
		{"javascript in capitals", native, "JavaScript:alert(1)", false},
		{"data", native, "data:text/html,x", false},
		{"file", native, "file:///etc/passwd", false},
		{"about", native, "about:blank", false},
		{"out of band", native, "urn:ietf:wg:oauth:2.0:oob", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := identity.CheckRedirectURI(c.kind, c.uri)
			if (err == nil) != c.ok || err != nil && !errors.Is(err, identity.ErrRedirectURI) {
				t.Errorf("CheckRedirectURI(%s, %q) = %v", c.kind, c.uri, err)
			}
		})
	}
}

func TestMatchRedirectURI(t *testing.T) {
	const cb = "https://app.example/cb"
	for _, c := range []struct {
		name       string
		kind       identity.ClientKind
		registered string
		raw        string
		ok         bool
	}{
		{"same", web, cb, cb, true},
		{"empty", web, cb, "", false},
		{"prefix", web, cb, cb + "x", false},
		{"trailing slash", web, cb, cb + "/", false},
		{"missing trailing slash", web, "https://app.example/", "https://app.example", false},
		{"query added", web, cb, cb + "?a=b", false},
		{"empty query added", web, cb, cb + "?", false},
		{"query changed", web, cb + "?a=b", cb + "?a=c", false},
		{"fragment", web, cb, cb + "#x", false},
		{"userinfo", web, cb, "https://x@app.example/cb", false},
		{"default port", web, cb, "https://app.example:443/cb", false},
		{"host case", web, cb, "https://APP.example/cb", false},
		{"scheme case", web, cb, "HTTPS://app.example/cb", false},
		{"http", web, cb, "http://app.example/cb", false},
		{"encoded slash", web, "https://app.example/a/cb", "https://app.example/a%2Fcb", false},
		{"decoded slash", web, "https://app.example/a%2Fcb", "https://app.example/a/cb", false},
		{"case of an escape", web, "https://app.example/a%2Fcb", "https://app.example/a%2fcb", false},
		{"encoded letter", web, cb, "https://app.example/c%62", false},
		{"twice encoded", web, "https://app.example/a%2Fcb", "https://app.example/a%252Fcb", false},
		{"dot segment", web, cb, "https://app.example/x/../cb", false},
		{"double slash", web, cb, "https://app.example//cb", false},
		{"backslash", web, cb, `https://app.example\cb`, false},
		{"tab", web, cb, "https://app.example/cb\t", false},
		{"space", web, cb, " " + cb, false},
		{"plus for a space", web, "https://app.example/c%20b", "https://app.example/c+b", false},
		{"trailing dot of the host", web, cb, "https://app.example./cb", false},

		{"web loopback same port", web, "http://127.0.0.1:3000/cb", "http://127.0.0.1:3000/cb", true},
		{"web loopback other port", web, "http://127.0.0.1:3000/cb", "http://127.0.0.1:3001/cb", false},
		{"spa loopback other port", spa, "http://127.0.0.1/cb", "http://127.0.0.1:3001/cb", false},
		{"native loopback any port", native, "http://127.0.0.1/cb", "http://127.0.0.1:53124/cb", true},
		{"native loopback other port", native, "http://127.0.0.1:1/cb", "http://127.0.0.1:2/cb", true},
		{"native loopback no port", native, "http://127.0.0.1:1/cb", "http://127.0.0.1/cb", true},
		{"native loopback without path", native, "http://127.0.0.1", "http://127.0.0.1:9", true},
		{"native loopback with query", native, "http://127.0.0.1?a", "http://127.0.0.1:9?a", true},
		{"native IPv6 any port", native, "http://[::1]/cb", "http://[::1]:53124/cb", true},
		{"native IPv6 for IPv4", native, "http://127.0.0.1/cb", "http://[::1]/cb", false},
		{"native other loopback", native, "http://127.0.0.1/cb", "http://127.0.0.2/cb", false},
		{"native other spelling of ::1", native, "http://[::1]/cb", "http://[0:0:0:0:0:0:0:1]/cb", false},
		{"native localhost same port", native, "http://localhost:3000/cb", "http://localhost:3000/cb", true},
		{"native localhost other port", native, "http://localhost:3000/cb", "http://localhost:3001/cb", false},
		{"native localhost for the address", native, "http://127.0.0.1/cb", "http://localhost:3000/cb", false},
		{"native other path", native, "http://127.0.0.1/cb", "http://127.0.0.1:3000/cb/", false},
		{"native escaped path", native, "http://127.0.0.1/a/cb", "http://127.0.0.1:3000/a%2Fcb", false},
		{"native other query", native, "http://127.0.0.1/cb?a=b", "http://127.0.0.1:3000/cb?a=c", false},
		{"native fragment", native, "http://127.0.0.1/cb", "http://127.0.0.1:3000/cb#x", false},
		{"native userinfo", native, "http://127.0.0.1/cb", "http://x@127.0.0.1:3000/cb", false},
		{"native port as userinfo", native, "http://127.0.0.1/cb", "http://127.0.0.1:80@evil.example/cb", false},
		{"native host behind backslash", native, "http://127.0.0.1/cb", `http://127.0.0.1:80\@evil.example/cb`, false},
		{"native port that is none", native, "http://127.0.0.1/cb", "http://127.0.0.1:8x/cb", false},
		{"native negative port", native, "http://127.0.0.1/cb", "http://127.0.0.1:-1/cb", false},
		{"native digits of another script", native, "http://127.0.0.1/cb", "http://127.0.0.1:١/cb", false},
		{"native two ports", native, "http://127.0.0.1/cb", "http://127.0.0.1:1:2/cb", false},
		{"native longer host", native, "http://127.0.0.1/cb", "http://127.0.0.1.evil.example/cb", false},
		{"native https loopback other port", native, "https://127.0.0.1/cb", "https://127.0.0.1:1/cb", false},
		{"native scheme case", native, "http://127.0.0.1/cb", "HTTP://127.0.0.1:1/cb", false},
		{"native https elsewhere other port", native, "https://app.example/cb", "https://app.example:1/cb", false},
		{"native own scheme", native, "com.example.app:/cb", "com.example.app:/cb", true},
		{"native own scheme, slashes", native, "com.example.app:/cb", "com.example.app:///cb", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := identity.MatchRedirectURI(c.kind, []string{"https://other.example/", c.registered}, c.raw); got != c.ok {
				t.Errorf("MatchRedirectURI(%s, %q, %q) = %t", c.kind, c.registered, c.raw, got)
			}
		})
	}
	if identity.MatchRedirectURI(native, nil, "") || identity.MatchRedirectURI(web, nil, cb) {
		t.Error("a client without redirect URIs matched one")
	}
}

func FuzzMatchRedirectURI(f *testing.F) {
	for _, seed := range [][2]string{
		{"https://app.example/a/cb", "https://app.example/a%2Fcb"}, {"https://app.example/cb", "https://x@app.example/cb"},
		{"http://127.0.0.1/cb", "http://127.0.0.1:4711/cb"}, {"http://[::1]/cb?x", "http://[::1]:1/cb?x"}, {"http://127.0.0.1", "http://127.0.0.1:"},
		{"http://localhost/cb", "http://localhost:1/cb"}, {"http://127.0.0.1:1/cb", "http://127.0.0.1:1@evil.example/cb"},
		{"http://127.0.0.1/?a:1/", "http://127.0.0.1:2/?a:1/"}, {"http://[::1]", "http://[::1]:1\\@x"}, {"com.example.app:/cb", "com.example.app:/cb"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, registered, raw string) {
		for _, kind := range []identity.ClientKind{web, spa, native} {
			matched := identity.MatchRedirectURI(kind, []string{registered}, raw)
			if matched == (registered == raw) {
				continue
			}
			if !matched {
				t.Fatalf("%s: %q does not match itself", kind, raw)
			}
			if kind != native || withoutPort(registered) != withoutPort(raw) {
				t.Fatalf("%s: %q matched %q", kind, registered, raw)
			}
			u, err := url.Parse(raw)
			if err != nil || u.Scheme != "http" || u.User != nil || !slices.Contains([]string{"127.0.0.1", "::1"}, u.Hostname()) ||
				strings.Contains(raw, "#") || identity.CheckRedirectURI(native, raw) != nil {
				t.Fatalf("%s: %q matched %q", kind, registered, raw)
			}
		}
	})
}

// withoutPort takes the digits after a loopback address out of a URL, by other
// means than the code it checks.
func withoutPort(uri string) string {
	for _, host := range []string{"http://127.0.0.1", "http://[::1]"} {
		if rest, ok := strings.CutPrefix(uri, host+":"); ok {
			return host + strings.TrimLeft(rest, "0123456789")
		}
	}
	return uri
}

func TestOriginIsWhatABrowserSends(t *testing.T) {
	for uri, want := range map[string]string{
		"https://app.example/cb?x":     "https://app.example",
		"https://app.example:8443/cb":  "https://app.example:8443",
		"https://app.example:443/cb":   "https://app.example",
		"http://localhost:80/cb":       "http://localhost",
		"http://localhost:443/cb":      "http://localhost:443",
		"https://app.example:/cb":      "https://app.example",
		"http://[::1]:3000/":           "http://[::1]:3000",
		"http://[::1]:80/":             "http://[::1]",
		"https://anna@app.example/":    "https://app.example",
		"com.example.app:/cb":          "",
		"com.example.app://host/cb":    "",
		"javascript:alert(1)":          "",
		"https:///cb":                  "",
		"/cb":                          "",
		"":                             "",
		"https://app.example/%zz":      "",
		"https://[::1":                 "",
		"ftp://app.example/cb":         "",
		"file:///etc/passwd":           "",
		"https://app.example\n/injury": "",
	} {
		if got := identity.Origin(uri); got != want {
			t.Errorf("Origin(%q) = %q, want %q", uri, got, want)
		}
	}
}
