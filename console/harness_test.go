package console

import (
	"context"
	"crypto/rand"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"simplon/identity"
	"simplon/secret"
	"simplon/sqldb"
	"simplon/sqldb/pgtest"
	"simplon/storage"
	"simplon/web"
)

// clock stands still until a test moves it.
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

// world is this package's acts and pages on a real database.
type world struct {
	t     *testing.T
	clock *clock
	acts  *Acts
	raw   *sqldb.DB // counts rows
	pool  *secret.Pool
	spent atomic.Int64 // links that were spent
}

func onEachEngine(t *testing.T, fn func(t *testing.T, w *world)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { fn(t, newWorld(t)) })
	t.Run("postgres", func(t *testing.T) { fn(t, openWorld(t, pgtest.New(t))) })
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return openWorld(t, "sqlite:"+filepath.Join(t.TempDir(), "test.db"))
}

func openWorld(t *testing.T, dbURL string) *world {
	t.Helper()
	ctx := context.Background()
	w := &world{t: t, clock: &clock{t: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)}}
	db, err := storage.Open(ctx, sqldb.Config{URL: dbURL})
	w.check(err)
	t.Cleanup(func() { w.check(db.Close()) })
	w.check(db.Migrate(ctx, sqldb.MigrateOptions{}))
	w.raw, err = sqldb.Open(ctx, sqldb.Config{URL: dbURL})
	w.check(err)
	t.Cleanup(func() { w.check(w.raw.Close()) })
	w.pool, err = secret.NewPool(secret.PoolConfig{Params: secret.Params{MemoryKiB: 8, Time: 1, Threads: 1}, Queue: 1000})
	w.check(err)
	source := secret.NewSource(rand.Reader)

	door := httptest.NewUnstartedServer(nil)
	issuer := "http://" + door.Listener.Addr().String()
	id, err := identity.NewID(identity.KindFront, w.clock.now(), rand.Reader)
	w.check(err)
	front := identity.Front{ID: id, Issuer: issuer, RPID: "127.0.0.1", CreatedAt: w.clock.now()}
	w.check(db.Tx(ctx, func(tx *storage.Tx) error { return tx.CreateFront(front) }))
	w.acts = &Acts{DB: db, Ring: secret.NewRing(source, w.clock.now()), Source: source, Random: rand.Reader, Pool: w.pool, Now: w.clock.now,
		Front: front, Issuer: issuer, MinLen: 15, LinkLife: 30 * time.Minute, Algs: []string{"ES256", "RS256"}}

	u, err := url.Parse(issuer)
	w.check(err)
	site, err := web.New(web.Config{Issuer: u, CSRFKey: w.acts.Ring.MAC("csrf-key"), Now: w.clock.now})
	w.check(err)
	mux := http.NewServeMux()
	(&Setup{Acts: w.acts, Site: site, Spent: func() { w.spent.Add(1) }}).Mount(mux)
	door.Config.Handler = site.Outer(mux)
	door.Start()
	t.Cleanup(door.Close)
	return w
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) count(query string, args ...any) (n int) {
	w.t.Helper()
	w.check(w.raw.QueryRow(query, args...).Scan(&n))
	return n
}

// link makes a set-up link and returns its path.
func (w *world) link(emergency bool) string {
	w.t.Helper()
	link, err := w.acts.NewSetupLink(context.Background(), "test", emergency)
	w.check(err)
	path, ok := strings.CutPrefix(link.URL, w.acts.Issuer)
	if !ok || !link.ExpiresAt.Equal(w.clock.now().Add(w.acts.LinkLife)) {
		w.t.Fatalf("link %+v", link)
	}
	return path
}

// browser keeps cookies and posts forms with what they hold.
type browser struct {
	w      *world
	client *http.Client
}

func (w *world) browser() *browser {
	w.t.Helper()
	jar, err := cookiejar.New(nil)
	w.check(err)
	return &browser{w: w, client: &http.Client{Jar: jar}}
}

type page struct {
	b      *browser
	path   string
	status int
	header http.Header
	body   string
}

// String tells what the page is, for messages.
func (p *page) String() string {
	return fmt.Sprintf("%d %s", p.status, regexp.MustCompile(`(?s)<h1>(.*?)</h1>`).FindString(p.body))
}

func (b *browser) do(method, path, body string) *page {
	req, err := http.NewRequest(method, b.w.acts.Issuer+path, strings.NewReader(body))
	b.w.check(err)
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", b.w.acts.Issuer)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	res, err := b.client.Do(req)
	b.w.check(err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	b.w.check(err)
	return &page{b: b, path: path, status: res.StatusCode, header: res.Header, body: string(raw)}
}

func (b *browser) get(path string) *page { return b.do(http.MethodGet, path, "") }

// field returns what an input of the page holds.
func (p *page) field(name string) string {
	input := regexp.MustCompile(`<input[^>]* name="` + name + `"[^>]*>`).FindString(p.body)
	m := regexp.MustCompile(` value="([^"]*)"`).FindStringSubmatch(input)
	if m == nil {
		return ""
	}
	return html.UnescapeString(m[1])
}

// submit posts the set-up form.
func (p *page) submit(name, login, password string) *page {
	form := url.Values{"csrf": {p.field("csrf")}, "name": {name}, "login": {login}, "password": {password}}
	return p.b.do(http.MethodPost, p.path, form.Encode())
}

func (p *page) want(status int) *page {
	p.b.w.t.Helper()
	if p.status != status {
		p.b.w.t.Fatalf("%s: want %d", p, status)
	}
	return p
}

const goodPassword = "violet harbour seven kites"
