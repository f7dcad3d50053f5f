package authserver

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"simplon/identity"
	"simplon/storage"
	"simplon/web"
)

// userinfo answers the claims that the grant's scopes allow (OpenID Connect
// Core, section 5.3), to a token in the header or in a POST body.
func (s *Server) userinfo(w http.ResponseWriter, r *http.Request, p params) error {
	token, err := bearer(r, p)
	if err != nil {
		return err
	}
	grant, account, err := s.openAccessToken(token)
	if err != nil {
		return err
	}
	web.AddLog(r, slog.String("client", grant.ClientID), slog.String("account", account.ID))
	client, err := s.DB.Client(grant.ClientID)
	if err != nil {
		return fmt.Errorf("authserver: client of grant: %w", err)
	}
	if client.Disabled() {
		return invalidToken(errors.New("client disabled"))
	}
	if origin := r.Header.Get("Origin"); client.AllowsOrigin(origin) {
		w.Header().Set("Access-Control-Allow-Origin", origin)
	}
	if !grant.Scopes.Has(identity.ScopeOpenID) {
		e := refuse(oidc.ErrInvalidRequest, "the token lacks scope openid")
		e.code, e.status = "insufficient_scope", http.StatusForbidden
		e.challenge = `Bearer error="insufficient_scope", scope="openid"`
		return e
	}
	return writeJSON(w, http.StatusOK, claimsFor(account, grant.Scopes))
}

// claimsFor lists what the scopes let a client know of the account (OpenID
// Connect Core, section 5.4). What we do not know is left out, never empty.
func claimsFor(a identity.Account, scopes identity.Scopes) map[string]any {
	claims := map[string]any{"sub": a.ID}
	put := func(name, value string) {
		if value != "" {
			claims[name] = value
		}
	}
	if scopes.Has(identity.ScopeProfile) {
		put("name", a.Name())
		put("given_name", a.GivenName)
		put("family_name", a.FamilyName)
		put("locale", a.Language)
		claims["updated_at"] = a.UpdatedAt.Unix()
	}
	if scopes.Has(identity.ScopeEmail) {
		claims["email"] = a.Login
		claims["email_verified"] = a.LoginVerified
	}
	return claims
}

// bearer takes the access token from the header or the POST body, never from the
// query, and only from one of them (RFC 6750, section 2).
func bearer(r *http.Request, p params) (string, error) {
	authorization := r.Header.Values("Authorization")
	inBody := p["access_token"]
	switch {
	case len(authorization) > 1 || len(authorization) == 1 && inBody != "":
		return "", refuse(oidc.ErrInvalidRequest, "the token was sent in more than one way")
	case inBody != "":
		return inBody, nil
	case len(authorization) == 0:
		e := refuse(oidc.ErrInvalidRequest, "send the access token as Authorization: Bearer")
		e.status, e.challenge = http.StatusUnauthorized, "Bearer"
		return "", e
	}
	scheme, token, _ := strings.Cut(authorization[0], " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		e := refuse(oidc.ErrInvalidRequest, "send the access token as Authorization: Bearer")
		e.status, e.challenge = http.StatusUnauthorized, "Bearer"
		return "", e
	}
	return strings.TrimSpace(token), nil
}

func invalidToken(cause error) *protocolError {
	e := refuse(oidc.ErrInvalidRequest, "the access token is not valid, has expired or was revoked").because(cause)
	e.code, e.status, e.challenge = "invalid_token", http.StatusUnauthorized, `Bearer error="invalid_token"`
	return e
}

// openAccessToken returns the grant and account behind a live access token. Only
// a token we sealed as one is looked at: ID tokens and everything else are
// refused before the database is asked.
func (s *Server) openAccessToken(token string) (identity.Grant, identity.Account, error) {
	id, _, expires, err := s.Ring.OpenAccessToken(token)
	if err != nil {
		return identity.Grant{}, identity.Account{}, invalidToken(err)
	}
	now := s.Now()
	if !now.Before(expires) {
		return identity.Grant{}, identity.Account{}, invalidToken(errors.New("expired"))
	}
	epoch, err := s.DB.Epoch()
	if err != nil {
		return identity.Grant{}, identity.Account{}, err
	}
	grant, err := s.DB.Grant(identity.FormatID(identity.KindGrant, id))
	switch {
	case errors.Is(err, storage.ErrNotFound):
		return identity.Grant{}, identity.Account{}, invalidToken(err)
	case err != nil:
		return identity.Grant{}, identity.Account{}, err
	case !grant.Live(epoch, now) || grant.FrontID != s.Front.ID:
		return identity.Grant{}, identity.Account{}, invalidToken(errors.New("grant revoked or expired"))
	}
	account, err := s.DB.Account(grant.AccountID)
	if err != nil {
		return identity.Grant{}, identity.Account{}, fmt.Errorf("authserver: account of grant: %w", err)
	}
	if account.Disabled() {
		return identity.Grant{}, identity.Account{}, invalidToken(errors.New("account disabled"))
	}
	return grant, account, nil
}
