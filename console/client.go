package console

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"simplon/identity"
	"simplon/secret"
	"simplon/storage"
)

// Client is what an operator sees of an application. Secret is set once, in the
// answer that made it.
type Client struct {
	ID             string    `json:"id"`
	Secret         string    `json:"secret,omitempty"`
	Issuer         string    `json:"issuer"`
	Name           string    `json:"name"`
	Kind           string    `json:"kind"`
	Auth           string    `json:"auth"`
	RedirectURIs   []string  `json:"redirect_uris"`
	PostLogoutURIs []string  `json:"post_logout_redirect_uris"`
	Scopes         []string  `json:"scopes"`
	GrantTypes     []string  `json:"grant_types"`
	FirstParty     bool      `json:"first_party"`
	PKCEOptional   bool      `json:"pkce_optional"`
	IDTokenAlg     string    `json:"id_token_alg"`
	HomeURL        string    `json:"home_url,omitempty"`
	Disabled       bool      `json:"disabled"`
	CreatedAt      time.Time `json:"created_at"`
}

func (a *Acts) showClient(c identity.Client, secretOnce string) Client {
	return Client{ID: c.ID, Secret: secretOnce, Issuer: a.Issuer, Name: c.Name, Kind: string(c.Kind), Auth: string(c.Auth),
		RedirectURIs: c.RedirectURIs, PostLogoutURIs: c.PostLogoutURIs, Scopes: c.Scopes, GrantTypes: c.GrantTypes,
		FirstParty: c.FirstParty, PKCEOptional: c.PKCEOptional, IDTokenAlg: c.IDTokenAlg, HomeURL: c.HomeURL,
		Disabled: c.Disabled(), CreatedAt: c.CreatedAt}
}

// NewClient is an application to be registered. Empty fields get the defaults of
// its kind.
type NewClient struct {
	Name                 string   `json:"name"`
	Kind                 string   `json:"kind"`
	Auth                 string   `json:"auth"`
	RedirectURIs         []string `json:"redirect_uris"`
	PostLogoutURIs       []string `json:"post_logout_redirect_uris"`
	Scopes               []string `json:"scopes"`
	FirstParty           bool     `json:"first_party"`
	InsecurePKCEOptional bool     `json:"insecure_pkce_optional"`
	IDTokenAlg           string   `json:"id_token_alg"`
	HomeURL              string   `json:"home_url"`
}

// prefixSecret marks client secrets, so that people and scanners can tell them.
const prefixSecret = "smp_cs_"

// CreateClient registers an application; its secret, if it has one, is in the
// answer and nowhere else.
func (a *Acts) CreateClient(ctx context.Context, actor string, n NewClient) (Client, error) {
	c, err := a.newClient(n)
	if err != nil {
		return Client{}, err
	}
	if err := c.Check(); err != nil {
		return Client{}, refuse("%s", strings.ReplaceAll(err.Error(), "\n", ": ")) // joined errors come in lines
	}
	plain := ""
	if !c.Public() {
		plain = a.Source.Token(prefixSecret).Reveal()
		c.SecretHash = secret.Digest(plain)
	}
	e, err := a.event(identity.EventClientCreated, actor)
	if err != nil {
		return Client{}, err
	}
	e.ClientID = c.ID
	err = a.DB.Tx(ctx, func(tx *storage.Tx) error {
		if err := tx.CreateClient(c); err != nil {
			return err
		}
		return tx.Record(e)
	})
	return a.showClient(c, plain), err
}

func (a *Acts) newClient(n NewClient) (identity.Client, error) {
	id, err := identity.NewID(identity.KindClient, a.Now(), a.Random)
	if err != nil {
		return identity.Client{}, err
	}
	now := a.Now()
	c := identity.Client{
		ID: id, FrontID: a.Front.ID, Name: n.Name, Kind: identity.ClientKind(n.Kind), Auth: identity.AuthMethod(n.Auth),
		RedirectURIs: n.RedirectURIs, PostLogoutURIs: n.PostLogoutURIs, Scopes: n.Scopes, FirstParty: n.FirstParty,
		PKCEOptional: n.InsecurePKCEOptional, IDTokenAlg: n.IDTokenAlg, HomeURL: n.HomeURL, CreatedAt: now, UpdatedAt: now,
	}
	if c.Kind == "" {
		c.Kind = identity.ClientWeb
	}
	if c.Auth == "" {
		c.Auth = identity.AuthBasic
		if c.Kind == identity.ClientSPA || c.Kind == identity.ClientNative {
			c.Auth = identity.AuthNone
		}
	}
	if len(c.Scopes) == 0 {
		c.Scopes = identity.StandardScopes()
	}
	if c.IDTokenAlg == "" {
		c.IDTokenAlg = "RS256" // what applications expect that registered nothing
		if len(a.Algs) > 0 && !slices.Contains(a.Algs, c.IDTokenAlg) {
			c.IDTokenAlg = a.Algs[0]
		}
	}
	if !slices.Contains(a.Algs, c.IDTokenAlg) {
		return c, refuse("this installation has no %s signing key (signing.algorithms)", c.IDTokenAlg)
	}
	if c.Kind == identity.ClientMachine {
		return c, refuse("kind machine needs the client_credentials grant, which this version does not have yet")
	}
	c.GrantTypes = []string{identity.GrantCode, identity.GrantRefresh}
	return c, nil
}

// Clients lists all applications, oldest first.
func (a *Acts) Clients(context.Context) ([]Client, error) {
	var out []Client
	var after time.Time
	var afterID string
	for {
		page, err := a.DB.Clients(after, afterID, 500)
		if err != nil || len(page) == 0 {
			return out, err
		}
		for _, c := range page {
			out = append(out, a.showClient(c, ""))
		}
		last := page[len(page)-1]
		after, afterID = last.CreatedAt, last.ID
	}
}

// FindClient returns the application with the id.
func (a *Acts) FindClient(_ context.Context, id string) (Client, error) {
	c, err := a.DB.Client(id)
	if errors.Is(err, storage.ErrNotFound) {
		return Client{}, &Refusal{Text: fmt.Sprintf("no application %q", id), NotFound: true}
	}
	return a.showClient(c, ""), err
}

// RotateSecret gives an application a new secret; the old one works no more.
func (a *Acts) RotateSecret(ctx context.Context, actor, id string) (Client, error) {
	shown, err := a.FindClient(ctx, id)
	if err != nil {
		return Client{}, err
	}
	if shown.Auth == string(identity.AuthNone) {
		return Client{}, refuse("application %s is of kind %s and has no secret", id, shown.Kind)
	}
	plain := a.Source.Token(prefixSecret).Reveal()
	e, err := a.event(identity.EventSecretRotated, actor)
	if err != nil {
		return Client{}, err
	}
	e.ClientID = id
	err = a.DB.Tx(ctx, func(tx *storage.Tx) error {
		if err := tx.SetClientSecret(id, secret.Digest(plain), a.Now()); err != nil {
			return err
		}
		return tx.Record(e)
	})
	shown.Secret = plain
	return shown, err
}
