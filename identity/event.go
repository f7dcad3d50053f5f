package identity

import "time"

// Kinds of events, the facts that stand in a person's activity log.
const (
	EventAccountCreated  = "account.created"
	EventClientCreated   = "client.created"
	EventSecretRotated   = "client.secret-rotated"
	EventSignedIn        = "sign-in.completed"
	EventPasswordWrong   = "sign-in.password-wrong"
	EventPasswordUnused  = "sign-in.password-right-unused" // right, but the sign-in had changed meanwhile
	EventLaneLocked      = "sign-in.lane-locked"
	EventRefusedLocked   = "sign-in.refused-locked"
	EventConsentGiven    = "consent.given"
	EventConsentDenied   = "consent.denied"
	EventSignedOut       = "session.ended"
	EventCodeReplayed    = "grant.code-replayed"
	EventRefreshReplayed = "grant.refresh-replayed"
	EventSetupLinkMade   = "setup-link.created"
	EventSetupLinkSpent  = "setup-link.spent"
)

// Event is a fact, recorded in the transaction that makes it true. Detail holds
// no secret and nothing that a mail or page could not show.
type Event struct {
	ID        string
	At        time.Time
	Kind      string
	AccountID string // whose log it stands in; "" where nobody's
	ClientID  string
	SignInID  string
	SessionID string
	Actor     string // who did it, where that is not the person: "cli:uid", "system"
	Address   string // client address
	Browser   string // short description of the browser
	RequestID string
	Detail    map[string]string
}
