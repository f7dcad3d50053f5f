package authserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"simplon/identity"
	"simplon/secret"
	"simplon/storage"
	"simplon/web"
)

// attempt is one guess at one account, or at an address that nobody has. Both go
// through the same statements and the same hash, so that neither the answer nor
// the work tells them apart (A21).
type attempt struct {
	signIn  identity.SignIn
	account identity.Account // ID "" where nobody has the address
	subject string           // whose lanes count
	device  identity.Device  // ID "" in an unknown browser
	lane    string
	policy  identity.LockPolicy
}

// compares tells whether the account has a password that may be compared at all.
func (a attempt) compares() bool {
	return a.account.ID != "" && !a.account.Disabled() && len(a.account.SealedPassword) > 0
}

// postPassword judges one guess: admission, then an attempt reserved in its lane
// before anything is checked, then the hash outside any transaction, then the
// verdict with everything that follows from it in one transaction.
func (s *Server) postPassword(w http.ResponseWriter, r *http.Request) error {
	signIn, facts, redirected, err := s.open(w, r, identity.StepPassword)
	if err != nil || redirected {
		return err
	}
	if key, err := identity.LoginKey(r.PostForm.Get("login")); err == nil && key != signIn.LoginKey {
		// The address was changed in another tab: this password is not for it.
		s.toStep(w, r, signIn.ID)
		return nil
	}
	r = web.WithLang(r, signIn.Request.UILocales)
	password := secret.Text(identity.NormalPassword(r.PostForm.Get("password")))
	if problem := passwordProblem(password); problem != "" {
		return s.wrong(w, r, signIn, facts, problem, http.StatusUnprocessableEntity)
	}
	a, err := s.attempt(r, signIn)
	if err != nil {
		return err
	}
	if wait := s.guesses.wait(a.bucket(r)); wait > 0 {
		return &web.Error{Status: http.StatusTooManyRequests, Key: "too-many-requests", RetryAfter: wait}
	}
	ticket, err := s.Pool.Admit(r.Context(), a.device.ID != "")
	if errors.Is(err, secret.ErrBusy) {
		return &web.Error{Status: http.StatusServiceUnavailable, Key: "busy", Err: err, RetryAfter: retryAfter}
	}
	if err != nil {
		return fmt.Errorf("authserver: admission: %w", err)
	}
	defer ticket.Release()

	// From here on the guess counts and is recorded, even if its browser hangs up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), verdictTime)
	defer cancel()
	r = r.WithContext(ctx)
	lane, reserved, err := s.reserve(r, a)
	if err != nil {
		return err
	}
	right, rehash, err := s.compare(ticket, a, password, reserved)
	if err != nil {
		return err
	}
	if right {
		right, err = s.admitPerson(w, r, a, rehash)
		if err != nil {
			return err
		}
		if right {
			s.toStep(w, r, signIn.ID)
			return nil
		}
	}
	if err := s.recordFailure(r, a, lane, reserved); err != nil {
		return err
	}
	return s.wrong(w, r, signIn, facts, "sign-in", http.StatusUnauthorized)
}

// verdictTime bounds what follows an admission: two short transactions and a hash.
const verdictTime = 30 * time.Second

// bucket is whose share of guesses a minute this one is of: a known browser has
// its own, so that strangers behind the same address never use it up.
func (a attempt) bucket(r *http.Request) string {
	if a.device.ID != "" {
		return a.device.ID
	}
	return network(web.ClientIP(r))
}

func passwordProblem(password secret.Text) string {
	switch n := len(password.Reveal()); {
	case n == 0:
		return "password-missing"
	case n > identity.MaxPassword:
		return "password-too-long"
	}
	return ""
}

// wrong shows the password page again.
func (s *Server) wrong(w http.ResponseWriter, r *http.Request, signIn identity.SignIn, f identity.Facts, problem string, status int) error {
	page := s.passwordPage(signIn, f)
	page.Problem, page.ProblemID = problem, web.RequestID(r.Context())
	web.AddLog(r, slog.String("problem", problem))
	return s.Site.Render(w, r, status, page)
}

// attempt reads whom the guess is at and from what browser it comes.
func (s *Server) attempt(r *http.Request, signIn identity.SignIn) (attempt, error) {
	a := attempt{signIn: signIn, lane: identity.LaneUnknown, policy: s.Lockout}
	account, err := s.DB.AccountByLogin(signIn.LoginKey)
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return a, err
	}
	a.account, a.subject = account, account.ID
	if account.ID == "" {
		a.subject = fmt.Sprintf("x%x", s.Ring.MAC("lane-of-nobody", []byte(signIn.LoginKey)))
	}
	a.policy = s.Lockout.For(account)
	device, err := s.DB.Device(secret.Digest(s.Site.Cookie(r, cookieDevice)), a.subject, s.Front.ID, s.Now())
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return a, err
	}
	if device.ID != "" {
		a.device, a.lane = device, device.ID
	}
	return a, nil
}

// reserve takes an attempt from the lane; false means that nothing may be
// compared.
func (s *Server) reserve(r *http.Request, a attempt) (lane identity.Lane, ok bool, err error) {
	err = s.DB.TxOn(r.Context(), "lane:"+a.subject, func(tx *storage.Tx) error {
		total, err := tx.Lane(a.subject, identity.LaneTotal)
		if err != nil {
			return err
		}
		lane, ok, err = tx.ReserveAttempt(a.subject, a.lane, a.policy, s.Now())
		ok = ok && total.Failures < a.policy.Total
		return err
	})
	return lane, ok, err
}

// compare runs exactly one hash, whatever the case: where nothing may be compared
// it is of the account's own kind, or of today's where there is none.
func (s *Server) compare(ticket *secret.Ticket, a attempt, password secret.Text, reserved bool) (right bool, rehash string, err error) {
	var encoded []byte
	if len(a.account.SealedPassword) > 0 {
		if encoded, err = s.Ring.Open(identity.PasswordContext(a.account.ID), a.account.SealedPassword); err != nil {
			return false, "", fmt.Errorf("authserver: sealed password of %s: %w", a.account.ID, err)
		}
	}
	if !reserved || !a.compares() {
		s.counts.Refused.Add(1)
		ticket.DummyLike(string(encoded), password.Reveal())
		return false, "", nil
	}
	right, rehash, err = ticket.Verify(string(encoded), password.Reveal())
	if err != nil {
		return false, "", fmt.Errorf("authserver: password of %s: %w", a.account.ID, err)
	}
	if right {
		s.counts.GuessesRight.Add(1)
	} else {
		s.counts.GuessesWrong.Add(1)
	}
	return right, rehash, nil
}

// recordFailure is the verdict "no": the same statements for a wrong password, a
// locked lane and an address that nobody has. Only a guess that was compared
// counts towards disabling the password.
func (s *Server) recordFailure(r *http.Request, a attempt, lane identity.Lane, reserved bool) error {
	e, err := s.event(r, identity.EventPasswordWrong)
	if err != nil {
		return err
	}
	e.AccountID, e.ClientID, e.SignInID = a.account.ID, a.signIn.ClientID, a.signIn.ID
	counted := 1
	switch {
	case !reserved:
		e.Kind, counted = identity.EventRefusedLocked, 0
	case lane.Locked(s.Now()):
		e.Kind = identity.EventLaneLocked
	}
	return s.DB.TxOn(r.Context(), "lane:"+a.subject, func(tx *storage.Tx) error {
		if _, err := tx.CountFailures(a.subject, counted, s.Now()); err != nil {
			return err
		}
		if a.device.ID != "" && e.Kind != identity.EventPasswordWrong {
			// A known browser that used up its lane is a stranger's from now on.
			if err := tx.ForgetDevice(a.account.ID, a.device.ID); err != nil {
				return err
			}
		}
		return tx.Record(e)
	})
}

// admitPerson is the verdict "yes": session, known browser, cleared lane and
// event in one transaction. It answers false where the account or the sign-in
// changed while the password was compared.
func (s *Server) admitPerson(w http.ResponseWriter, r *http.Request, a attempt, rehash string) (bool, error) {
	now := s.Now()
	v, err := s.prepareVisit(r, a, now)
	if err != nil {
		return false, err
	}
	var sealed []byte
	if rehash != "" {
		sealed = s.Ring.Seal(identity.PasswordContext(a.account.ID), []byte(rehash))
	}
	admitted := false
	err = s.DB.TxOn(r.Context(), "lane:"+a.subject, func(tx *storage.Tx) error {
		admitted = false
		account, err := tx.Account(a.account.ID)
		if err != nil {
			return err
		}
		if account.Disabled() || !bytes.Equal(account.SealedPassword, a.account.SealedPassword) {
			return nil
		}
		session, err := v.open(tx, s.Front.ID, now)
		if err != nil {
			return err
		}
		signIn := a.signIn
		signIn.AccountID, signIn.SessionID, signIn.ManagingOrg = account.ID, session.ID, account.ManagingOrg
		signIn.Methods, signIn.AuthAt = []string{identity.MethodPassword}, now
		proved, err := tx.ProveSignIn(signIn)
		if err != nil {
			return err
		}
		if !proved {
			return errChanged
		}
		if err := tx.RememberDevice(v.device); err != nil {
			return err
		}
		if err := tx.ClearLane(a.subject, a.lane); err != nil {
			return err
		}
		if sealed != nil {
			if err := tx.ReplacePasswordHash(account.ID, account.SealedPassword, sealed); err != nil {
				return err
			}
		}
		e := v.event
		e.SessionID = session.ID
		admitted = true
		return tx.Record(e)
	})
	if errors.Is(err, errChanged) {
		return true, s.recordUnused(r, v.event)
	}
	if err != nil || !admitted {
		return false, err
	}
	web.AddLog(r, slog.String("account", a.account.ID))
	s.Site.SetCookie(w, cookieSession, v.sessionCookie, 0)
	s.Site.SetCookie(w, cookieDevice, v.deviceCookie, s.TTL.Device)
	return true, nil
}

// recordUnused keeps the trace of a right password whose sign-in was closed or
// changed meanwhile: nobody tests passwords unseen. The dispatcher then shows
// where the sign-in stands.
func (s *Server) recordUnused(r *http.Request, e identity.Event) error {
	e.Kind = identity.EventPasswordUnused
	return s.DB.Tx(r.Context(), func(tx *storage.Tx) error { return tx.Record(e) })
}

// errChanged rolls back a sign-in that is no longer the one that was judged.
var errChanged = errors.New("authserver: sign-in changed meanwhile")

// visit is what a completed sign-in leaves behind, made before the transaction.
type visit struct {
	session       identity.Session
	before        []byte // digest of the session cookie the browser came with
	sessionCookie string
	device        identity.Device
	deviceCookie  string
	event         identity.Event
	eventIDs      []string // for sessions that end by it, at most identity.SessionsPerBrowser
}

func (s *Server) prepareVisit(r *http.Request, a attempt, now time.Time) (visit, error) {
	var v visit
	sessionID, err := s.newID(identity.KindSession)
	if err != nil {
		return v, err
	}
	deviceID, err := s.newID(identity.KindDevice)
	if err != nil {
		return v, err
	}
	if v.event, err = s.event(r, identity.EventSignedIn); err != nil {
		return v, err
	}
	v.event.AccountID, v.event.ClientID, v.event.SignInID = a.account.ID, a.signIn.ClientID, a.signIn.ID
	for range identity.SessionsPerBrowser {
		id, err := s.newID(identity.KindEvent)
		if err != nil {
			return v, err
		}
		v.eventIDs = append(v.eventIDs, id)
	}
	v.sessionCookie = s.Source.Token("").Reveal()
	v.before = secret.Digest(s.Site.Cookie(r, cookieSession))
	methods := []string{identity.MethodPassword}
	v.session = identity.Session{
		ID: sessionID, FrontID: s.Front.ID, SetHash: secret.Digest(v.sessionCookie), BrowserHash: a.signIn.BrowserHash, AccountID: a.account.ID,
		ManagingOrg: a.account.ManagingOrg, Methods: methods, ACR: identity.ACRFor(methods), AuthAt: now,
		Browser: browserName(r), Network: network(web.ClientIP(r)), Epoch: a.signIn.Epoch, CreatedAt: now, ExpiresAt: now.Add(s.TTL.Session),
	}
	// One cookie makes a browser known for all the people who sign in with it. It
	// is kept where a row knows it, and so was made by us; else made anew.
	v.deviceCookie = s.Site.Cookie(r, cookieDevice)
	known, err := s.DB.DeviceCookieKnown(secret.Digest(v.deviceCookie), s.Front.ID, now)
	if err != nil {
		return v, err
	}
	if !known {
		v.deviceCookie = s.Source.Token("").Reveal()
	}
	if a.device.ID != "" {
		deviceID = a.device.ID
	}
	v.device = identity.Device{
		ID: deviceID, Hash: secret.Digest(v.deviceCookie), AccountID: a.account.ID, FrontID: s.Front.ID, Browser: browserName(r),
		CreatedAt: now, SeenAt: now, ExpiresAt: now.Add(s.TTL.Device),
	}
	return v, nil
}

// open stores the session under a new cookie value (A18). The same account keeps
// its session and its sid; what else this browser holds ends, each with its
// event: another account's session until there is a chooser between them, and
// what tabs that signed in at once left over.
func (v visit) open(tx *storage.Tx, front string, now time.Time) (identity.Session, error) {
	session := v.session
	held, err := tx.SessionsOfBrowser(v.before, session.BrowserHash, session.AccountID, now)
	if err != nil {
		return session, err
	}
	renewed := false
	for i, h := range held {
		if h.AccountID == session.AccountID && h.FrontID == front && h.Epoch == session.Epoch && !renewed {
			session.ID, session.CreatedAt = h.ID, h.CreatedAt
			if renewed, err = tx.RenewSession(session); err != nil {
				return session, err
			}
			continue
		}
		if err := v.end(tx, h, i, now); err != nil {
			return session, err
		}
	}
	if renewed {
		return session, nil
	}
	session.ID = v.session.ID
	return session, tx.CreateSession(session)
}

func (v visit) end(tx *storage.Tx, h identity.Session, i int, now time.Time) error {
	ended, err := tx.EndSession(h.ID, now)
	if err != nil || !ended || i >= len(v.eventIDs) {
		return err
	}
	e := v.event
	e.ID, e.Kind, e.AccountID, e.ClientID, e.SignInID, e.SessionID = v.eventIDs[i], identity.EventSignedOut, h.AccountID, "", "", h.ID
	return tx.Record(e)
}
