package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience bounds waits that a working program never uses up.
const patience = time.Minute

// site is a configuration in a folder of its own, with short paths because those
// of sockets end at 107 bytes.
type site struct {
	dir, data, config string
}

// newTestSite writes a configuration with the settings at its end. Its ports are the
// system's choice, so nobody can sign in to it.
func newTestSite(t *testing.T, settings string) *site {
	t.Helper()
	dir, err := os.MkdirTemp("", "smp-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	s := &site{dir: dir, data: filepath.Join(dir, "data"), config: filepath.Join(dir, "config.yaml")}
	s.write(t, settings)
	return s
}

func (s *site) write(t *testing.T, settings string) {
	t.Helper()
	text := "data_dir: " + s.data + "\n" + settings
	for key, line := range map[string]string{"listen:": "listen: 127.0.0.1:0\n", "private_listen:": "private_listen: 'off'\n"} {
		if !strings.Contains("\n"+text, "\n"+key) {
			text += line
		}
	}
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// run runs a command in this process.
func (s *site) run(t *testing.T, args ...string) (code int, out, errOut string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(t.Context(), append(args, "--config", s.config), nil, strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

// want runs a command and holds its exit code and a text on standard error.
func (s *site) want(t *testing.T, code int, says string, args ...string) {
	t.Helper()
	got, out, errOut := s.run(t, args...)
	if got != code || !strings.Contains(errOut, says) {
		t.Errorf("simplon %s: code %d, want %d and %q in\n%s%s", strings.Join(args, " "), got, code, says, out, errOut)
	}
}

// serve starts the server in this process and returns when it listens. stop ends
// it and returns its exit code.
func (s *site) serve(t *testing.T) (log *watched, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	log = &watched{want: `"msg":"listening"`, seen: make(chan struct{})}
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"serve", "--config", s.config}, nil, strings.NewReader(""), log, log)
	}()
	stop = func() int { cancel(); return <-ended }
	select {
	case <-log.seen:
	case code := <-ended:
		cancel()
		t.Fatalf("serve ended with code %d:\n%s", code, log.text())
	case <-time.After(patience):
		t.Fatalf("serve does not listen, code %d:\n%s", stop(), log.text())
	}
	return log, stop
}

// watched keeps what is written to it, and says when a text came.
type watched struct {
	want string
	seen chan struct{}

	mu   sync.Mutex
	all  strings.Builder
	done bool
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all.Write(p)
	if !w.done && strings.Contains(w.all.String(), w.want) {
		w.done = true
		close(w.seen)
	}
	return len(p), nil
}

func (w *watched) text() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.all.String()
}

// tree lists all names below a folder.
func tree(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		names = append(names, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// writeCertificate writes a self-signed certificate for the host and its key.
func writeCertificate(t *testing.T, dir, host string, until time.Time) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{host}, NotBefore: until.Add(-48 * time.Hour), NotAfter: until}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// must fails the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fmt.Errorf("unexpected: %w", err))
	}
}
