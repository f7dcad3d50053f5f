package identity

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ClientKind says what sort of program an application is; it decides how the
// application proves itself and which redirect URIs it may have.
type ClientKind string

// The kinds of clients.
const (
	ClientWeb     ClientKind = "web"     // a server that can keep a secret
	ClientSPA     ClientKind = "spa"     // JavaScript in a browser; keeps none
	ClientNative  ClientKind = "native"  // an installed program; keeps none
	ClientMachine ClientKind = "machine" // a server that acts for itself, no person
)

// AuthMethod is how a client authenticates at the token endpoint (OpenID Connect
// Core, section 9).
type AuthMethod string

// The methods.
const (
	AuthNone  AuthMethod = "none"
	AuthBasic AuthMethod = "client_secret_basic"
	AuthPost  AuthMethod = "client_secret_post"
)

// Client is an application that people sign in to.
type Client struct {
	ID         string
	FrontID    string
	OrgID      string // owner, "" for the installation itself
	Name       string
	Kind       ClientKind
	Auth       AuthMethod
	SecretHash []byte // digest of a generated secret; nil for AuthNone

	RedirectURIs   []string // compared byte by byte
	PostLogoutURIs []string
	Scopes         []string // what it may ask; requests for more are cut down
	GrantTypes     []string
	FirstParty     bool   // ours: no consent page
	PKCEOptional   bool   // confidential clients only, named as such on every surface
	IDTokenAlg     string // JWS algorithm of its ID tokens
	HomeURL        string // where a person starts again, "" when unknown

	DisabledAt time.Time
	CreatedAt  time.Time
	UpdatedAt  time.Time
}

// ErrClient is wrapped by every refusal to register a client.
var ErrClient = errors.New("application refused")

// Grant types a client can be registered for.
const (
	GrantCode    = "authorization_code"
	GrantRefresh = "refresh_token"
)

// Public tells whether the client keeps no secret.
func (c Client) Public() bool { return c.Auth == AuthNone }

// Accepts tells whether the client may authenticate by the method. A secret is
// the same secret in the header and in the form, and libraries differ in which
// they use first, so a client with a secret may use either.
func (c Client) Accepts(method AuthMethod) bool {
	if c.Auth == AuthBasic || c.Auth == AuthPost {
		return method == AuthBasic || method == AuthPost
	}
	return method == c.Auth
}

// Disabled tells whether the client may do nothing any more.
func (c Client) Disabled() bool { return !c.DisabledAt.IsZero() }

// MayUse tells whether the client is registered for the grant type.
func (c Client) MayUse(grantType string) bool { return slices.Contains(c.GrantTypes, grantType) }

// AllowsOrigin tells whether scripts of the origin belong to this client: only a
// single-page application has any, and only the origins of its redirect URIs.
func (c Client) AllowsOrigin(origin string) bool {
	if c.Kind != ClientSPA || origin == "" {
		return false
	}
	return slices.ContainsFunc(c.RedirectURIs, func(uri string) bool { return Origin(uri) == origin })
}

// Check tells whether the client may be registered as it stands.
func (c Client) Check() error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrClient, fmt.Sprintf(format, args...))
	}
	if name, ok := CleanName(c.Name); !ok || name == "" || name != c.Name {
		return refuse("the name must be 1 to %d characters without control characters", MaxName)
	}
	switch c.Kind {
	case ClientWeb, ClientMachine:
		if c.Auth != AuthBasic && c.Auth != AuthPost {
			return refuse("kind %s authenticates with client_secret_basic or client_secret_post", c.Kind)
		}
	case ClientSPA, ClientNative:
		if c.Auth != AuthNone {
			return refuse("kind %s cannot keep a secret: its authentication is none", c.Kind)
		}
	default:
		return refuse("kind must be web, spa, native or machine, not %q", c.Kind)
	}
	if c.PKCEOptional && c.Public() {
		return refuse("only a client with a secret may go without PKCE")
	}
	if c.MayUse(GrantCode) && len(c.RedirectURIs) == 0 {
		return refuse("at least one redirect URI is needed")
	}
	for _, uri := range append(slices.Clone(c.RedirectURIs), c.PostLogoutURIs...) {
		if err := CheckRedirectURI(c.Kind, uri); err != nil {
			return errors.Join(ErrClient, err)
		}
	}
	if c.HomeURL != "" && Origin(c.HomeURL) == "" {
		return refuse("the home URL must start with https:// or http://")
	}
	for _, s := range c.Scopes {
		if !ValidScope(s) {
			return refuse("scope %q is not allowed", s)
		}
	}
	if !slices.Contains(SigningAlgs(), c.IDTokenAlg) {
		return refuse("ID token algorithm must be one of %s", strings.Join(SigningAlgs(), ", "))
	}
	return nil
}

// SigningAlgs lists the JWS algorithms we sign with (RFC 7518, RFC 8037).
func SigningAlgs() []string { return []string{"RS256", "ES256", "EdDSA"} }
