package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A server that was killed, or stopped, leaves its socket; it used to keep the
// next one from starting.
func TestSocketLeftBehindIsReplaced(t *testing.T) {
	dir := newTestSite(t, "").dir
	for _, path := range []string{filepath.Join(dir, "s"), filepath.Join(dir, strings.Repeat("long", 25), "s")} {
		must(t, os.MkdirAll(filepath.Dir(path), 0o700))
		for range 3 {
			l, err := listenPrivately(path)
			must(t, err)
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			if l.Addr().String() != path {
				t.Errorf("its name is %s", l.Addr())
			}
			c, err := dialPrivately(t.Context(), path)
			must(t, err)
			must(t, c.Close())
			must(t, l.Close())
			if _, err := dialPrivately(t.Context(), path); !errors.Is(err, errNoServer) {
				t.Errorf("after closing: %v", err)
			}
		}
		if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".socket-*")); err != nil || len(left) > 0 {
			t.Errorf("left behind: %q, %v", left, err)
		}
		must(t, os.Remove(path))
	}
}

func TestSocketInUseOrNoSocketIsLeftAlone(t *testing.T) {
	path := filepath.Join(newTestSite(t, "").dir, "s")
	l, err := net.Listen("unix", path)
	must(t, err)
	if _, err := listenPrivately(path); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("a live socket: %v", err)
	}
	must(t, l.Close()) // removes it
	must(t, os.WriteFile(path, []byte("mine"), 0o600))
	if _, err := listenPrivately(path); err == nil || !strings.Contains(err.Error(), "is no socket") {
		t.Errorf("a file: %v", err)
	}
	if text, err := os.ReadFile(path); string(text) != "mine" {
		t.Errorf("the file was changed: %q, %v", text, err)
	}
}
