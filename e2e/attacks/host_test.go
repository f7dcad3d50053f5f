package attacks

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"simplon/e2e/harness"
)

// A20: no answer is made for a Host that is not ours, and none names it.
func TestA20UnknownHostIsRefused(t *testing.T) {
	server := suite.Start(t, harness.SQLite, nil)
	app := server.NewApp(t)
	own := strings.TrimPrefix(server.Issuer, "http://")
	asked, err := url.Parse(app.Authorize().URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"attacker.example", "attacker.example:" + asked.Port(), own + ".attacker.example", "localhost",
		own + "@attacker.example", "127.0.0.1:" + asked.Port(), own + "."} {
		for _, path := range []string{asked.RequestURI(), "/", "/.well-known/openid-configuration", "/end_session"} {
			answer := raw(t, server, fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", path, host))
			wantRefusedHost(t, host+" "+path, answer)
		}
	}
	for what, request := range map[string]string{
		"in the request line": "GET http://attacker.example" + asked.RequestURI() + " HTTP/1.1\r\nHost: " + own + "\r\nConnection: close\r\n\r\n",
		"twice":               "GET / HTTP/1.1\r\nHost: " + own + "\r\nHost: attacker.example\r\nConnection: close\r\n\r\n",
		"none":                "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
		"HTTP/1.0":            "GET / HTTP/1.0\r\n\r\n",
		"empty":               "GET / HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
	} {
		wantRefusedHost(t, what, raw(t, server, request))
	}
	// Written otherwise, but ours.
	answer := raw(t, server, fmt.Sprintf("GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", strings.ToUpper(own)))
	if answer.StatusCode >= 400 {
		t.Errorf("our host in capitals: status %d", answer.StatusCode)
	}
}

func wantRefusedHost(t *testing.T, what string, answer *http.Response) {
	t.Helper()
	if answer.StatusCode != http.StatusMisdirectedRequest && answer.StatusCode != http.StatusBadRequest {
		t.Errorf("%s: status %d", what, answer.StatusCode)
	}
	for name, values := range answer.Header {
		if strings.Contains(strings.Join(values, " "), "attacker.example") {
			t.Errorf("%s: %s is %q", what, name, values)
		}
	}
	if answer.Header.Get("Location") != "" || answer.Header.Get("Set-Cookie") != "" {
		t.Errorf("%s: redirect or cookie: %v", what, answer.Header)
	}
}

// raw sends bytes to the public listener and reads the head of the answer.
func raw(t *testing.T, server *harness.Server, request string) *http.Response {
	t.Helper()
	conn, err := net.DialTimeout("tcp", server.Address, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("answer to %q: %v", request, err)
	}
	answer.Body.Close()
	return answer
}

// forwarded are the headers a stranger sends to look like a proxy.
func forwarded() http.Header {
	return http.Header{
		"X-Forwarded-Host": {"attacker.example"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Port": {"443"},
		"X-Forwarded-For": {"203.0.113.9"}, "X-Real-Ip": {"203.0.113.9"}, "X-Forwarded-Prefix": {"/attacker"},
		"Forwarded": {`for=203.0.113.9;host=attacker.example;proto=https`}, "X-Original-Url": {"/attacker"}, "X-Rewrite-Url": {"/attacker"},
		"X-Http-Method-Override": {"POST"}, "True-Client-Ip": {"203.0.113.9"}, "X-Host": {"attacker.example"},
	}
}

// A20, A24: forwarded headers of somebody who is no trusted proxy change nothing:
// no link, no cookie flag, no address in the log.
func TestA20ForwardedHeadersAreIgnored(t *testing.T) {
	onEachTarget(t, func(t *testing.T, at target) {
		browser := at.NewBrowser(t)
		browser.Header = forwarded()
		page := get(t, browser, at.app.Authorize().URL)
		if !strings.HasPrefix(page.Header.Get("Location"), "/signin/") && !strings.HasPrefix(page.Header.Get("Location"), at.Issuer+"/signin/") {
			t.Errorf("sent to %q", page.Header.Get("Location"))
		}
		for _, cookie := range page.Header.Values("Set-Cookie") {
			if strings.Contains(cookie, "Secure") || strings.Contains(cookie, "__Host-") || strings.Contains(cookie, "Domain") {
				t.Errorf("cookie %q", cookie)
			}
		}
		first := visit(t, browser, at.app.Authorize().URL)
		if strings.Contains(string(first.Body), "attacker") || first.Header.Get("Strict-Transport-Security") != "" {
			t.Errorf("the page was made for the attacker: %v %s", first.Header, first.Body)
		}
		discovery := get(t, browser, "/.well-known/openid-configuration")
		var metadata map[string]any
		if err := json.Unmarshal(discovery.Body, &metadata); err != nil {
			t.Fatal(err)
		}
		if metadata["issuer"] != at.Issuer || strings.Contains(string(discovery.Body), "attacker") {
			t.Errorf("discovery: %s", discovery.Body)
		}
		at.app.SignIn(t, browser, at.anna)
		at.Stop(t)
		if strings.Contains(at.Logs(), "203.0.113.9") {
			t.Error("the log took the stranger's word for the address")
		}
	})
}

// A24: with a trusted proxy in front, the client is the rightmost hop that is
// none of ours, and the host still comes from the configuration.
func TestA24RightmostForeignHopCounts(t *testing.T) {
	server := suite.Start(t, harness.SQLite, harness.Settings{"trusted_proxies": "127.0.0.0/8"})
	request := httptest.NewRequest(http.MethodGet, server.Issuer+"/no/such/page", nil)
	request.RequestURI = ""
	request.Header.Set("X-Forwarded-For", "198.51.100.1, 203.0.113.9, 127.0.0.5")
	request.Header.Set("X-Forwarded-Host", "attacker.example")
	if page := server.Do(t, request); page.Status != http.StatusNotFound {
		t.Errorf("status %d", page.Status)
	}
	server.WaitLog(t, `"address":"203.0.113.9"`)
}
