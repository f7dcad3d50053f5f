package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// lockPatience is how long a command, or a server that starts, waits for a
// command that is at work; lockAgain is how often it looks.
const (
	lockPatience = 5 * time.Second
	lockAgain    = 50 * time.Millisecond
)

// fileLock is an exclusive lock on data_dir. The system drops it when the process
// ends, however it ends, so a kill leaves nothing behind that delays a restart.
type fileLock struct{ file *os.File }

func (l *fileLock) release() {
	// Closing drops the lock; an error here changes nothing for anybody.
	_ = l.file.Close()
}

// tryLock makes the folder if it is missing and takes its lock; nil where
// somebody holds it.
func tryLock(dir string) (*fileLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o002 != 0 {
		return nil, fmt.Errorf("data_dir: everybody may write into %s (%04o); chmod 700 it", dir, mode)
	}
	flags := os.O_CREATE | os.O_RDWR | unix.O_CLOEXEC
	foreign := foreignFolder(dir, os.Geteuid(), info)
	if foreign != nil {
		flags &^= os.O_CREATE
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), flags, 0o600)
	if foreign != nil && errors.Is(err, fs.ErrNotExist) {
		return nil, foreign
	}
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, f.Close()
	}
	if err != nil {
		err = fmt.Errorf("data_dir lock: %w", err)
	} else {
		err = foreign // a running server would have done the work under its own user
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &fileLock{f}, nil
}

// foreignFolder refuses root in the folder of somebody else: the files it made
// there would stop the server at its next start.
func foreignFolder(dir string, euid int, info fs.FileInfo) error {
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || euid != 0 || owner.Uid == 0 {
		return nil
	}
	return fmt.Errorf("data_dir: %s belongs to user id %d; run simplon as that user and not as root", dir, owner.Uid)
}

// waitLock takes the lock on data_dir, if need be after waiting for whoever holds
// it until ctx ends. Meanwhile is asked before each wait: done, or its error,
// ends it, without a lock.
func waitLock(ctx context.Context, dir string, meanwhile func(context.Context) (done bool, err error)) (*fileLock, error) {
	tick := time.NewTicker(lockAgain)
	defer tick.Stop()
	for {
		lock, err := tryLock(dir)
		if lock != nil || err != nil {
			return lock, err
		}
		if done, err := meanwhile(ctx); done || err != nil {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("another simplon uses %s: a command at work, or a server that starts or stops; try again in a moment", dir)
		case <-tick.C:
		}
	}
}

// lockForServer takes the lock for as long as a server runs.
func lockForServer(ctx context.Context, dir string) (*fileLock, error) {
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	return waitLock(ctx, dir, func(ctx context.Context) (bool, error) {
		c, err := dialAdmin(ctx, dir)
		if errors.Is(err, errNoServer) {
			return false, nil
		}
		if err == nil {
			err = c.Close()
		}
		return true, errors.Join(fmt.Errorf("another simplon uses %s: a server runs on it", dir), err)
	})
}
