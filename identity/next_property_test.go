package identity_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"simplon/identity"
)

// The pools are small, so that what must match often does.
func anyAccount(t *rapid.T, label string) string {
	return rapid.SampledFrom([]string{"anna", "beat", ""}).Draw(t, label)
}

func anyTime(t *rapid.T, label string) time.Time {
	return instant().Add(time.Duration(rapid.IntRange(-100, 100).Draw(t, label)) * time.Second)
}

// oddly is true for one row in eight: what ends a sign-in early must be rare, or
// no row gets far.
func oddly(t *rapid.T, label string) bool {
	return rapid.IntRange(0, 7).Draw(t, label+" oddly") == 7
}

// mostly is the usual value, oddly one of the others.
func mostly[T any](t *rapid.T, label string, usual T, others ...T) T {
	if !oddly(t, label) {
		return usual
	}
	return rapid.SampledFrom(others).Draw(t, label)
}

// seldom is the zero time mostly.
func seldom(t *rapid.T, label string) time.Time {
	return mostly(t, label, time.Time{}, anyTime(t, label))
}

// later is an hour from now mostly.
func later(t *rapid.T, label string) time.Time {
	return mostly(t, label, instant().Add(time.Hour), anyTime(t, label))
}

func anyScopes(t *rapid.T, label string) identity.Scopes {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(identity.StandardScopes()), 0, 4, rapid.ID[string]).Draw(t, label)
}

func anySignIn(t *rapid.T) identity.SignIn {
	s := identity.SignIn{
		ID: "sgn_1", FrontID: "frt_1", ClientID: mostly(t, "client", "app_1", ""),
		LoginKey:  rapid.SampledFrom([]string{"", "anna@example.com"}).Draw(t, "login"),
		AccountID: anyAccount(t, "proved account"),
		SessionID: rapid.SampledFrom([]string{"", "ses_1", "ses_2"}).Draw(t, "proved session"),
		Consented: rapid.Bool().Draw(t, "consented"),
		Refusal:   mostly(t, "refusal", "", "access_denied"),
		Epoch:     mostly[int64](t, "epoch", 3, 2, 4),
		ExpiresAt: later(t, "expires"), ClosedAt: seldom(t, "closed"),
	}
	if rapid.Bool().Draw(t, "proved") {
		s.Methods = []string{identity.MethodPassword}
	}
	s.Request = identity.Request{
		RedirectURI: rapid.SampledFrom([]string{"https://a.example/cb", "http://127.0.0.1/cb", "com.example.app:/cb", ""}).Draw(t, "redirect"),
		Scopes:      anyScopes(t, "scopes"),
		Prompt: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"none", "login", "consent", "select_account", "create"}),
			0, 3, rapid.ID[string]).Draw(t, "prompt"),
		HintSub: mostly(t, "hint", "", "anna", "beat"),
	}
	if rapid.Bool().Draw(t, "has max_age") {
		s.Request.MaxAge = seconds(rapid.Int64Range(-1, 150).Draw(t, "max_age"))
	}
	return s
}

func anyFacts(t *rapid.T) identity.Facts {
	f := identity.Facts{Epoch: 3, Granted: anyScopes(t, "granted")}
	if !oddly(t, "no client") {
		f.Client = &identity.Client{
			ID:         mostly(t, "client id", "app_1", "app_2"),
			Kind:       rapid.SampledFrom([]identity.ClientKind{identity.ClientWeb, identity.ClientSPA, identity.ClientNative}).Draw(t, "kind"),
			FirstParty: rapid.Bool().Draw(t, "first party"), DisabledAt: seldom(t, "client disabled"),
		}
	}
	if !oddly(t, "no account") {
		f.Account = &identity.Account{ID: anyAccount(t, "account"), DisabledAt: seldom(t, "account disabled")}
	}
	if !oddly(t, "no session") {
		f.Session = &identity.Session{
			ID: mostly(t, "session", "ses_1", "ses_2", ""), AccountID: anyAccount(t, "session of"),
			FrontID: mostly(t, "session at", "frt_1", "frt_2"), Epoch: mostly[int64](t, "session epoch", 3, 2),
			AuthAt: anyTime(t, "auth"), ExpiresAt: later(t, "session expires"), EndedAt: seldom(t, "ended"),
		}
	}
	return f
}

func TestNextKeepsItsPromisesForEveryRow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for range 30 { // most rows end early
			keepsPromises(t, anySignIn(t), anyFacts(t))
		}
	})
}

func keepsPromises(t *rapid.T, s identity.SignIn, f identity.Facts) {
	d := identity.Next(s, f, instant())
	if d.Step < identity.StepLogin || d.Step > identity.StepClosed {
		t.Fatalf("no step: %+v", d)
	}
	if (d.Step == identity.StepRefuse) != (d.Error != "") {
		t.Fatalf("an error code belongs to StepRefuse: %+v", d)
	}
	if d != identity.Next(s, f, instant()) {
		t.Fatal("two answers to one question")
	}
	switch d.Step {
	case identity.StepLogin, identity.StepPassword, identity.StepConsent:
		if s.Request.Prompted("none") {
			t.Fatalf("prompt=none meets a page: %+v", d)
		}
	}
	switch d.Step {
	case identity.StepConsent:
		signedIn(t, s, f)
	case identity.StepDone:
		signedIn(t, s, f)
		mayEnd(t, s, f)
	}
}

// signedIn fails unless the facts hold a live session of an account in use.
func signedIn(t *rapid.T, s identity.SignIn, f identity.Facts) {
	switch {
	case f.Session == nil || f.Account == nil:
		t.Fatal("nobody is signed in")
	case !f.Session.Live(s.FrontID, f.Epoch, instant()):
		t.Fatal("the session is not live here")
	case f.Session.AccountID != f.Account.ID || f.Account.Disabled():
		t.Fatal("the session does not open the account")
	case len(s.Methods) > 0 && s.AccountID != f.Account.ID:
		t.Fatal("the sign-in proved somebody else")
	}
}

// mayEnd fails unless the client may have a code for the signed-in account.
func mayEnd(t *rapid.T, s identity.SignIn, f identity.Facts) {
	here := len(s.Methods) > 0 && s.AccountID == f.Account.ID && s.SessionID == f.Session.ID
	r := s.Request
	switch {
	case !s.ClosedAt.IsZero() || s.Refusal != "" || s.Epoch != f.Epoch || !instant().Before(s.ExpiresAt):
		t.Fatal("the row was over")
	case s.ClientID != "" && (f.Client == nil || f.Client.ID != s.ClientID || f.Client.Disabled()):
		t.Fatal("the client may not")
	case (r.Prompted("login") || r.Prompted("select_account")) && !here:
		t.Fatal("prompt=login ended without a proof in this row")
	case r.MaxAge != nil && !here && instant().Sub(f.Session.AuthAt) > time.Duration(*r.MaxAge)*time.Second:
		t.Fatal("the proof is older than max_age")
	case r.HintSub != "" && r.HintSub != f.Account.ID:
		t.Fatal("not the account the client asked for")
	}
	if f.Client == nil || s.Consented && s.AccountID == f.Account.ID {
		return
	}
	ours := f.Client.FirstParty || f.Granted.Cover(r.Scopes)
	claimable := f.Client.Kind == identity.ClientNative && r.RedirectURI[:min(8, len(r.RedirectURI))] != "https://"
	if !ours || claimable || r.Prompted("consent") {
		t.Fatal("nobody consented")
	}
}

// TestNextIsDoneOftenEnough guards the property test against generators that
// never reach the step it is about.
func TestNextIsDoneOftenEnough(t *testing.T) {
	steps := map[identity.Step]int{}
	rows := rapid.Custom(anySignIn)
	facts := rapid.Custom(anyFacts)
	for seed := range 3000 {
		steps[identity.Next(rows.Example(seed), facts.Example(seed+1), instant()).Step]++
	}
	for step := identity.StepLogin; step <= identity.StepClosed; step++ {
		if steps[step] < 5 {
			t.Errorf("step %d came up %d times in 3000", step, steps[step])
		}
	}
}
