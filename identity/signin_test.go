package identity_test

import (
	"testing"
	"time"

	"simplon/identity"
)

// instant is the time of every test here.
func instant() time.Time { return time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC) }

func seconds(n int64) *int64 { return &n }

// journey is a sign-in of Anna at a third-party web application, with the facts
// that let it end at once: she has a session from a minute ago and consented
// before.
func journey() (identity.SignIn, identity.Facts) {
	now := instant()
	signIn := identity.SignIn{
		ID: "sgn_1", FrontID: "frt_1", Purpose: identity.PurposeSignIn, ClientID: "app_1",
		Request: identity.Request{RedirectURI: "https://mail.example/cb", Scopes: identity.Scopes{"openid", "email"}},
		Epoch:   3, CreatedAt: now.Add(-time.Minute), ExpiresAt: now.Add(29 * time.Minute),
	}
	return signIn, identity.Facts{
		Client:  &identity.Client{ID: "app_1", Kind: identity.ClientWeb},
		Session: sessionOf("ses_1", "anna"),
		Account: &identity.Account{ID: "anna"},
		Granted: identity.Scopes{"email", "profile", "openid"},
		Epoch:   3,
	}
}

func sessionOf(id, account string) *identity.Session {
	now := instant()
	return &identity.Session{ID: id, FrontID: "frt_1", AccountID: account, Methods: []string{identity.MethodPassword},
		AuthAt: now.Add(-time.Minute), Epoch: 3, CreatedAt: now.Add(-time.Minute), ExpiresAt: now.Add(time.Hour)}
}

type change func(*identity.SignIn, *identity.Facts)

func prompt(values ...string) change {
	return func(s *identity.SignIn, _ *identity.Facts) { s.Request.Prompt = values }
}

func maxAge(n int64) change {
	return func(s *identity.SignIn, _ *identity.Facts) { s.Request.MaxAge = seconds(n) }
}

func hint(account string) change {
	return func(s *identity.SignIn, _ *identity.Facts) { s.Request.HintSub = account }
}

// proved is what the right password leaves in the row.
func proved(account, session string) change {
	return func(s *identity.SignIn, _ *identity.Facts) {
		s.Login, s.LoginKey = account+"@example.com", account+"@example.com"
		s.AccountID, s.SessionID = account, session
		s.Methods, s.AuthAt = []string{identity.MethodPassword}, instant()
	}
}

// consented is what the consent page leaves in the row.
func consented(account string) change {
	return func(s *identity.SignIn, _ *identity.Facts) { s.Consented, s.AccountID = true, account }
}

func typed(s *identity.SignIn, _ *identity.Facts) {
	s.Login, s.LoginKey = "Anna@Example.com", "anna@example.com"
}

func nobody(_ *identity.SignIn, f *identity.Facts) { f.Session, f.Account, f.Granted = nil, nil, nil }

// browserOf makes somebody else the person of the browser's session.
func browserOf(account, session string) change {
	return func(_ *identity.SignIn, f *identity.Facts) {
		f.Session, f.Account = sessionOf(session, account), &identity.Account{ID: account}
	}
}

func neverGranted(_ *identity.SignIn, f *identity.Facts) { f.Granted = nil }

func firstParty(_ *identity.SignIn, f *identity.Facts) { f.Client.FirstParty = true }

func nativeAt(redirect string) change {
	return func(s *identity.SignIn, f *identity.Facts) {
		f.Client.Kind, f.Client.Auth, s.Request.RedirectURI = identity.ClientNative, identity.AuthNone, redirect
	}
}

func ownPages(s *identity.SignIn, f *identity.Facts) {
	s.ClientID, s.Request, f.Client, f.Granted = "", identity.Request{}, nil, nil
}

func refuse(code string) identity.Decision {
	return identity.Decision{Step: identity.StepRefuse, Error: code}
}

func step(s identity.Step) identity.Decision { return identity.Decision{Step: s} }

type nextCase struct {
	name    string
	changes []change
	want    identity.Decision
}

func checkNext(t *testing.T, cases []nextCase) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			signIn, facts := journey()
			for _, apply := range c.changes {
				apply(&signIn, &facts)
			}
			if got := identity.Next(signIn, facts, instant()); got != c.want {
				t.Errorf("Next = %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestNextEndsRowsThatGoNoFurther(t *testing.T) {
	closed := func(s *identity.SignIn, _ *identity.Facts) { s.ClosedAt = instant().Add(-time.Second) }
	refused := func(s *identity.SignIn, _ *identity.Facts) { s.Refusal = "access_denied" }
	expires := func(in time.Duration) change {
		return func(s *identity.SignIn, _ *identity.Facts) { s.ExpiresAt = instant().Add(in) }
	}
	restored := func(_ *identity.SignIn, f *identity.Facts) { f.Epoch++ }
	noClient := func(_ *identity.SignIn, f *identity.Facts) { f.Client = nil }
	otherClient := func(_ *identity.SignIn, f *identity.Facts) { f.Client.ID = "app_2" }
	clientOff := func(_ *identity.SignIn, f *identity.Facts) { f.Client.DisabledAt = instant() }
	checkNext(t, []nextCase{
		{"open", nil, step(identity.StepDone)},
		{"closed", []change{closed}, step(identity.StepClosed)},
		{"closed wins over expired", []change{closed, expires(-time.Hour)}, step(identity.StepClosed)},
		{"closed wins over refusal", []change{closed, refused}, step(identity.StepClosed)},
		{"last moment", []change{expires(time.Nanosecond)}, step(identity.StepDone)},
		{"expired to the instant", []change{expires(0)}, step(identity.StepExpired)},
		{"expired wins over refusal", []change{expires(-1), refused}, step(identity.StepExpired)},
		{"epoch changed", []change{restored}, step(identity.StepExpired)},
		{"epoch changed after proof", []change{proved("anna", "ses_1"), restored}, step(identity.StepExpired)},
		{"refusal", []change{refused}, refuse("access_denied")},
		{"refusal without session", []change{refused, nobody}, refuse("access_denied")},
		{"disabled client", []change{clientOff}, refuse("unauthorized_client")},
		{"disabled client asks nobody's password", []change{clientOff, nobody}, refuse("unauthorized_client")},
		{"client gone", []change{noClient}, step(identity.StepExpired)},
		{"facts of another client", []change{otherClient}, step(identity.StepExpired)},
	})
}

func TestNextAsksWhoItIs(t *testing.T) {
	accountOff := func(_ *identity.SignIn, f *identity.Facts) { f.Account.DisabledAt = instant() }
	foreign := func(_ *identity.SignIn, f *identity.Facts) { f.Session.AccountID = "beat" }
	otherFront := func(_ *identity.SignIn, f *identity.Facts) { f.Session.FrontID = "frt_2" }
	ended := func(_ *identity.SignIn, f *identity.Facts) { f.Session.EndedAt = instant().Add(-time.Hour) }
	over := func(_ *identity.SignIn, f *identity.Facts) { f.Session.ExpiresAt = instant() }
	checkNext(t, []nextCase{
		{"nobody", []change{nobody}, step(identity.StepLogin)},
		{"nobody, address typed", []change{nobody, typed}, step(identity.StepPassword)},
		{"nobody, prompt none", []change{nobody, prompt("none")}, refuse("login_required")},
		{"nobody, own pages", []change{nobody, ownPages}, step(identity.StepLogin)},
		{"session, own pages", []change{ownPages}, step(identity.StepDone)},
		{"disabled account", []change{accountOff}, step(identity.StepLogin)},
		{"disabled account, address typed", []change{accountOff, typed}, step(identity.StepPassword)},
		{"disabled account, prompt none", []change{accountOff, prompt("none")}, refuse("login_required")},
		{"account disabled after proof", []change{proved("anna", "ses_1"), accountOff}, step(identity.StepPassword)},
		{"session of another account than the facts'", []change{foreign}, step(identity.StepLogin)},
		{"session of another front", []change{otherFront}, step(identity.StepLogin)},
		{"ended session", []change{ended}, step(identity.StepLogin)},
		{"expired session", []change{over}, step(identity.StepLogin)},
		{"session without account", []change{func(_ *identity.SignIn, f *identity.Facts) { f.Account = nil }}, step(identity.StepLogin)},
		{"account without session", []change{func(_ *identity.SignIn, f *identity.Facts) { f.Session = nil }}, step(identity.StepLogin)},
		{"session, address typed", []change{typed}, step(identity.StepDone)},
	})
}

func TestNextHonoursPrompt(t *testing.T) {
	checkNext(t, []nextCase{
		{"none with session", []change{prompt("none")}, step(identity.StepDone)},
		{"none without consent", []change{prompt("none"), neverGranted}, refuse("consent_required")},
		{"none at our own client", []change{prompt("none"), neverGranted, firstParty}, step(identity.StepDone)},
		{"none, too old", []change{prompt("none"), maxAge(30)}, refuse("login_required")},
		{"none, other person hinted", []change{prompt("none"), hint("beat")}, refuse("login_required")},
		{"login", []change{prompt("login")}, step(identity.StepLogin)},
		{"login, address typed", []change{prompt("login"), typed}, step(identity.StepPassword)},
		{"login, proved", []change{prompt("login"), proved("anna", "ses_1")}, step(identity.StepDone)},
		{"login, proved, then another session of the same person", []change{prompt("login"), proved("anna", "ses_0")}, step(identity.StepPassword)},
		{"select_account", []change{prompt("select_account")}, step(identity.StepLogin)},
		{"select_account, proved", []change{prompt("select_account"), proved("anna", "ses_1")}, step(identity.StepDone)},
		{"consent", []change{prompt("consent")}, step(identity.StepConsent)},
		{"consent at our own client", []change{prompt("consent"), firstParty}, step(identity.StepConsent)},
		{"consent, given", []change{prompt("consent"), consented("anna")}, step(identity.StepDone)},
		{"consent without session", []change{prompt("consent"), nobody}, step(identity.StepLogin)},
		{"login and consent", []change{prompt("login", "consent")}, step(identity.StepLogin)},
		{"login and consent, proved", []change{prompt("login", "consent"), proved("anna", "ses_1")}, step(identity.StepConsent)},
		{"login and consent, both done", []change{prompt("login", "consent"), proved("anna", "ses_1"), consented("anna")}, step(identity.StepDone)},
		{"unknown value", []change{prompt("create")}, step(identity.StepDone)},
	})
}

func TestNextHonoursMaxAge(t *testing.T) {
	authAt := func(ago time.Duration) change {
		return func(_ *identity.SignIn, f *identity.Facts) { f.Session.AuthAt = instant().Add(-ago) }
	}
	checkNext(t, []nextCase{
		{"within", []change{maxAge(61)}, step(identity.StepDone)},
		{"to the second", []change{maxAge(60)}, step(identity.StepDone)},
		{"over", []change{maxAge(59)}, step(identity.StepLogin)},
		{"over, address typed", []change{maxAge(59), typed}, step(identity.StepPassword)},
		{"over, proved", []change{maxAge(59), proved("anna", "ses_1")}, step(identity.StepDone)},
		{"0 asks even a session of this second", []change{maxAge(0), authAt(0)}, step(identity.StepLogin)},
		{"0, proved", []change{maxAge(0), proved("anna", "ses_1")}, step(identity.StepDone)},
		{"negative asks", []change{maxAge(-1), authAt(0)}, step(identity.StepLogin)},
		{"another node's clock ahead", []change{maxAge(1), authAt(-2 * time.Second)}, step(identity.StepDone)},
		{"session that never proved anything", []change{maxAge(999999999), func(_ *identity.SignIn, f *identity.Facts) { f.Session.AuthAt = time.Time{} }}, step(identity.StepLogin)},
	})
}

func TestNextHonoursTheHint(t *testing.T) {
	checkNext(t, []nextCase{
		{"same person", []change{hint("anna")}, step(identity.StepDone)},
		{"same person, proved", []change{hint("anna"), proved("anna", "ses_1")}, step(identity.StepDone)},
		{"other person", []change{hint("beat")}, step(identity.StepLogin)},
		{"other person, address typed", []change{hint("beat"), typed}, step(identity.StepPassword)},
		{"other person proved", []change{hint("beat"), proved("anna", "ses_1")}, refuse("login_required")},
		{"hinted person without session", []change{hint("anna"), nobody}, step(identity.StepLogin)},
	})
}

func TestNextAsksForConsent(t *testing.T) {
	narrower := func(_ *identity.SignIn, f *identity.Facts) { f.Granted = identity.Scopes{"openid"} }
	nothingAsked := func(s *identity.SignIn, f *identity.Facts) { s.Request.Scopes, f.Granted = nil, nil }
	checkNext(t, []nextCase{
		{"third party, never granted", []change{neverGranted}, step(identity.StepConsent)},
		{"third party, granted less", []change{narrower}, step(identity.StepConsent)},
		{"third party, remembered", nil, step(identity.StepDone)},
		{"third party, asks nothing", []change{nothingAsked}, step(identity.StepDone)},
		{"third party, just consented", []change{neverGranted, consented("anna")}, step(identity.StepDone)},
		{"consent given by another account", []change{neverGranted, consented("beat")}, step(identity.StepConsent)},
		{"first party", []change{neverGranted, firstParty}, step(identity.StepDone)},
		{"native over https, remembered", []change{nativeAt("https://app.example/cb")}, step(identity.StepDone)},
		{"native over https, never granted", []change{nativeAt("https://app.example/cb"), neverGranted}, step(identity.StepConsent)},
		{"native loopback, remembered", []change{nativeAt("http://127.0.0.1:4711/cb")}, step(identity.StepConsent)},
		{"native scheme, remembered", []change{nativeAt("com.example.app:/cb")}, step(identity.StepConsent)},
		{"native loopback, ours", []change{nativeAt("http://[::1]:4711/cb"), firstParty}, step(identity.StepConsent)},
		{"native loopback, just consented", []change{nativeAt("http://127.0.0.1/cb"), consented("anna")}, step(identity.StepDone)},
		{"native loopback, prompt none", []change{nativeAt("http://127.0.0.1/cb"), prompt("none")}, refuse("consent_required")},
	})
}

func TestNextEndsASignInWhosePersonLeft(t *testing.T) {
	checkNext(t, []nextCase{
		{"signed out after proof", []change{proved("anna", "ses_1"), nobody}, step(identity.StepExpired)},
		{"another account after proof", []change{proved("anna", "ses_1"), browserOf("beat", "ses_2")}, step(identity.StepExpired)},
		{"another account after proof, prompt none", []change{proved("anna", "ses_1"), prompt("none"), browserOf("beat", "ses_2")}, step(identity.StepExpired)},
		{"another account after consent only", []change{neverGranted, consented("anna"), browserOf("beat", "ses_2")}, step(identity.StepConsent)},
		{"same account, new session", []change{proved("anna", "ses_1"), browserOf("anna", "ses_9")}, step(identity.StepDone)},
	})
}
