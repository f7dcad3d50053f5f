package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// errNoServer says that nobody listens on a socket.
var errNoServer = errors.New("no server answers")

// shortPath works around the limit of about 100 bytes on a socket's path: it
// opens the folder and names the socket through that.
func shortPath(path string) (short string, done func(), err error) {
	if len(path) < 100 {
		return path, func() {}, nil
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { _ = dir.Close() }, nil
}

// namedListener answers under the name its socket was given after it was bound.
type namedListener struct {
	*net.UnixListener
	name net.UnixAddr
}

// Addr returns the path of the socket.
func (l *namedListener) Addr() net.Addr { return &l.name }

// listenPrivately listens on a socket that only its owner can reach. What a
// killed server left at the path is replaced; a socket that somebody answers, or
// a file that is none, is not.
func listenPrivately(path string) (net.Listener, error) {
	if err := checkStale(path); err != nil {
		return nil, err
	}
	// A socket is born with the mode of the umask, and who connects before the
	// chmod stays connected: so it is made in a folder that is closed to others.
	born, err := os.MkdirTemp(filepath.Dir(path), ".socket-*") // 0700
	if err != nil {
		return nil, err
	}
	l, err := listenIn(born, path)
	if removed := os.RemoveAll(born); err == nil && removed != nil {
		err = errors.Join(removed, l.Close())
	}
	if err != nil {
		return nil, err
	}
	return &namedListener{UnixListener: l, name: net.UnixAddr{Name: path, Net: "unix"}}, nil
}

func listenIn(born, path string) (*net.UnixListener, error) {
	first := filepath.Join(born, "s")
	short, done, err := shortPath(first)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: short, Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // the name is another one by then
	if err = os.Chmod(first, 0o600); err == nil {
		err = os.Rename(first, path)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// checkStale refuses a path at which there is something that is in use.
func checkStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s exists and is no socket; it is left as it is", path)
	}
	c, err := dialPrivately(context.Background(), path)
	switch {
	case err == nil:
		return errors.Join(fmt.Errorf("somebody answers at %s: %w", path, unix.EADDRINUSE), c.Close())
	case errors.Is(err, errNoServer):
		return nil
	}
	return err
}

// dialPrivately connects to a socket. The error wraps errNoServer where nobody
// listens; nothing was sent then.
func dialPrivately(ctx context.Context, path string) (net.Conn, error) {
	short, done, err := shortPath(path)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", short)
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %w", errNoServer, err)
	}
	return c, err
}

// dialAdmin connects to the admin socket in data_dir.
func dialAdmin(ctx context.Context, dir string) (net.Conn, error) {
	return dialPrivately(ctx, filepath.Join(dir, socketName))
}
