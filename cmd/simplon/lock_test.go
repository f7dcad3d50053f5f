package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func never(context.Context) (bool, error) { return false, nil }

func TestLockIsWaitedFor(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	first, err := tryLock(dir)
	must(t, err)
	if second, err := tryLock(dir); second != nil || err != nil {
		t.Fatalf("a second lock: %v, %v", second, err)
	}
	looks := 0
	lock, err := waitLock(t.Context(), dir, func(context.Context) (bool, error) {
		if looks++; looks == 3 {
			first.release()
		}
		return false, nil
	})
	if err != nil || lock == nil || looks < 3 {
		t.Fatalf("after %d looks: %v, %v", looks, lock, err)
	}
	defer lock.release()

	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := waitLock(over, dir, never); err == nil || !strings.Contains(err.Error(), "another simplon uses "+dir) {
		t.Errorf("when the wait is over: %v", err)
	}
	if got, err := waitLock(t.Context(), dir, func(context.Context) (bool, error) { return true, nil }); got != nil || err != nil {
		t.Errorf("when it is done otherwise: %v, %v", got, err)
	}
	failed := errors.New("failed")
	if _, err := waitLock(t.Context(), dir, func(context.Context) (bool, error) { return false, failed }); !errors.Is(err, failed) {
		t.Errorf("when asking fails: %v", err)
	}
}

// A server that runs is told from a command at work by its admin socket: nobody
// waits for it.
func TestSecondServerDoesNotWaitForTheFirst(t *testing.T) {
	dir := newTestSite(t, "").data
	lock, err := tryLock(dir)
	must(t, err)
	defer lock.release()
	l, err := listenPrivately(filepath.Join(dir, socketName))
	must(t, err)
	defer l.Close()
	if _, err := lockForServer(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "a server runs on it") {
		t.Errorf("a second server: %v", err)
	}
}

func TestFolderThatEverybodyWritesIsRefused(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o777))
	if _, err := tryLock(dir); err == nil || !strings.Contains(err.Error(), "chmod 700") {
		t.Errorf("mode 0777: %v", err)
	}
	if names := tree(t, dir); len(names) != 1 {
		t.Errorf("something was made there: %q", names)
	}
}

// ownedBy is a folder of a user.
type ownedBy uint32

func (u ownedBy) Sys() any         { return &syscall.Stat_t{Uid: uint32(u)} }
func (ownedBy) Name() string       { return "data" }
func (ownedBy) Size() int64        { return 0 }
func (ownedBy) Mode() fs.FileMode  { return fs.ModeDir | 0o700 }
func (ownedBy) ModTime() time.Time { return time.Time{} }
func (ownedBy) IsDir() bool        { return true }

// What root made there would stop the server, which runs as another user.
func TestRootStaysOutOfTheFolderOfAnotherUser(t *testing.T) {
	for _, tc := range []struct {
		euid  int
		owner ownedBy
		ok    bool
	}{{0, 0, true}, {0, 1000, false}, {1000, 1000, true}, {1000, 0, true}} {
		if err := foreignFolder("data", tc.euid, tc.owner); (err == nil) != tc.ok {
			t.Errorf("user %d in the folder of %d: %v", tc.euid, tc.owner, err)
		}
	}
}
