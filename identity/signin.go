package identity

import (
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Purposes of a sign-in row.
const (
	PurposeSignIn = "sign-in" // for a client, or for our own pages where ClientID is ""
)

// Request is what a client asked at the authorization endpoint, already checked
// (OpenID Connect Core, section 3.1.2.1). It is stored as JSON in the row.
type Request struct {
	RedirectURI  string   `json:"redirect_uri,omitempty"`
	ResponseMode string   `json:"response_mode,omitempty"` // query or form_post
	Scopes       Scopes   `json:"scopes,omitempty"`        // cut down to what the client may ask
	State        string   `json:"state,omitempty"`
	Nonce        string   `json:"nonce,omitempty"`
	Challenge    string   `json:"challenge,omitempty"` // PKCE S256
	Prompt       []string `json:"prompt,omitempty"`
	MaxAge       *int64   `json:"max_age,omitempty"`  // seconds
	HintSub      string   `json:"hint_sub,omitempty"` // account the id_token_hint names
	LoginHint    string   `json:"-"`                  // prefilled, never trusted; kept as SignIn.Login
	UILocales    string   `json:"ui_locales,omitempty"`
}

// Prompted tells whether the client asked for the prompt value.
func (r Request) Prompted(value string) bool { return slices.Contains(r.Prompt, value) }

// SignIn is one journey of one browser towards one client. The whole state of
// the journey is here, never in a URL or a hidden field.
type SignIn struct {
	ID          string
	FrontID     string
	BrowserHash []byte // digest of the browser cookie; only that browser goes on
	Purpose     string
	ClientID    string // "" for our own pages
	Request     Request

	Login    string // as typed
	LoginKey string

	AccountID     string // once proved
	SessionID     string // once the person is signed in
	ManagingOrg   string
	ViaConnection string
	Methods       []string // proved in this very sign-in
	AuthAt        time.Time

	Consented bool
	Refusal   string // OAuth error code to answer with
	Seed      []byte // 16 random bytes from which the code is derived
	Epoch     int64

	CreatedAt time.Time
	ExpiresAt time.Time
	ClosedAt  time.Time
}

// Step is what happens next in a sign-in.
type Step int

// The steps.
const (
	StepLogin    Step = iota + 1 // ask for the login address
	StepPassword                 // ask for the password
	StepConsent                  // ask whether the client may have what it asks
	StepDone                     // answer the client with a code
	StepRefuse                   // answer the client with Decision.Error
	StepExpired                  // too late; start again at the client
	StepClosed                   // answered before
)

// Decision is a step and, for StepRefuse, the OAuth error code.
type Decision struct {
	Step  Step
	Error string
}

// Facts are what Next needs beside the row, all read before.
type Facts struct {
	Client  *Client  // nil for our own pages
	Session *Session // the browser's live session, nil for none
	Account *Account // of the session or of the sign-in, nil for none
	Granted Scopes   // what the account let the client have before
	Epoch   int64
}

// about tells whether the facts are about the client of the sign-in. A client
// that is gone must not turn its sign-in into one for our own pages, which needs
// no consent.
func (f Facts) about(s SignIn) bool {
	if f.Client == nil {
		return s.ClientID == ""
	}
	return f.Client.ID == s.ClientID
}

// Next decides the next step of a sign-in. It is pure and total: the whole
// sign-in policy stands here and nowhere else.
func Next(s SignIn, f Facts, now time.Time) Decision {
	switch {
	case !s.ClosedAt.IsZero():
		return Decision{Step: StepClosed}
	case !now.Before(s.ExpiresAt) || s.Epoch != f.Epoch || !f.about(s):
		return Decision{Step: StepExpired}
	case s.Refusal != "":
		return Decision{Step: StepRefuse, Error: s.Refusal}
	case f.Client != nil && f.Client.Disabled():
		return Decision{Step: StepRefuse, Error: "unauthorized_client"}
	}
	if len(s.Methods) > 0 && (f.Account == nil || f.Account.ID != s.AccountID) {
		// The browser signed out, or somebody else signed in, since this
		// sign-in proved its person.
		return Decision{Step: StepExpired}
	}
	if !authenticated(s, f, now) {
		switch {
		case s.Request.Prompted("none"):
			return Decision{Step: StepRefuse, Error: "login_required"}
		case s.LoginKey == "":
			return Decision{Step: StepLogin}
		}
		return Decision{Step: StepPassword}
	}
	if s.Request.HintSub != "" && s.Request.HintSub != f.Account.ID {
		return Decision{Step: StepRefuse, Error: "login_required"}
	}
	if needsConsent(s, f) {
		if s.Request.Prompted("none") {
			return Decision{Step: StepRefuse, Error: "consent_required"}
		}
		return Decision{Step: StepConsent}
	}
	return Decision{Step: StepDone}
}

// authenticated tells whether the person has proved who they are, in this
// sign-in or by a session good enough for what the client asked.
func authenticated(s SignIn, f Facts, now time.Time) bool {
	if f.Account == nil || f.Account.Disabled() || f.Session == nil || f.Session.AccountID != f.Account.ID {
		return false
	}
	if !f.Session.Live(s.FrontID, f.Epoch, now) {
		return false
	}
	if len(s.Methods) > 0 && s.AccountID == f.Account.ID && s.SessionID == f.Session.ID {
		return true
	}
	r := s.Request
	if r.Prompted("login") || r.Prompted("select_account") {
		return false
	}
	if r.HintSub != "" && r.HintSub != f.Account.ID {
		return false
	}
	if r.MaxAge != nil && !withinAge(f.Session.AuthAt, *r.MaxAge, now) {
		return false
	}
	return true
}

// withinAge tells whether the proof is at most maxAge seconds old; 0 asks for a
// proof in this very sign-in (OpenID Connect Core, section 3.1.2.1).
func withinAge(authAt time.Time, maxAge int64, now time.Time) bool {
	if maxAge <= 0 {
		return false
	}
	return now.Unix()-authAt.Unix() <= maxAge
}

func needsConsent(s SignIn, f Facts) bool {
	if f.Client == nil || s.Consented && s.AccountID == f.Account.ID {
		return false
	}
	if s.Request.Prompted("consent") {
		return true
	}
	// Another program can listen on a loopback port or claim a scheme, so the
	// person is asked every time (RFC 8252, section 8.6).
	if f.Client.Kind == ClientNative && !strings.HasPrefix(s.Request.RedirectURI, "https://") {
		return true
	}
	return !f.Client.FirstParty && !f.Granted.Cover(s.Request.Scopes)
}

// ValidChallenge tells whether a PKCE code challenge is one that S256 makes: 43
// base64url characters for 32 bytes (RFC 7636, section 4.2).
func ValidChallenge(challenge string) bool {
	sum, err := base64.RawURLEncoding.Strict().DecodeString(challenge)
	return err == nil && len(challenge) == 43 && len(sum) == sha256.Size
}

// ValidVerifier tells whether a PKCE code verifier is well formed: 43 to 128
// unreserved characters (RFC 7636, section 4.1).
func ValidVerifier(verifier string) bool {
	if len(verifier) < 43 || len(verifier) > 128 {
		return false
	}
	for i := range len(verifier) {
		c := verifier[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0) {
			return false
		}
	}
	return true
}

// ChallengeOf returns the S256 challenge of a verifier (RFC 7636, section 4.2).
func ChallengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// ParseMaxAge reads max_age: a decimal number of seconds, no sign, at most nine
// digits (thirty years). "" answers nil.
func ParseMaxAge(s string) (*int64, bool) {
	if s == "" {
		return nil, true
	}
	if len(s) > 9 || strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }) >= 0 {
		return nil, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return &n, err == nil
}
