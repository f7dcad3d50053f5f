package storage_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"simplon/identity"
	"simplon/sqldb"
	"simplon/sqldb/pgtest"
	"simplon/storage"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// instant is the time of every test here.
func instant() time.Time { return time.Date(2026, 2, 3, 4, 5, 6, 789123000, time.UTC) }

// onEachURL runs a test on both engines, each with the URL of a migrated
// database of its own.
func onEachURL(t *testing.T, test func(t *testing.T, url string)) {
	t.Run("sqlite", func(t *testing.T) {
		url := "sqlite:" + filepath.Join(t.TempDir(), "test.db")
		migrate(t, url)
		test(t, url)
	})
	t.Run("postgres", func(t *testing.T) {
		test(t, pgtest.NewFrom(t, "storage_"+schemaChecksum(t), func(url string) { migrate(t, url) }))
	})
}

// onEach is onEachURL with the database opened.
func onEach(t *testing.T, test func(t *testing.T, db *storage.DB)) {
	onEachURL(t, func(t *testing.T, url string) { test(t, open(t, url)) })
}

// schemaChecksum names the template on a server that outlives this process.
func schemaChecksum(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("migrations/*.sql")
	if err != nil || len(files) == 0 {
		t.Fatal("no migrations", err)
	}
	sum := sha256.New()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(sum, "%s %d %s", file, len(text), text)
	}
	return hex.EncodeToString(sum.Sum(nil)[:12])
}

func migrate(t *testing.T, url string) {
	t.Helper()
	db, err := storage.Open(t.Context(), sqldb.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Migrate(t.Context(), sqldb.MigrateOptions{}), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// open opens the database once more; every handle stands for a node.
func open(t *testing.T, url string) *storage.DB {
	t.Helper()
	db, err := storage.Open(t.Context(), sqldb.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// must runs a transaction that has to succeed.
func must(t *testing.T, db *storage.DB, fn func(tx *storage.Tx) error) {
	t.Helper()
	if err := db.Tx(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// try runs a transaction of one guarded call and returns its answer.
func try(t *testing.T, db *storage.DB, fn func(tx *storage.Tx) (bool, error)) (ok bool) {
	t.Helper()
	must(t, db, func(tx *storage.Tx) (err error) {
		ok, err = fn(tx)
		return err
	})
	return ok
}

// refused fails unless the transaction ends with the error.
func refused(t *testing.T, db *storage.DB, want error, fn func(tx *storage.Tx) error) {
	t.Helper()
	if err := db.Tx(t.Context(), fn); !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

// same compares what was written with what came back; nil and empty are the same.
func same(t *testing.T, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("came back differently (-want +got):\n%s", diff)
	}
}

// filled returns a T with a different value in every field, so that a column
// that is forgotten or swapped shows. Fields of pointer type stay nil.
func filled[T any]() T {
	var v T
	n := 0
	fill(reflect.ValueOf(&v).Elem(), reflect.TypeFor[T]().Name(), &n)
	return v
}

func fill(v reflect.Value, name string, n *int) {
	*n++
	switch v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(instant().Add(time.Duration(*n) * time.Hour)))
		return
	case []byte:
		v.SetBytes([]byte{0, 0xff, byte(*n)}) // neither text nor number
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), v.Type().Field(i).Name, n)
		}
	case reflect.String:
		v.SetString(fmt.Sprintf("%s-%d-é\U0001f511", name, *n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(1<<31 + *n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0), name, n)
		fill(v.Index(1), name, n)
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{name: "value", "other": ""}))
	case reflect.Pointer:
	default:
		panic("fill cannot make " + v.Type().String())
	}
}

// world is what most rows refer to.
type world struct {
	front  identity.Front
	anna   identity.Account
	beat   identity.Account
	client identity.Client
}

// newWorld inserts a front, two accounts and a client.
func newWorld(t *testing.T, db *storage.DB) world {
	t.Helper()
	w := world{
		front: identity.Front{ID: "frt_1", Issuer: "https://login.example", RPID: "login.example", CreatedAt: instant()},
		anna:  identity.Account{ID: "acc_1", Login: "Anna@example.com", LoginKey: "anna@example.com", CreatedAt: instant(), UpdatedAt: instant()},
		beat:  identity.Account{ID: "acc_2", Login: "beat@example.com", LoginKey: "beat@example.com", CreatedAt: instant(), UpdatedAt: instant()},
		client: identity.Client{ID: "app_1", FrontID: "frt_1", Name: "Mail", Kind: identity.ClientWeb, Auth: identity.AuthBasic,
			IDTokenAlg: "ES256", CreatedAt: instant(), UpdatedAt: instant()},
	}
	must(t, db, func(tx *storage.Tx) error {
		return errors.Join(tx.CreateFront(w.front), tx.CreateAccount(w.anna), tx.CreateAccount(w.beat), tx.CreateClient(w.client))
	})
	return w
}

func (w world) session(id string) identity.Session {
	return identity.Session{ID: id, FrontID: w.front.ID, SetHash: []byte("set"), BrowserHash: []byte("browser"), AccountID: w.anna.ID, AuthAt: instant(),
		Epoch: 1, CreatedAt: instant(), ExpiresAt: instant().Add(time.Hour)}
}

func (w world) grant(id, session string, scopes ...string) identity.Grant {
	return identity.Grant{ID: id, FrontID: w.front.ID, AccountID: w.anna.ID, ClientID: w.client.ID, SessionID: session, Scopes: scopes,
		Epoch: 1, CreatedAt: instant(), ExpiresAt: instant().Add(time.Hour)}
}

func (w world) code(hash, session string) identity.Code {
	return identity.Code{Hash: []byte(hash), Grant: w.grant("grt_"+hash, session, "openid"), RedirectURI: "https://mail.example/cb",
		CreatedAt: instant(), ExpiresAt: instant().Add(time.Minute)}
}

func (w world) signIn(id string) identity.SignIn {
	return identity.SignIn{ID: id, FrontID: w.front.ID, BrowserHash: []byte("browser"), Purpose: identity.PurposeSignIn, ClientID: w.client.ID,
		Seed: []byte("0123456789abcdef"), Epoch: 1, CreatedAt: instant(), ExpiresAt: instant().Add(30 * time.Minute)}
}

func (w world) device(id, hash string, seen time.Time) identity.Device {
	return identity.Device{ID: id, Hash: []byte(hash), AccountID: w.anna.ID, FrontID: w.front.ID, Browser: "Firefox",
		CreatedAt: instant(), SeenAt: seen, ExpiresAt: seen.Add(365 * 24 * time.Hour)}
}

// together calls fn n times at once and waits for all.
func together(n int, fn func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() { <-start; fn(i) })
	}
	close(start)
	wg.Wait()
}

// raw opens the same database beneath storage, for what it has no method for.
func raw(t *testing.T, url string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.Open(t.Context(), sqldb.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func number(t *testing.T, db *sqldb.DB, query string, args ...any) int64 {
	t.Helper()
	var n int64
	if err := db.QueryRow(query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
