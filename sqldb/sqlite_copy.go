package sqldb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// copyBefore writes the last committed state beside the database file. It reads
// through a connection of its own, so the caller may hold the write lock.
func (b *sqliteBackend) copyBefore(version int, at time.Time) (path string, err error) {
	base := fmt.Sprintf("%s.v%04d-%s", b.path, version, at.UTC().Format("20060102T150405Z"))
	path = base + ".copy"
	for n := 2; exists(path); n++ {
		path = fmt.Sprintf("%s-%d.copy", base, n)
	}
	// Under another name until it is whole: a killed process leaves no file that
	// looks like a copy.
	partial := path + ".partial"
	if err := os.Remove(partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := createPrivate(partial); err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(partial))
		}
	}()
	if err := b.vacuumInto(partial); err != nil {
		return "", err
	}
	if err := syncPath(partial); err != nil {
		return "", err
	}
	if err := os.Rename(partial, path); err != nil {
		return "", err
	}
	return path, syncPath(filepath.Dir(path))
}

func (b *sqliteBackend) vacuumInto(target string) (err error) {
	options := commonOptions(readBusyTimeout)
	options.Set("mode", "ro")
	pool, err := sqlitePool(sqliteDSN(b.path, options), 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	_, err = pool.Exec("VACUUM INTO $1", target)
	return err
}

// syncPath makes a file or the names in a folder survive a power failure.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
