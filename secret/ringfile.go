package secret

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
)

const (
	ringVersion  = 1
	maxRingBytes = 1 << 20
	maxRingKeys  = 1024
)

// ringFile is keys.json. Its fields hold raw keys: it never leaves this file.
type ringFile struct {
	Version int       `json:"version"`
	Keys    []keyFile `json:"keys"`
}

type keyFile struct {
	ID      string    `json:"id"` // 8 hexadecimal digits
	Purpose string    `json:"purpose"`
	State   string    `json:"state"`
	Created time.Time `json:"created"`
	Key     []byte    `json:"key"` // 32 random bytes, base64
}

// LoadRing reads a ring from the file at path. It refuses a file that group or
// others may read or write, and everything [ParseRing] refuses. The error wraps
// fs.ErrNotExist if there is no file, and never quotes a key.
func LoadRing(path string) (*Ring, error) {
	data, err := readPrivate(path)
	if err != nil {
		return nil, fmt.Errorf("load key ring: %w", err)
	}
	r, err := ParseRing(data)
	if err != nil {
		return nil, fmt.Errorf("load key ring: %s: %w", path, err)
	}
	return r, nil
}

// ParseRing reads a ring from the JSON that [Ring.Save] writes. It refuses
// unknown fields, trailing data, duplicate ids, keys that are not 32 bytes, and
// a ring without exactly one active key for each purpose. Nonces of the ring come
// from crypto/rand.
func ParseRing(data []byte) (*Ring, error) {
	var file ringFile
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&file); err != nil {
		return nil, fmt.Errorf("parse key ring: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("parse key ring: something follows the JSON object")
	}
	if file.Version != ringVersion {
		return nil, fmt.Errorf("parse key ring: version %d, want %d", file.Version, ringVersion)
	}
	if len(file.Keys) > maxRingKeys {
		return nil, fmt.Errorf("parse key ring: more than %d keys", maxRingKeys)
	}
	namePattern := regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	keys := make([]*ringKey, 0, len(file.Keys))
	for i, f := range file.Keys {
		k, err := f.parse(namePattern)
		if err != nil {
			return nil, fmt.Errorf("parse key ring: key number %d: %w", i+1, err)
		}
		keys = append(keys, k)
	}
	r, err := buildRing(production(), keys)
	if err != nil {
		return nil, fmt.Errorf("parse key ring: %w", err)
	}
	return r, nil
}

func (f keyFile) parse(purposes *regexp.Regexp) (*ringKey, error) {
	k := &ringKey{purpose: f.Purpose, state: f.State, created: f.Created, secret: f.Key}
	raw, err := hex.DecodeString(f.ID)
	if err != nil || len(raw) != keyIDBytes || hex.EncodeToString(raw) != f.ID {
		return nil, errors.New("id is not 8 lower-case hexadecimal digits")
	}
	k.id = keyID(raw)
	switch {
	case !purposes.MatchString(f.Purpose):
		return nil, errors.New("purpose is not a lower-case name")
	case !slices.Contains([]string{stateActive, stateRetiring, stateRetired}, f.State):
		return nil, errors.New("state is not active, retiring or retired")
	case f.Created.IsZero():
		return nil, errors.New("created is missing")
	case len(f.Key) != keyBytes:
		return nil, fmt.Errorf("key has %d bytes, want %d", len(f.Key), keyBytes)
	case bytes.Equal(f.Key, make([]byte, keyBytes)):
		return nil, errors.New("key is all zero")
	}
	return k, nil
}

// Save writes the ring to a new file at path, mode 0600, complete or not at all,
// also across a crash. It never overwrites: if the file exists the error wraps
// fs.ErrExist, and of several concurrent calls one wins.
func (r *Ring) Save(path string) error {
	// A hard link, unlike a rename, fails if the name is taken.
	if err := r.write(path, os.Link); err != nil {
		return fmt.Errorf("save key ring: %w", err)
	}
	return nil
}

// SaveOver is [Ring.Save], but replaces a file that exists. Readers see the old
// ring or the new one.
func (r *Ring) SaveOver(path string) error {
	if err := r.write(path, os.Rename); err != nil {
		return fmt.Errorf("save key ring: %w", err)
	}
	return nil
}

func (r *Ring) write(path string, publish func(from, to string) error) (err error) {
	data, err := r.encode()
	if err != nil {
		return err
	}
	folder := filepath.Dir(path)
	temp, err := os.CreateTemp(folder, ".keys-*.tmp") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		// After a rename there is nothing left to remove.
		if e := os.Remove(temp.Name()); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}()
	_, err = temp.Write(data)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := publish(temp.Name(), path); err != nil {
		return err
	}
	return syncFolder(folder)
}

func (r *Ring) encode() ([]byte, error) {
	file := ringFile{Version: ringVersion}
	for _, k := range r.keys {
		file.Keys = append(file.Keys, keyFile{
			ID: k.id.String(), Purpose: k.purpose, State: k.state, Created: k.created, Key: k.secret,
		})
	}
	data, err := json.MarshalIndent(file, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(data, '\n'), nil
}

// syncFolder makes a new name survive a power cut, not only its content.
func syncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// readPrivate checks the mode of the file it opened, not of a name that could
// change in between.
func readPrivate(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s has mode %04o: group and others must have no access, set 0600", path, mode)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxRingBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxRingBytes {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxRingBytes)
	}
	return data, nil
}
