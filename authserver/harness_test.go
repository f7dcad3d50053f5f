package authserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"simplon/identity"
	"simplon/secret"
	"simplon/sqldb"
	"simplon/sqldb/pgtest"
	"simplon/storage"
	"simplon/web"
)

// clock is the one time of a world. It moves only when a test says so.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// logBuffer is what the server of a world wrote to its log.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write appends one line.
func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// world is the real server of this package with everything real below it, on a
// database of its own and a clock that stands still. raw is a second door to the
// same database, for what no act can do yet (disabling) and for counting rows.
type world struct {
	t      *testing.T
	clock  *clock
	log    *logBuffer
	url    string // of the database
	db     *storage.DB
	raw    *sqldb.DB
	ring   *secret.Ring
	source *secret.Source
	pool   *secret.Pool
	front  identity.Front
	issuer string
	server *Server
}

// in is the same world for a subtest.
func (w *world) in(t *testing.T) *world {
	c := *w
	c.t = t
	return &c
}

// onEachEngine runs a test on both engines.
func onEachEngine(t *testing.T, fn func(t *testing.T, w *world), change ...func(*Config)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, newWorld(t, change...)) })
	t.Run("postgres", func(t *testing.T) { fn(t, openWorld(t, pgtest.New(t), nil, change...)) })
}

// newWorld makes a world on SQLite.
func newWorld(t *testing.T, change ...func(*Config)) *world {
	t.Helper()
	return openWorld(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db"), nil, change...)
}

// openWorld makes a world on the database; algs nil means the keys that are made
// at once.
func openWorld(t *testing.T, dbURL string, algs []string, change ...func(*Config)) *world {
	t.Helper()
	ctx := context.Background()
	w := &world{t: t, url: dbURL, log: &logBuffer{}, clock: &clock{t: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)}}
	var err error
	if w.db, err = storage.Open(ctx, sqldb.Config{URL: dbURL, Now: w.clock.now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.db.Close() }) // a test may have closed it
	if err := w.db.Migrate(ctx, sqldb.MigrateOptions{}); err != nil {
		t.Fatal(err)
	}
	if w.raw, err = sqldb.Open(ctx, sqldb.Config{URL: dbURL}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.check(w.raw.Close()) })
	w.source = secret.NewSource(rand.Reader)
	w.ring = secret.NewRing(w.source, w.clock.now())
	if w.pool, err = secret.NewPool(secret.PoolConfig{Params: secret.Params{MemoryKiB: 8, Time: 1, Threads: 1}, Queue: 1000}); err != nil {
		t.Fatal(err)
	}
	if algs == nil {
		algs = []string{"ES256", "EdDSA"}
	}
	keys, rest, err := OpenKeys(ctx, w.db, w.ring, rand.Reader, w.clock.now, algs)
	if err != nil {
		t.Fatal(err)
	}
	w.check(rest(ctx))
	w.serve(keys, change)
	return w
}

// serve starts the HTTP server; its address is the issuer.
func (w *world) serve(keys *Keys, change []func(*Config)) {
	w.t.Helper()
	door := httptest.NewUnstartedServer(nil)
	w.issuer = "http://" + door.Listener.Addr().String()
	w.front = identity.Front{ID: w.id(identity.KindFront), Issuer: w.issuer, RPID: "127.0.0.1", CreatedAt: w.clock.now()}
	w.tx(func(tx *storage.Tx) error { return tx.CreateFront(w.front) })
	issuer, err := url.Parse(w.issuer)
	w.check(err)
	log := slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	site, err := web.New(web.Config{Issuer: issuer, CSRFKey: w.ring.MAC("csrf-key"), Log: log, Now: w.clock.now})
	w.check(err)
	c := Config{
		Issuer: w.issuer, Front: w.front, DB: w.db, Ring: w.ring, Source: w.source, Random: rand.Reader, Pool: w.pool,
		Keys: keys, Site: site, Log: log, Now: w.clock.now,
		Lockout: identity.LockPolicy{Threshold: 5, Wait: 5 * time.Minute, WaitMax: time.Hour, Total: 100},
		TTL: TTL{
			SignIn: 30 * time.Minute, Session: 12 * time.Hour, Device: 365 * 24 * time.Hour, Code: time.Minute,
			AccessToken: 10 * time.Minute, IDToken: 10 * time.Minute, RefreshIdle: 30 * 24 * time.Hour,
			RefreshAbsolute: 180 * 24 * time.Hour, RefreshGrace: 10 * time.Second, Handoff: time.Minute,
		},
		Limits: Limits{SignInsPerBrowser: 10, SignInsPerAddress: 1000, GuessesPerMinute: 100_000, Query: 16 << 10},
	}
	for _, f := range change {
		f(&c)
	}
	w.server, err = New(c)
	w.check(err)
	mux := http.NewServeMux()
	site.Mount(mux)
	w.server.Mount(mux)
	door.Config.Handler = site.Outer(mux)
	door.Start()
	w.t.Cleanup(door.Close)
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) id(kind string) string {
	w.t.Helper()
	id, err := identity.NewID(kind, w.clock.now(), rand.Reader)
	w.check(err)
	return id
}

func (w *world) tx(fn func(tx *storage.Tx) error) {
	w.t.Helper()
	w.check(w.db.Tx(context.Background(), fn))
}

// exec changes rows behind the server's back.
func (w *world) exec(query string, args ...any) {
	w.t.Helper()
	w.check(w.raw.Tx(context.Background(), func(tx *sqldb.Tx) error {
		n, err := tx.Exec(query, args...)
		if err == nil && n == 0 {
			w.t.Errorf("%s changed nothing", query)
		}
		return err
	}))
}

func (w *world) count(query string, args ...any) (n int) {
	w.t.Helper()
	w.check(w.raw.QueryRow(query, args...).Scan(&n))
	return n
}

func (w *world) text(query string, args ...any) (s string) {
	w.t.Helper()
	w.check(w.raw.QueryRow(query, args...).Scan(&s))
	return s
}

// app is a registered client with its secret.
type app struct {
	identity.Client
	secret string
}

// app registers a first-party web application, changed as the test wants.
func (w *world) app(change ...func(*identity.Client)) app {
	w.t.Helper()
	a := app{secret: w.source.Token("smp_cs_").Reveal()}
	a.Client = identity.Client{
		ID: w.id(identity.KindClient), FrontID: w.front.ID, Name: "Shop", Kind: identity.ClientWeb, Auth: identity.AuthBasic,
		RedirectURIs: []string{"https://shop.example/cb"}, PostLogoutURIs: []string{"https://shop.example/bye"},
		Scopes: identity.StandardScopes(), GrantTypes: []string{identity.GrantCode, identity.GrantRefresh},
		FirstParty: true, IDTokenAlg: "ES256", HomeURL: "https://shop.example/", CreatedAt: w.clock.now(), UpdatedAt: w.clock.now(),
	}
	for _, f := range change {
		f(&a.Client)
	}
	if !a.Public() {
		a.SecretHash = secret.Digest(a.secret)
	}
	w.check(a.Check())
	w.tx(func(tx *storage.Tx) error { return tx.CreateClient(a.Client) })
	return a
}

func thirdParty(c *identity.Client) { c.FirstParty = false }

func redirects(uris ...string) func(*identity.Client) {
	return func(c *identity.Client) { c.RedirectURIs = uris }
}

func singlePage(c *identity.Client) {
	c.Kind, c.Auth, c.RedirectURIs = identity.ClientSPA, identity.AuthNone, []string{"https://spa.example/cb"}
}

func nativeApp(c *identity.Client) {
	c.Kind, c.Auth, c.RedirectURIs = identity.ClientNative, identity.AuthNone, []string{"http://127.0.0.1/cb"}
}

// person is an account with its password.
type person struct {
	identity.Account
	password string
}

const rightPassword = "violet harbour seven kites"

// person makes an account with rightPassword, changed as the test wants.
func (w *world) person(login string, change ...func(*identity.Account)) person {
	w.t.Helper()
	key, err := identity.LoginKey(login)
	w.check(err)
	a := identity.Account{
		ID: w.id(identity.KindAccount), Login: login, LoginKey: key, GivenName: "Ada", FamilyName: "Byron", LoginVerified: true,
		CreatedAt: w.clock.now(), UpdatedAt: w.clock.now(),
	}
	ticket, err := w.pool.Admit(context.Background(), true)
	w.check(err)
	defer ticket.Release()
	encoded, err := ticket.Hash(rightPassword)
	w.check(err)
	a.SealedPassword = w.ring.Seal(identity.PasswordContext(a.ID), []byte(encoded))
	for _, f := range change {
		f(&a)
	}
	w.tx(func(tx *storage.Tx) error { return tx.CreateAccount(a) })
	return person{Account: a, password: rightPassword}
}

func (w *world) disableAccount(p person) {
	w.t.Helper()
	w.exec(`UPDATE account SET disabled_at = $2 WHERE id = $1`, p.ID, w.clock.now().UnixMicro())
}

func (w *world) disableClient(a app) {
	w.t.Helper()
	w.exec(`UPDATE client SET disabled_at = $2 WHERE id = $1`, a.ID, w.clock.now().UnixMicro())
}
