package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

func logTo(out *bytes.Buffer) *slog.Logger { return newLog(out, "debug") }

// An address that this machine does not have used to vanish without a word.
func TestMissingAddressIsWarnedOf(t *testing.T) {
	var out bytes.Buffer
	c := mustLoad(t, "private_listen: 'off'\n")
	c.Listen = List{"192.0.2.1:0", "127.0.0.1:0"} // the first is nobody's (RFC 5737)
	d, err := openDoors(c, false, http.NotFoundHandler(), nil, logTo(&out))
	must(t, err)
	must(t, d.closeListeners())
	if len(d.all) != 1 || !strings.Contains(out.String(), `"level":"WARN"`) || !strings.Contains(out.String(), "192.0.2.1:0") {
		t.Errorf("%d doors, log %s", len(d.all), &out)
	}
	c.Listen = c.Listen[:1]
	if _, err := openDoors(c, false, http.NotFoundHandler(), nil, logTo(&out)); err == nil || !strings.Contains(err.Error(), "192.0.2.1:0") {
		t.Errorf("no address at all: %v", err)
	}
}

func TestAddressInUseIsRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	c := mustLoad(t, "private_listen: 'off'\n")
	c.Listen = List{"127.0.0.1:0", l.Addr().String()}
	if _, err := openDoors(c, false, http.NotFoundHandler(), nil, logTo(&bytes.Buffer{})); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
}

// The server speaks TLS with its certificate, warns of one that no browser will
// take, and of handshakes that fail.
func TestCertificateServes(t *testing.T) {
	dir := t.TempDir()
	cert, key := writeCertificate(t, dir, "other.example.org", time.Now().Add(-time.Hour))
	out := &watched{want: "TLS handshake error", seen: make(chan struct{})}
	c := mustLoad(t, "issuer: https://id.example.org\nlisten: ['127.0.0.1:0', 'localhost:0']\nprivate_listen: 'off'\ntls: {cert_file: "+cert+", key_file: "+key+"}\n")
	d, err := openDoors(c, false, http.NotFoundHandler(), nil, newLog(out, "info"))
	must(t, err)
	for _, text := range []string{"not valid now", "not for the host"} {
		if !strings.Contains(out.text(), text) {
			t.Errorf("no warning %q in %s", text, out.text())
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var group errgroup.Group
	d.serve(ctx, &group)
	for _, address := range d.addresses() {
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) // of this test, and out of date
		must(t, err)
		must(t, conn.Close())
	}
	plain, err := http.Get("http://" + d.addresses()[0])
	must(t, err)
	must(t, plain.Body.Close())
	if plain.StatusCode != http.StatusBadRequest {
		t.Errorf("plain HTTP to TLS: %s", plain.Status)
	}
	<-out.seen
	cancel()
	must(t, group.Wait())
}

func TestConnectionErrorsAreWarnedOfRarely(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	w := &rarely{log: newLog(&out, "info"), now: func() time.Time { return now }}
	for range 1000 {
		if _, err := w.Write([]byte("http: TLS handshake error\n")); err != nil {
			t.Fatal(err)
		}
	}
	now = now.Add(time.Minute)
	if _, err := w.Write([]byte("http: another\n")); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 || !strings.Contains(lines[0], `"WARN"`) || !strings.Contains(lines[1], `"unreported_before":999`) {
		t.Errorf("got %q", lines)
	}
}

// Whoever got hold of the socket is still asked who he is.
func TestAdminAnswersItsUserAndRootOnly(t *testing.T) {
	for _, tc := range []struct {
		who  any
		want int
	}{{nil, http.StatusForbidden}, {peer{uid: -1}, http.StatusForbidden}, {peer{uid: 4711, name: "cli:uid=4711"}, http.StatusForbidden},
		{peer{uid: 1000}, http.StatusOK}, {peer{uid: 0}, http.StatusOK}} {
		var out bytes.Buffer
		r := httptest.NewRequest(http.MethodPost, "/v1/account.list", strings.NewReader("!")) // gets as far as its decoder
		if tc.who != nil {
			r = r.WithContext(context.WithValue(r.Context(), peerKey{}, tc.who))
		}
		w := httptest.NewRecorder()
		adminHandler(nil, 1000, logTo(&out)).ServeHTTP(w, r)
		if w.Code != tc.want {
			t.Errorf("%+v gets %d, want %d", tc.who, w.Code, tc.want)
		}
		if tc.want == http.StatusForbidden && !strings.Contains(out.String(), `"WARN"`) {
			t.Errorf("%+v: no warning in %s", tc.who, &out)
		}
	}
}

// Events name who acted, as the system knows it.
func TestAdminKnowsThePeer(t *testing.T) {
	s := newTestSite(t, "")
	log, stop := s.serve(t)
	s.want(t, 0, "", "account", "list")
	if code := stop(); code != exitOK || !strings.Contains(log.text(), fmt.Sprintf(`"actor":"cli:uid=%d","ok":true`, os.Getuid())) {
		t.Errorf("code %d\n%s", code, log.text())
	}
}
