package console

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"simplon/identity"
	"simplon/secret"
	"simplon/storage"
)

func TestSetupLinkMakesOneAdministrator(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		if needed, err := w.acts.NeedsSetup(); err != nil || !needed {
			t.Fatalf("needs set-up: %v, %v", needed, err)
		}
		path, b := w.link(false), w.browser()
		for range 3 { // a mail scanner, a preview, a reload: looking spends nothing
			p := b.get(path).want(http.StatusOK)
			if p.header.Get("Cache-Control") != "no-store" || p.header.Get("Referrer-Policy") == "" {
				t.Errorf("headers %v", p.header)
			}
		}
		done := b.get(path).submit("  Ada   King Byron ", "Ada@Example.org", goodPassword).want(http.StatusOK)
		if !strings.Contains(done.body, `href="/"`) || strings.Contains(done.body, goodPassword) {
			t.Errorf("%s", done)
		}
		key, err := identity.LoginKey("ada@example.org")
		w.check(err)
		a, err := w.acts.DB.AccountByLogin(key)
		w.check(err)
		if !a.Administrator || !a.LoginVerified || a.Login != "Ada@Example.org" || a.GivenName != "Ada King" || a.FamilyName != "Byron" || a.Disabled() {
			t.Errorf("%+v", a)
		}
		encoded, err := w.acts.Ring.Open(identity.PasswordContext(a.ID), a.SealedPassword)
		w.check(err)
		ticket, err := w.pool.Admit(context.Background(), true)
		w.check(err)
		defer ticket.Release()
		if ok, _, err := ticket.Verify(string(encoded), goodPassword); err != nil || !ok {
			t.Errorf("the password does not open the account: %v", err)
		}
		if n := w.count(`SELECT COUNT(*) FROM event WHERE kind = $1 AND account_id = $2`, identity.EventSetupLinkSpent, a.ID); n != 1 {
			t.Errorf("%d events", n)
		}
		if n := w.spent.Load(); n != 1 {
			t.Errorf("Spent was called %d times", n)
		}
		// Used, by whatever method, and no further plain link.
		b.get(path).want(http.StatusGone)
		w.browser().get(path).want(http.StatusGone)
		if needed, err := w.acts.NeedsSetup(); err != nil || needed {
			t.Errorf("needs set-up: %v, %v", needed, err)
		}
		if _, err := w.acts.NewSetupLink(context.Background(), "test", false); err == nil || !strings.Contains(err.Error(), "--emergency") {
			t.Errorf("a further plain link: %v", err)
		}
	})
}

func TestSetupLinksEnd(t *testing.T) {
	w := newWorld(t)
	old, b := w.link(false), w.browser()
	form := b.get(old).want(http.StatusOK)
	path := w.link(false)
	form.submit("Ada", "ada@example.org", goodPassword).want(http.StatusGone) // a new link ends the one before
	// It used to say that the server is set up already, which nobody did.
	if p := b.get(old).want(http.StatusGone); !strings.Contains(p.body, "simplon setup-link") {
		t.Errorf("a replaced link does not say what to do: %s", p)
	}
	form = b.get(path).want(http.StatusOK)
	w.clock.advance(w.acts.LinkLife)
	b.get(path).want(http.StatusGone)
	form.submit("Ada", "ada@example.org", goodPassword).want(http.StatusGone)
	for _, token := range []string{"x", "smp_su_", "smp_su_" + strings.Repeat("A", 43), strings.Repeat("smp_su_", 20), path[7:] + "x", "smp_su_%00", "smp_su_%ff"} {
		if p := b.get("/setup/" + token); p.status != http.StatusNotFound {
			t.Errorf("%.40q: %s", token, p)
		}
	}
	if n := w.count(`SELECT COUNT(*) FROM account`); n != 0 {
		t.Errorf("%d accounts", n)
	}
	// The link is not stored as it is.
	if n := w.count(`SELECT COUNT(*) FROM setup_link WHERE hash = $1`, []byte(strings.TrimPrefix(path, "/setup/"))); n != 0 {
		t.Error("the link is stored in the clear")
	}
}

func TestSetupFormNeedsItsBrowser(t *testing.T) {
	w := newWorld(t)
	path := w.link(false)
	form := w.browser().get(path)
	fields := url.Values{"csrf": {form.field("csrf")}, "name": {"Eve"}, "login": {"eve@example.org"}, "password": {goodPassword}}
	w.browser().do(http.MethodPost, path, fields.Encode()).want(http.StatusForbidden)
	fields.Del("csrf")
	form.b.do(http.MethodPost, path, fields.Encode()).want(http.StatusForbidden)
	if n := w.count(`SELECT COUNT(*) FROM account`); n != 0 {
		t.Errorf("%d accounts", n)
	}
}

func TestSetupKeepsTheFieldsAndTheLinkOnAProblem(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		path, b := w.link(false), w.browser()
		p := b.get(path)
		hashes, _, _ := w.pool.Counts()
		for name, row := range map[string][3]string{
			"password missing":     {"Ada Byron", "ada@example.org", ""},
			"password short":       {"Ada Byron", "ada@example.org", "short"},
			"password long":        {"Ada Byron", "ada@example.org", strings.Repeat("ab cd ", 200)},
			"password one pattern": {"Ada Byron", "ada@example.org", "aaaaaaaaaaaaaaaaaaaa"},
			"password is the name": {"Ada Byron", "ada@example.org", "ada byron ada byron"},
			"no address":           {"Ada Byron", "", goodPassword},
			"bad address":          {"Ada Byron", "<b>not an address", goodPassword},
			"address with a name":  {"Ada Byron", "Ada <ada@example.org>", goodPassword},
			"address of two lines": {"Ada Byron", "ada@example.org\r\nBcc: eve@example.org", goodPassword},
			"address with NUL":     {"Ada Byron", "ada\x00@example.org", goodPassword},
			"no name":              {"", "ada@example.org", goodPassword},
			"blank name":           {"  \t", "ada@example.org", goodPassword},
			"control in name":      {"Ada\x01", "ada@example.org", goodPassword},
			"name not UTF-8":       {"Ada\xff", "ada@example.org", goodPassword},
		} {
			q := p.submit(row[0], row[1], row[2])
			if q.status != http.StatusUnprocessableEntity || !strings.Contains(q.body, `role="alert"`) || strings.Contains(q.body, "<b>not") {
				t.Errorf("%s: %s", name, q)
			}
			if name == "bad address" && (q.field("name") != row[0] || q.field("login") != row[1]) || q.field("password") != "" {
				t.Errorf("%s keeps %q %q %q", name, q.field("name"), q.field("login"), q.field("password"))
			}
		}
		if after, _, _ := w.pool.Counts(); after != hashes {
			t.Errorf("%d hashes for what was refused", after-hashes)
		}
		if w.spent.Load() != 0 {
			t.Error("a refusal spent the link")
		}
		p.submit("Ada Byron", "ada@example.org", goodPassword).want(http.StatusOK)
	})
}

func TestSetupWithATakenAddress(t *testing.T) {
	w := newWorld(t)
	_, err := w.acts.CreateAccount(context.Background(), "cli", NewAccount{Login: "ada@example.org"})
	w.check(err)
	p := w.browser().get(w.link(false))
	q := p.submit("Ada", "ADA@example.org", goodPassword).want(http.StatusUnprocessableEntity)
	if q.field("login") != "ADA@example.org" || q.field("name") != "Ada" || !strings.Contains(q.body, `role="alert"`) {
		t.Errorf("%s", q)
	}
	// The account that is there was not touched, and the link still opens.
	if n := w.count(`SELECT COUNT(*) FROM account WHERE administrator`); n != 0 {
		t.Error("the existing account became administrator")
	}
	q.submit("Ada", "ada.admin@example.org", goodPassword).want(http.StatusOK)
}

func TestSetupRaceMakesOneAdministrator(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		const many = 20
		path := w.link(false)
		var forms []*page
		for range many {
			forms = append(forms, w.browser().get(path).want(http.StatusOK))
		}
		status := make([]int, many)
		var wait sync.WaitGroup
		start := make(chan struct{})
		for i, form := range forms {
			wait.Go(func() {
				<-start
				status[i] = form.submit("Ada", fmt.Sprintf("ada%d@example.org", i), goodPassword).status
			})
		}
		close(start)
		wait.Wait()
		won := 0
		for _, s := range status {
			switch s {
			case http.StatusOK:
				won++
			case http.StatusGone:
			default:
				t.Errorf("one answered %d", s)
			}
		}
		if won != 1 || w.count(`SELECT COUNT(*) FROM account`) != 1 || w.count(`SELECT COUNT(*) FROM event WHERE kind = $1`, identity.EventSetupLinkSpent) != 1 {
			t.Errorf("%d won, %d accounts", won, w.count(`SELECT COUNT(*) FROM account`))
		}
	})
}

// A plain link that is still open must not make a second administrator after
// one came another way.
func TestPlainLinkIsWorthNothingOnceThereIsAnAdministrator(t *testing.T) {
	w := newWorld(t)
	form := w.browser().get(w.link(false))
	_, err := w.acts.CreateAccount(context.Background(), "cli", NewAccount{Login: "first@example.org", Password: goodPassword, Administrator: true})
	w.check(err)
	form.submit("Eve", "eve@example.org", goodPassword).want(http.StatusGone)
	if n := w.count(`SELECT COUNT(*) FROM account`); n != 1 {
		t.Errorf("%d accounts", n)
	}
}

func TestEmergencyLinkMakesAFurtherAdministratorAndTouchesNobody(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		first, err := w.acts.CreateAccount(ctx, "cli", NewAccount{Login: "first@example.org", Password: goodPassword, Administrator: true})
		w.check(err)
		before, err := w.acts.DB.Account(first.ID)
		w.check(err)
		path := w.link(true)
		p := w.browser().get(path).want(http.StatusOK)
		// Not even with the address of the account that is there.
		p.submit("Eve", "first@example.org", "another harbour nine kites").want(http.StatusUnprocessableEntity)
		p.submit("Second", "second@example.org", "another harbour nine kites").want(http.StatusOK)
		p.b.get(path).want(http.StatusGone)
		after, err := w.acts.DB.Account(first.ID)
		w.check(err)
		if fmt.Sprint(before) != fmt.Sprint(after) {
			t.Errorf("the first account changed:\n%v\n%v", before, after)
		}
		if n := w.count(`SELECT COUNT(*) FROM account WHERE administrator`); n != 2 {
			t.Errorf("%d administrators", n)
		}
		if n := w.count(`SELECT COUNT(*) FROM event WHERE kind = $1 AND actor = 'test'`, identity.EventSetupLinkMade); n != 1 {
			t.Errorf("%d events", n)
		}
	})
}

func TestSetupDigestIsWhatIsStored(t *testing.T) {
	w := newWorld(t)
	token := strings.TrimPrefix(w.link(false), "/setup/")
	link, err := w.acts.DB.SetupLink(secret.Digest(token))
	w.check(err)
	if link.Emergency || !link.SpentAt.IsZero() {
		t.Errorf("%+v", link)
	}
	if _, err := w.acts.DB.SetupLink([]byte(token)); err != storage.ErrNotFound {
		t.Errorf("found by the token itself: %v", err)
	}
}
