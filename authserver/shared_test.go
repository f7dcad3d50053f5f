package authserver

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"simplon/identity"
	"simplon/secret"
	"simplon/storage"
)

// Two people on one desk: each stays known there, and neither pushes the other's
// own devices out. (A new device cookie at every change of person did.)
func TestPeopleWhoShareABrowserBothStayKnown(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		ada, bob := w.person("ada@example.org"), w.person("bob@example.org")
		phone, desk := w.browser(), w.browser()
		phone.get("/").prove(ada)
		for range identity.DevicesPerAccount + 1 {
			for _, who := range []person{ada, bob} {
				if !desk.guess(who.Login, who.password) {
					t.Fatal("cannot sign in at the desk")
				}
			}
		}
		if n := w.count(`SELECT COUNT(*) FROM device WHERE account_id = $1`, ada.ID); n != 2 {
			t.Errorf("Ada has %d devices, want phone and desk", n)
		}
		for i := range 5 {
			w.browser().guess(ada.Login, fmt.Sprint("wrong ", i))
		}
		for what, b := range map[string]*browser{"phone": phone, "desk": desk} {
			if !b.guess(ada.Login, ada.password) {
				t.Errorf("strangers locked Ada's %s", what)
			}
		}
	})
}

// Strangers behind the same address use up their share of guesses, never that of
// a browser which is known.
func TestKnownBrowserHasItsOwnShareOfGuesses(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Limits.GuessesPerMinute = 3 })
	ada := w.person("ada@example.org")
	known := w.browser()
	known.get("/").prove(ada)
	stranger := w.browser()
	status := 0
	for range 5 {
		status = stranger.get("/").at("nobody@example.org").submit("/password", "password", "wrong").status
	}
	if status != 429 {
		t.Fatalf("the stranger's last guess was answered %d", status)
	}
	if !known.guess(ada.Login, ada.password) {
		t.Error("the known browser was refused")
	}
}

// A network full of open sign-ins refuses strangers, never a known browser.
func TestKnownBrowserIsNeverShutOutByItsNetwork(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Limits.SignInsPerAddress = 4 })
	ada, shop := w.person("ada@example.org"), w.app()
	known := w.browser()
	known.get("/").prove(ada)
	for range 4 {
		w.browser().authorize(shop).submit("/login", "login", "somebody@example.org")
	}
	w.browser().authorize(shop).want(429, "")
	known.drop(cookieSession)
	known.authorize(shop).prove(ada).code()
}

// One browser that starts sign-ins without end leaves as many rows as its cap,
// and a visitor without cookies none.
func TestStoredSignInsAreBounded(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Limits.SignInsPerBrowser = 3 })
	shop, b := w.app(), w.browser()
	for range 20 {
		b.authorize(shop, "login_hint", strings.Repeat("a", 9000)).want(200, `id="login"`)
	}
	for range 20 {
		if r := w.send("GET", "/", nil); r.status != 303 {
			t.Fatalf("GET / without cookies: %d", r.status)
		}
	}
	if n := w.count(`SELECT COUNT(*) FROM signin`); n != 3 {
		t.Errorf("%d rows", n)
	}
	if n := w.count(`SELECT MAX(LENGTH(login) + LENGTH(request)) FROM signin`); n > 1000 {
		t.Errorf("a row of %d characters", n)
	}
	w.browser().get("/").submit("/login", "login", strings.Repeat(" ", 9000)+"a@example.org")
	if n := w.count(`SELECT COUNT(*) FROM signin WHERE login = 'a@example.org'`); n != 1 {
		t.Error("the address was not stored as it was measured")
	}
}

// slowHash makes the password of a person take long to compare, so that a test
// can act meanwhile.
func (w *world) slowHash(password string) func(*identity.Account) {
	return func(a *identity.Account) {
		pool, err := secret.NewPool(secret.PoolConfig{Params: secret.Params{MemoryKiB: 128 << 10, Time: 4, Threads: 1}})
		w.check(err)
		ticket, err := pool.Admit(context.Background(), false)
		w.check(err)
		defer ticket.Release()
		encoded, err := ticket.Hash(password)
		w.check(err)
		a.SealedPassword = w.ring.Seal(identity.PasswordContext(a.ID), []byte(encoded))
	}
}

// eventually waits for a count in the database; the test's own deadline ends it.
func (w *world) eventually(want int, query string, args ...any) {
	w.t.Helper()
	for w.count(query, args...) != want {
		if w.t.Context().Err() != nil {
			w.t.Fatalf("never %d: %s", want, query)
		}
		runtime.Gosched()
	}
}

// A guess whose browser hangs up while it is compared counts and is recorded
// like any other: nobody locks or probes an account unseen.
func TestHangingUpHidesNoGuess(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		ada := w.person("ada@example.org", w.slowHash("a password for Ada alone"))
		b := w.browser()
		action, form := b.get("/").at(ada.Login).form("/password")
		form.Set("password", "not Ada's password")
		w.abandon(b, action, form, func() {
			w.eventually(1, `SELECT failures FROM lane WHERE subject = $1 AND lane = 'unknown' UNION ALL SELECT 0 WHERE NOT EXISTS (SELECT 1 FROM lane)`, ada.ID)
		})
		w.eventually(1, `SELECT COUNT(*) FROM event WHERE account_id = $1 AND kind = $2`, ada.ID, identity.EventPasswordWrong)
		w.eventually(1, `SELECT failures FROM lane WHERE subject = $1 AND lane = 'total'`, ada.ID)
	})
}

// abandon posts a form and hangs up once meanwhile has returned.
func (w *world) abandon(b *browser, action string, form url.Values, meanwhile func()) {
	w.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.issuer, "http://"))
	w.check(err)
	body := form.Encode()
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nOrigin: %s\r\nSec-Fetch-Site: same-origin\r\nCookie: b=%s\r\n"+
		"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
		action, strings.TrimPrefix(w.issuer, "http://"), w.issuer, b.cookie("b"), len(body), body)
	w.check(err)
	meanwhile()
	w.check(conn.Close())
}

// A right password whose sign-in changed while it was compared signs nobody in,
// but leaves a trace: nobody tests stolen passwords unseen.
func TestRightPasswordOfAChangedSignInIsRecorded(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada@example.org", w.slowHash("a password for Ada alone"))
	b := w.browser()
	p := b.get("/").at(ada.Login)
	action, form := p.form("/password")
	form.Set("password", "a password for Ada alone")
	w.abandon(b, action, form, func() {
		w.eventually(1, `SELECT COUNT(*) FROM lane WHERE subject = $1`, ada.ID)
		p.submit("/change")
	})
	w.eventually(1, `SELECT COUNT(*) FROM event WHERE account_id = $1 AND kind = $2`, ada.ID, identity.EventPasswordUnused)
	if n := w.count(`SELECT COUNT(*) FROM session`); n != 0 {
		t.Errorf("%d sessions", n)
	}
	if n := w.count(`SELECT COUNT(*) FROM lane WHERE subject = $1 AND lane = 'unknown'`, ada.ID); n != 1 {
		t.Error("the attempt was given back")
	}
}

// A password typed for one address is never judged against another, which a
// second tab put into the same sign-in.
func TestPasswordIsForTheAddressItWasTypedFor(t *testing.T) {
	w := newWorld(t)
	ada, eve := w.person("ada@example.org"), w.person("eve@example.org")
	b := w.browser()
	p := b.get("/").at(ada.Login)
	action, form := p.form("/password")
	p.submit("/change").submit("/login", "login", eve.Login)
	form.Set("password", ada.password)
	b.postForm(action, form).want(200, eve.Login)
	if w.compared() != 0 || w.count(`SELECT COUNT(*) FROM lane`) != 0 {
		t.Error("Ada's password was a guess at Eve's account")
	}
}

// Tabs that sign in at once leave one session behind, and whoever signs in as
// somebody else ends the one before, each with its event.
func TestBrowserHoldsOneSession(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		ada, bob, shop := w.person("ada@example.org"), w.person("bob@example.org"), w.app()
		b := w.browser()
		var tabs []*page
		for range 3 {
			tabs = append(tabs, b.authorize(shop).at(ada.Login))
		}
		for _, tab := range tabs {
			b.drop(cookieSession) // each was sent before the answer of the other
			tab.submit("/password", "password", ada.password).code()
		}
		if n := w.count(`SELECT COUNT(*) FROM session WHERE ended_at = 0`); n != 1 {
			t.Errorf("%d sessions", n)
		}
		b.authorize(shop, "prompt", "login").prove(bob).code()
		if n := w.count(`SELECT COUNT(*) FROM session WHERE ended_at = 0 AND account_id = $1`, ada.ID); n != 0 {
			t.Error("Ada's session goes on")
		}
		ended := w.count(`SELECT COUNT(*) FROM session WHERE ended_at <> 0`)
		if n := w.count(`SELECT COUNT(*) FROM event WHERE kind = $1`, identity.EventSignedOut); n != ended || n == 0 {
			t.Errorf("%d sessions ended with %d events", ended, n)
		}
	})
}

// A replayed code is recognised as long as what it gave can live.
func TestCodeIsRememberedAsLongAsItsGrant(t *testing.T) {
	w := newWorld(t)
	ada, shop := w.person("ada@example.org"), w.app()
	code := w.codeFor(w.browser(), shop, ada)
	got := w.tokensOf(w.redeem(shop, code))
	w.clock.advance(48 * time.Hour)
	w.tx(func(tx *storage.Tx) error {
		_, err := tx.Prune(w.clock.now(), 1000)
		return err
	})
	w.wantError(w.redeem(shop, code), 400, "invalid_grant")
	w.wantError(w.refresh(shop, got.refresh), 400, "invalid_grant")
}
