package authserver

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"simplon/identity"
	"simplon/secret"
)

// guess tries a password at an address from the browser and tells whether it
// signed in. Every other answer must be the one that says nothing.
func (b *browser) guess(login, password string) bool {
	b.w.t.Helper()
	b.drop(cookieSession)
	p := b.get("/").at(login).submit("/password", "password", password)
	if p.path == "/" && p.status == http.StatusOK {
		return true
	}
	if p.status != http.StatusUnauthorized || !p.isPassword() {
		b.w.t.Fatalf("a guess was answered by %s", p)
	}
	return false
}

func (w *world) compared() uint64 {
	return w.server.counts.GuessesRight.Load() + w.server.counts.GuessesWrong.Load()
}

func TestLaneLocksAtTheThresholdAndDoublesItsWait(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		ada := w.person("ada@example.org")
		stranger := w.browser() // a browser that is not known never gets a device by failing
		for i := range 5 {
			if stranger.guess(ada.Login, fmt.Sprintf("wrong %d", i)) {
				t.Fatal("a wrong password signs in")
			}
		}
		refused := func(when string) {
			t.Helper()
			before := w.compared()
			for _, b := range []*browser{stranger, w.browser()} {
				if b.guess(ada.Login, ada.password) {
					t.Errorf("%s: the right password signs in", when)
				}
			}
			if w.compared() != before {
				t.Errorf("%s: a guess was compared", when)
			}
		}
		refused("N+1")
		w.clock.advance(5*time.Minute - time.Second)
		refused("before the first wait is over")
		for _, wait := range []time.Duration{10, 20, 40, 60, 60} { // minutes, up to WaitMax
			w.clock.advance(time.Hour)
			before := w.compared()
			if stranger.guess(ada.Login, "wrong again") || w.compared() != before+1 {
				t.Error("after the wait there is one try")
			}
			refused("after the one try")
			w.clock.advance(wait*time.Minute - time.Second)
			refused(fmt.Sprintf("before %d minutes are over", wait))
		}
		w.clock.advance(time.Second)
		if !w.browser().guess(ada.Login, ada.password) {
			t.Error("the one try with the right password does not sign in")
		}
		if n := w.count(`SELECT COUNT(*) FROM lane WHERE subject = $1`, ada.ID); n != 0 {
			t.Errorf("%d lanes are left after a completed sign-in", n)
		}
		// The wait starts anew.
		for range 5 {
			stranger.guess(ada.Login, "wrong")
		}
		refused("locked again")
		w.clock.advance(5 * time.Minute)
		if !w.browser().guess(ada.Login, ada.password) {
			t.Error("the second series waits longer than the first")
		}
	})
}

func TestRightPasswordClearsTheLane(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada@example.org")
	for range 4 {
		b := w.browser()
		for range 4 {
			b.guess(ada.Login, "wrong")
		}
		if !b.guess(ada.Login, ada.password) {
			t.Fatal("the fifth, right one does not sign in")
		}
	}
}

func TestOneLaneForAllSpellingsAndTheAccountsOwnThreshold(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada@example.org")
	spellings := []string{"ada@example.org", "ADA@EXAMPLE.ORG", " ada@example.org ", "ada@example.org.", "Ａda@example.org"}
	for _, login := range spellings {
		w.browser().guess(login, "wrong")
	}
	if w.browser().guess(ada.Login, ada.password) {
		t.Error("spellings count apart")
	}
	strict := w.person("eve@example.org", func(a *identity.Account) { a.LockThreshold = 3 })
	for range 3 {
		w.browser().guess(strict.Login, "wrong")
	}
	if w.browser().guess(strict.Login, strict.password) {
		t.Error("the account's own threshold does not count")
	}
}

func TestStrangersDoNotLockAKnownBrowser(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		ada, bob := w.person("ada@example.org"), w.person("bob@example.org")
		home, bobs := w.signedIn(ada), w.signedIn(bob)
		for range 5 {
			w.browser().guess(ada.Login, "wrong")
		}
		if w.browser().guess(ada.Login, ada.password) || bobs.guess(ada.Login, ada.password) {
			t.Fatal("strangers are not locked")
		}
		if !home.guess(ada.Login, ada.password) {
			t.Fatal("the known browser is locked by strangers")
		}
		if w.browser().guess(ada.Login, ada.password) {
			t.Error("a sign-in in the known browser unlocked strangers")
		}
		// The known browser uses up its own lane: it is a stranger then, and only
		// for this account.
		bobs.guess(ada.Login, "x")
		before := w.compared()
		for range 5 {
			home.guess(ada.Login, "wrong")
		}
		if w.compared() != before+5 {
			t.Errorf("%d guesses were compared", w.compared()-before)
		}
		if home.guess(ada.Login, ada.password) {
			t.Error("a known browser has more guesses than its lane")
		}
		if n := w.count(`SELECT COUNT(*) FROM device WHERE account_id = $1`, ada.ID); n != 0 {
			t.Errorf("%d known browsers", n)
		}
		if !bobs.guess(bob.Login, bob.password) {
			t.Error("another account's browser was forgotten")
		}
	})
}

func TestHundredFailuresDisableThePassword(t *testing.T) {
	w := newWorld(t)
	ada, bob := w.person("ada@example.org"), w.person("bob@example.org")
	shop := w.app()
	home := w.signedIn(ada)
	session := w.browser()
	got := w.walk(session, shop, ada)
	fail := func(p person, n uint64) {
		t.Helper()
		b := w.browser()
		for goal := w.server.counts.GuessesWrong.Load() + n; w.server.counts.GuessesWrong.Load() < goal; {
			b.guess(p.Login, "wrong")
			w.clock.advance(time.Hour)
		}
	}
	total := func(p person) int {
		return w.count(`SELECT COALESCE(SUM(failures), 0) FROM lane WHERE subject = $1 AND lane = 'total'`, p.ID)
	}
	fail(bob, 99)
	if !w.browser().guess(bob.Login, bob.password) || total(bob) != 0 {
		t.Error("a completed sign-in does not clear the total")
	}
	fail(ada, 100)
	if total(ada) != 100 {
		t.Errorf("total %d", total(ada))
	}
	w.clock.advance(24 * time.Hour)
	before := w.compared()
	for _, b := range []*browser{w.browser(), home} {
		if b.guess(ada.Login, ada.password) {
			t.Error("the password still works")
		}
	}
	if w.compared() != before {
		t.Error("a disabled password is compared")
	}
	if total(ada) != 100 {
		t.Errorf("refused guesses count: %d", total(ada))
	}
	// Only the password is off: what is signed in stays.
	w.tokensOf(w.refresh(shop, got.refresh))
}

func TestA22ParallelGuessesAreNeverMoreThanTheThreshold(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		ada := w.person("ada@example.org")
		const many = 40
		var pages []*page
		for range many {
			pages = append(pages, w.browser().get("/").at(ada.Login))
		}
		answers := parallel(many, func(i int) *page { return pages[i].submit("/password", "password", fmt.Sprintf("wrong %d", i)) })
		for _, p := range answers {
			if p.status != http.StatusUnauthorized {
				t.Errorf("%s", p)
			}
		}
		if n := w.compared(); n != 5 {
			t.Errorf("%d guesses were compared, the threshold is 5", n)
		}
		if n := w.count(`SELECT failures FROM lane WHERE subject = $1 AND lane = 'unknown'`, ada.ID); n != 5 {
			t.Errorf("%d stored", n)
		}
		if n := w.count(`SELECT failures FROM lane WHERE subject = $1 AND lane = 'total'`, ada.ID); n != 5 {
			t.Errorf("%d in the total", n)
		}
		if n := w.count(`SELECT COUNT(*) FROM event WHERE account_id = $1 AND kind = $2`, ada.ID, identity.EventRefusedLocked); n != many-5 {
			t.Errorf("%d refusals recorded", n)
		}
	})
}

// work is what one request cost and showed.
type work struct {
	Status            int
	Hashes, Statement uint64
	Events            int
	Headers           string
	Body              string
}

// measure sends the password and takes out of the page what is random in it.
func (w *world) measure(p *page, login, password string) work {
	w.t.Helper()
	hashes, _, _ := w.pool.Counts()
	statements, events := w.db.Statements(), w.count(`SELECT COUNT(*) FROM event`)
	q := p.submit("/password", "password", password)
	after, _, _ := w.pool.Counts()
	out := work{Status: q.status, Hashes: after - hashes, Statement: w.db.Statements() - statements, Events: w.count(`SELECT COUNT(*) FROM event`) - events}
	_, form := q.form("/password")
	out.Body = strings.NewReplacer(q.signInID(), "ID", form.Get("csrf"), "CSRF", login, "LOGIN").Replace(q.body)
	if id := strings.Index(out.Body, `class="id">`); id >= 0 {
		end := strings.Index(out.Body[id:], "</span>")
		out.Body = out.Body[:id] + fmt.Sprint(end) + out.Body[id+end:]
	}
	q.header.Del("Date")
	out.Headers = fmt.Sprint(q.header)
	return out
}

func TestA21AnswersAndWorkAreTheSameForEveryAccount(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		// All addresses are equally long, so that the pages are, byte by byte.
		known, locked, gone := w.person("known@example.org"), w.person("lockd@example.org"), w.person("gonee@example.org")
		w.person("empty@example.org", func(a *identity.Account) { a.SealedPassword = nil })
		w.disableAccount(gone)
		for range 5 {
			w.browser().guess(locked.Login, "wrong")
			w.browser().guess("lockx@example.org", "wrong") // locked, and nobody's
		}
		var want work
		for i, row := range []struct{ name, login, password string }{
			{"wrong password", known.Login, "wrong"},
			{"nobody", "nobdy@example.org", rightPassword},
			{"nobody, locked", "lockx@example.org", rightPassword},
			{"locked", locked.Login, "wrong"},
			{"locked, right password", locked.Login, rightPassword},
			{"disabled, right password", gone.Login, rightPassword},
			{"no password", "empty@example.org", rightPassword},
			{"wrong again", known.Login, "wrong"},
			{"nobody again", "nobdy@example.org", "x"},
		} {
			before := w.db.Statements()
			p := w.browser().get("/").at(row.login)
			toPassword := w.db.Statements() - before
			got := w.measure(p, row.login, row.password)
			got.Statement += toPassword
			if i == 0 {
				want = got
				if want.Hashes != 1 || want.Status != http.StatusUnauthorized {
					t.Fatalf("%+v", want)
				}
				continue
			}
			if got != want {
				t.Errorf("%s differs:\n%+v\n%+v", row.name, got, want)
			}
		}
	})
}

func TestPasswordThatCannotBeOneCostsNothing(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada@example.org")
	p := w.browser().get("/").at(ada.Login)
	before, _, _ := w.pool.Counts()
	for _, password := range []string{"", strings.Repeat("x", identity.MaxPassword+1)} {
		if q := p.submit("/password", "password", password); q.status != http.StatusUnprocessableEntity || q.problem() == "" {
			t.Errorf("%d bytes: %s", len(password), q)
		}
	}
	if after, _, _ := w.pool.Counts(); after != before || w.count(`SELECT COUNT(*) FROM lane`) != 0 {
		t.Error("it was hashed or counted")
	}
	// What is exactly as long as it may be is hashed, and counts.
	if q := p.submit("/password", "password", strings.Repeat("x", identity.MaxPassword)); q.status != http.StatusUnauthorized {
		t.Errorf("%s", q)
	}
}

func TestPasswordsAreComparedAsNFC(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada@example.org")
	ticket, err := w.pool.Admit(context.Background(), true)
	w.check(err)
	encoded, err := ticket.Hash("caf\u00e9 au lait, sans sucre")
	w.check(err)
	ticket.Release()
	w.exec(`UPDATE account SET password = $2 WHERE id = $1`, ada.ID, w.ring.Seal(identity.PasswordContext(ada.ID), []byte(encoded)))
	if !w.browser().guess(ada.Login, "cafe\u0301 au lait, sans sucre") {
		t.Error("the decomposed spelling is another password")
	}
}

func TestSealedPasswordOfAnotherAccountOpensNothing(t *testing.T) {
	w := newWorld(t)
	ada, eve := w.person("ada@example.org"), w.person("eve@example.org")
	w.exec(`UPDATE account SET password = $2 WHERE id = $1`, ada.ID, eve.SealedPassword)
	p := w.browser().get("/").at(ada.Login).submit("/password", "password", eve.password)
	if p.status != http.StatusInternalServerError || w.count(`SELECT COUNT(*) FROM session`) != 0 {
		t.Errorf("%s", p)
	}
}

func TestGuessesOfOneNetworkAreSlowedDown(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Limits.GuessesPerMinute = 3 })
	for i := range 3 {
		w.browser().guess(fmt.Sprintf("p%d@example.org", i), "wrong")
	}
	before, _, _ := w.pool.Counts()
	p := w.browser().get("/").at("other@example.org").submit("/password", "password", "wrong")
	if p.status != http.StatusTooManyRequests || p.header.Get("Retry-After") != "20" {
		t.Errorf("%s, Retry-After %s", p, p.header.Get("Retry-After"))
	}
	if after, _, _ := w.pool.Counts(); after != before || w.count(`SELECT COUNT(*) FROM lane WHERE lane = 'unknown'`) != 3 {
		t.Error("a guess that is too fast was hashed or counted")
	}
	w.clock.advance(20 * time.Second)
	w.browser().guess("other@example.org", "wrong")
}

func TestFullHashQueueShedsWithoutCounting(t *testing.T) {
	pool, err := secret.NewPool(secret.PoolConfig{Params: secret.Params{MemoryKiB: 8, Time: 1, Threads: 1}, Slots: 1, Queue: 1})
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *Config) { c.Pool = pool })
	ada := w.person("ada@example.org")
	p := w.browser().get("/").at(ada.Login)
	ctx, cancel := context.WithCancel(context.Background())
	for range 4 { // 2 × slots + 2 tickets
		ticket, err := pool.Admit(ctx, false)
		w.check(err)
		defer ticket.Release()
	}
	waits := make(chan error)
	go func() { _, err := pool.Admit(ctx, false); waits <- err }()
	for n := 0; n == 0; _, n, _ = pool.Counts() {
		runtime.Gosched()
	}
	q := p.submit("/password", "password", ada.password)
	if q.status != http.StatusServiceUnavailable || q.header.Get("Retry-After") == "" || w.count(`SELECT COUNT(*) FROM lane`) != 0 {
		t.Errorf("%s", q)
	}
	cancel()
	if <-waits == nil {
		t.Error("the one that waited was admitted")
	}
}

// The password was changed, or the account disabled, while the old one was being
// compared: the verdict must not stand.
func TestVerdictIsVoidWhenTheAccountChangedMeanwhile(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada@example.org")
	p := w.browser().get("/").at(ada.Login)
	signIn, err := w.db.SignIn(p.signInID())
	w.check(err)
	r, err := http.NewRequest(http.MethodPost, w.issuer+"/signin/"+signIn.ID+"/password", nil)
	w.check(err)
	a, err := w.server.attempt(r, signIn)
	w.check(err)
	w.disableAccount(ada)
	ok, err := w.server.admitPerson(nil, r, a, "")
	w.check(err)
	if ok || w.count(`SELECT COUNT(*) FROM session`) != 0 {
		t.Error("a session for an account that was disabled meanwhile")
	}
}
