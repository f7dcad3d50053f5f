package identity

import (
	"slices"
	"time"
)

// Front is a host that people sign in at.
type Front struct {
	ID        string
	Issuer    string
	RPID      string // WebAuthn relying-party id, fixed when the row is made
	OrgID     string // "" for the default front
	CreatedAt time.Time
}

// Session is what a browser holds after a sign-in, for one account.
type Session struct {
	ID            string // the sid of ID tokens
	FrontID       string
	SetHash       []byte // digest of the browser's session cookie
	BrowserHash   []byte // digest of the browser cookie, to find what tabs at once left over
	AccountID     string
	ManagingOrg   string
	ViaConnection string
	Methods       []string // RFC 8176 values proved, oldest first
	ACR           string
	AuthAt        time.Time // when the person last proved who they are
	Browser       string    // short description of the browser
	Network       string    // network the sign-in came from
	Epoch         int64
	CreatedAt     time.Time
	ExpiresAt     time.Time
	EndedAt       time.Time
}

// Live tells whether the session still opens anything at the front.
func (s Session) Live(front string, epoch int64, now time.Time) bool {
	return s.ID != "" && s.EndedAt.IsZero() && now.Before(s.ExpiresAt) && s.FrontID == front && s.Epoch == epoch
}

// Device is a browser that completed a sign-in to an account before.
type Device struct {
	ID        string
	Hash      []byte // digest of the browser's device cookie
	AccountID string
	FrontID   string
	Browser   string
	CreatedAt time.Time
	SeenAt    time.Time
	ExpiresAt time.Time
}

// SessionsPerBrowser is how many accounts one browser is signed in to at most.
const SessionsPerBrowser = 5

// DevicesPerAccount is how many known browsers an account has at most; the one
// seen longest ago goes.
const DevicesPerAccount = 5

// Authentication methods (RFC 8176) and the levels we name in acr.
const (
	MethodPassword = "pwd"

	ACRSingle = "urn:simplon:acr:single" // one factor proved
)

// ACRFor returns the level the proved methods amount to.
func ACRFor(methods []string) string {
	if slices.Contains(methods, MethodPassword) {
		return ACRSingle
	}
	return ""
}

// Grant is what a client holds for an account after a code was redeemed.
type Grant struct {
	ID            string
	FrontID       string
	AccountID     string
	ClientID      string
	SessionID     string
	ManagingOrg   string
	ViaConnection string
	Scopes        Scopes
	Methods       []string
	ACR           string
	AuthAt        time.Time
	Nonce         string
	Epoch         int64
	CreatedAt     time.Time
	ExpiresAt     time.Time // absolute end of everything under it
	RevokedAt     time.Time
}

// Live tells whether tokens of the grant are worth anything.
func (g Grant) Live(epoch int64, now time.Time) bool {
	return g.ID != "" && g.RevokedAt.IsZero() && g.Epoch == epoch && now.Before(g.ExpiresAt)
}

// Code is an authorization code: stored hashed, spent once (RFC 6749, 4.1.2).
type Code struct {
	Hash        []byte
	Grant       Grant // what redeeming it makes; Grant.ID is fixed beforehand
	RedirectURI string
	Challenge   string // PKCE S256, "" only for clients marked PKCE-optional
	CreatedAt   time.Time
	ExpiresAt   time.Time
	SpentAt     time.Time
	ForgetAt    time.Time // until then a replay is recognised; later than everything it gave
}

// RefreshToken is one link of a rotating chain, stored hashed.
type RefreshToken struct {
	Hash      []byte
	GrantID   string
	CreatedAt time.Time
	ExpiresAt time.Time // idle end
	SpentAt   time.Time
}

// SigningKey is a key pair that signs tokens. Private is sealed.
type SigningKey struct {
	ID        string
	Alg       string
	Private   []byte // sealed PKCS #8
	CreatedAt time.Time
}

// KeyContext is the associated data under which a signing key is sealed.
func KeyContext(id string) string { return "signing.key:" + id }

// SetupLink is a one-time right to make an administrator.
type SetupLink struct {
	Hash      []byte
	Emergency bool // works although there is an administrator already
	CreatedAt time.Time
	ExpiresAt time.Time
	SpentAt   time.Time
}
