package secret

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func created() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func testRing(t testing.TB) *Ring {
	t.Helper()
	return NewRing(NewSource(rand.Reader), created())
}

// keysOf returns the file form of r, for tests that edit it.
func keysOf(t testing.TB, r *Ring) ringFile {
	t.Helper()
	data, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	var file ringFile
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	return file
}

func parse(t testing.TB, file ringFile) (*Ring, error) {
	t.Helper()
	data, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return ParseRing(data)
}

// rotated returns r with its keys in state and a new active key for each purpose.
func rotated(t testing.TB, r *Ring, state string) *Ring {
	t.Helper()
	file := keysOf(t, r)
	for i := range file.Keys {
		file.Keys[i].State = state
	}
	for _, k := range keysOf(t, testRing(t)).Keys {
		for slices.ContainsFunc(file.Keys, func(o keyFile) bool { return o.ID[:2] == k.ID[:2] }) {
			k.ID = newID(t)
		}
		file.Keys = append(file.Keys, k)
	}
	out, err := parse(t, file)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// newID returns a random key id in its file form.
func newID(t testing.TB) string {
	t.Helper()
	return keyID(NewSource(rand.Reader).Bytes(keyIDBytes)).String()
}

func TestNewRingHasOneActiveKeyForEachPurpose(t *testing.T) {
	// The constant reader makes every random id collide.
	for _, r := range []*Ring{testRing(t), NewRing(NewSource(constant{}), created())} {
		file := keysOf(t, r)
		var purposes []string
		for _, k := range file.Keys {
			purposes = append(purposes, k.Purpose)
			if k.State != "active" || len(k.Key) != 32 || !k.Created.Equal(created()) {
				t.Errorf("key %+v", k.ID)
			}
		}
		if !slices.Equal(purposes, []string{"seal", "mac", "token"}) || len(r.KeyIDs()) != 3 {
			t.Errorf("purposes %v, ids %v", purposes, r.KeyIDs())
		}
	}
}

type constant struct{}

func (constant) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 0xff
	}
	return len(b), nil
}

func TestSavedRingLoadsTheSame(t *testing.T) {
	r, path := testRing(t), filepath.Join(t.TempDir(), "keys.json")
	if err := r.Save(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	loaded, err := LoadRing(path)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := loaded.Open("c", r.Seal("c", []byte("x")))
	if err != nil || string(plain) != "x" || !slices.Equal(loaded.KeyIDs(), r.KeyIDs()) {
		t.Fatalf("%q %v", plain, err)
	}
}

func TestSaveNeverOverwritesUnlessTold(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "keys.json")
	if err := testRing(t).Save(path); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)
	if err := testRing(t).Save(path); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("second save: %v", err)
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Fatal("the refused save changed the file")
	}
	next := testRing(t)
	if err := next.SaveOver(path); err != nil {
		t.Fatal(err)
	}
	if loaded, err := LoadRing(path); err != nil || !slices.Equal(loaded.KeyIDs(), next.KeyIDs()) {
		t.Fatalf("after SaveOver: %v", err)
	}
	if left, _ := os.ReadDir(folder); len(left) != 1 {
		t.Fatalf("files left over: %v", left)
	}
}

func TestSaveRaceHasOneWinner(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	rings, won := make([]*Ring, 16), make([]bool, 16)
	var wg sync.WaitGroup
	for i := range rings {
		rings[i] = testRing(t)
		wg.Go(func() {
			err := rings[i].Save(path)
			if won[i] = err == nil; err != nil && !errors.Is(err, fs.ErrExist) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	loaded, err := LoadRing(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range rings {
		if won[i] != slices.Equal(loaded.KeyIDs(), rings[i].KeyIDs()) {
			t.Errorf("ring %d: told it won: %v", i, won[i])
		}
	}
}

func TestReadersSeeTheOldRingOrTheNewOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	r := testRing(t)
	if err := r.Save(path); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 50 {
			if err := r.SaveOver(path); err != nil {
				t.Error(err)
			}
		}
	}()
	for saving := true; saving; {
		select {
		case <-done:
			saving = false
		default:
		}
		if _, err := LoadRing(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFailedSaveLeavesNothingBehind(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "keys.json")
	if err := os.Mkdir(path, 0o700); err != nil { // a rename onto a folder fails
		t.Fatal(err)
	}
	if err := testRing(t).SaveOver(path); err == nil {
		t.Fatal("saved over a folder")
	}
	if err := testRing(t).Save(filepath.Join(folder, "missing", "keys.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("missing folder: %v", err)
	}
	if left, _ := os.ReadDir(folder); len(left) != 1 {
		t.Fatalf("files left over: %v", left)
	}
}

func TestTemporaryFileOfACrashDoesNoHarm(t *testing.T) {
	folder := t.TempDir()
	path := filepath.Join(folder, "keys.json")
	if err := os.WriteFile(filepath.Join(folder, ".keys-1.tmp"), []byte(`{"ver`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadRing(path); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("load before save: %v", err)
	}
	if err := testRing(t).Save(path); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadRing(path); err != nil {
		t.Fatal(err)
	}
}

func TestLoadRefusesFilesThatOthersMayTouch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := testRing(t).Save(path); err != nil {
		t.Fatal(err)
	}
	for mode, want := range map[fs.FileMode]bool{
		0o600: true, 0o400: true, 0o640: false, 0o620: false, 0o610: false,
		0o604: false, 0o602: false, 0o601: false, 0o644: false, 0o666: false,
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadRing(path); (err == nil) != want {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
	if _, err := LoadRing(filepath.Dir(path)); err == nil {
		t.Error("loaded a folder")
	}
}

func TestParseRefusesDamagedRings(t *testing.T) {
	good := keysOf(t, testRing(t))
	for name, damage := range map[string]func(*ringFile){
		"no keys":              func(f *ringFile) { f.Keys = nil },
		"no seal key":          func(f *ringFile) { f.Keys = f.Keys[1:] },
		"no mac key":           func(f *ringFile) { f.Keys = append(f.Keys[:1], f.Keys[2]) },
		"no token key":         func(f *ringFile) { f.Keys = f.Keys[:2] },
		"only retiring":        func(f *ringFile) { f.Keys[1].State = "retiring" },
		"only retired":         func(f *ringFile) { f.Keys[0].State = "retired" },
		"two active":           func(f *ringFile) { f.Keys = append(f.Keys, again(t, f.Keys[0])) },
		"two active mac":       func(f *ringFile) { f.Keys = append(f.Keys, again(t, f.Keys[1])) },
		"two active token":     func(f *ringFile) { f.Keys = append(f.Keys, again(t, f.Keys[2])) },
		"duplicate id":         func(f *ringFile) { f.Keys[1].ID = f.Keys[0].ID },
		"token ids share byte": shareFirstByte(t),
		"short key":            func(f *ringFile) { f.Keys[0].Key = f.Keys[0].Key[:31] },
		"long key":             func(f *ringFile) { f.Keys[0].Key = append(f.Keys[0].Key, 1) },
		"empty key":            func(f *ringFile) { f.Keys[0].Key = nil },
		"zero key":             func(f *ringFile) { f.Keys[0].Key = make([]byte, 32) },
		"short id":             func(f *ringFile) { f.Keys[0].ID = f.Keys[0].ID[:6] },
		"upper-case id":        func(f *ringFile) { f.Keys[0].ID = "ABCDEF00" },
		"no id":                func(f *ringFile) { f.Keys[0].ID = "" },
		"unknown state":        func(f *ringFile) { f.Keys[0].State = "Active" },
		"purpose not a name":   func(f *ringFile) { f.Keys[0].Purpose = "Seal it" },
		"misspelt purpose":     func(f *ringFile) { f.Keys[0].Purpose = "seel" },
		"no creation time":     func(f *ringFile) { f.Keys[0].Created = time.Time{} },
		"other version":        func(f *ringFile) { f.Version = 2 },
	} {
		file := ringFile{Version: good.Version}
		for _, k := range good.Keys {
			k.Key = slices.Clone(k.Key)
			file.Keys = append(file.Keys, k)
		}
		damage(&file)
		_, err := parse(t, file)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if strings.Contains(err.Error(), base64.StdEncoding.EncodeToString(good.Keys[0].Key)[:20]) {
			t.Errorf("%s: the error quotes a key", name)
		}
	}
}

func again(t *testing.T, k keyFile) keyFile { k.ID = newID(t); return k }

func shareFirstByte(t *testing.T) func(*ringFile) {
	return func(f *ringFile) {
		k := f.Keys[2]
		k.State = stateRetiring
		k.ID = k.ID[:2] + newID(t)[2:]
		f.Keys = append(f.Keys, k)
	}
}

func TestParseRefusesDamagedJSON(t *testing.T) {
	data, err := testRing(t).encode()
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for name, bad := range map[string]string{
		"empty":             "",
		"null":              "null",
		"array":             "[]",
		"cut":               text[:len(text)/2],
		"trailing":          text + "{}",
		"unknown field":     strings.Replace(text, `"version"`, `"extra": 1, "version"`, 1),
		"unknown key field": strings.Replace(text, `"state"`, `"extra": 1, "state"`, 1),
		"key not base64":    strings.Replace(text, `"key": "`, `"key": "!`, 1),
	} {
		if _, err := ParseRing([]byte(bad)); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, append(data, make([]byte, maxRingBytes)...), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadRing(path); err == nil || !strings.Contains(err.Error(), "larger") {
		t.Errorf("huge file: %v", err)
	}
}

// A newer release may add purposes; a step back must neither fail nor lose them.
func TestKeysOfUnknownPurposeAreKept(t *testing.T) {
	file := keysOf(t, testRing(t))
	file.Keys = append(file.Keys, keyFile{
		ID: newID(t), Purpose: "audit", State: "active", Created: created(), Key: NewSource(rand.Reader).Bytes(32),
	})
	r, err := parse(t, file)
	if err != nil {
		t.Fatal(err)
	}
	if kept := keysOf(t, r); len(kept.Keys) != 4 || string(kept.Keys[3].Key) != string(file.Keys[3].Key) {
		t.Fatal("the key was lost")
	}
}

func TestKeyIDsLeaveOutRetiredKeys(t *testing.T) {
	r := testRing(t)
	if got := rotated(t, r, stateRetiring).KeyIDs(); len(got) != 6 || !slices.IsSorted(got) || !slices.Contains(got, r.KeyIDs()[0]) {
		t.Errorf("retiring: %v", got)
	}
	if got := rotated(t, r, stateRetired).KeyIDs(); len(got) != 3 || slices.Contains(got, r.KeyIDs()[0]) {
		t.Errorf("retired: %v", got)
	}
}

func FuzzParseRing(f *testing.F) {
	data, err := NewRing(NewSource(&counter{}), created()).encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1,"keys":[{"id":"00000000"}]}`))
	f.Add([]byte(`{"version":1,"keys":null}{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRing(data)
		if err != nil {
			return
		}
		// What was accepted works and survives a save.
		saved, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := ParseRing(saved)
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := again.Open("c", r.Seal("c", []byte("x"))); err != nil || string(plain) != "x" {
			t.Fatal(err)
		}
	})
}
