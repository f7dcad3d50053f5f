package authserver

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"simplon/identity"
	"simplon/secret"
	"simplon/storage"
	"simplon/web"
)

// Prefixes of what we issue, so that people, logs and secret scanners can tell
// what a leaked text is.
const (
	prefixCode    = "smp_ac_"
	prefixRefresh = "smp_rt_"
	prefixHandoff = "smp_ho_"
)

// token answers the token endpoint (RFC 6749, section 3.2).
func (s *Server) token(w http.ResponseWriter, r *http.Request, p params) error {
	client, err := s.authenticateClient(w, r, p)
	if err != nil {
		return err
	}
	kind := p["grant_type"]
	if kind != identity.GrantCode && kind != identity.GrantRefresh {
		return refuse(oidc.ErrUnsupportedGrantType, "grant_type must be authorization_code or refresh_token")
	}
	if !client.MayUse(kind) {
		return refuse(oidc.ErrUnauthorizedClient, "this client is not registered for grant type "+kind)
	}
	var out issued
	if kind == identity.GrantCode {
		out, err = s.redeemCode(r, client, p)
	} else {
		out, err = s.refresh(r, client, p)
	}
	if err != nil {
		return err
	}
	web.AddLog(r, slog.String("account", out.grant.AccountID), slog.String("grant", out.grant.ID))
	answer, err := s.answer(r.Context(), client, out)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, answer)
}

// issued is what a transaction decided to issue.
type issued struct {
	grant   identity.Grant
	account identity.Account
	scopes  identity.Scopes // what the answer names: the grant's, whatever less a refresh asked
	refresh string
	nonce   string
}

func invalidGrant(description string) *protocolError {
	return refuse(oidc.ErrInvalidGrant, description)
}

// redeemCode spends an authorization code (RFC 6749, section 4.1.3). A second
// redemption by the client it was issued to always revokes what the first one
// got (A17), so that at most one succeeds and afterwards no token lives.
func (s *Server) redeemCode(r *http.Request, client identity.Client, p params) (issued, error) {
	if p["code"] == "" {
		return issued{}, refuse(oidc.ErrInvalidRequest, "code is missing")
	}
	hash := secret.Digest(p["code"])
	successor := s.Source.Token(prefixRefresh).Reveal()
	replayed, err := s.event(r, identity.EventCodeReplayed)
	if err != nil {
		return issued{}, err
	}
	var out issued
	var refusal *protocolError
	err = s.DB.TxOn(r.Context(), "code:"+string(hash), func(tx *storage.Tx) error {
		out, refusal = issued{}, nil
		now := s.Now()
		code, err := tx.Code(hash)
		if errors.Is(err, storage.ErrNotFound) || err == nil && code.Grant.ClientID != client.ID {
			refusal = invalidGrant("the code is unknown, expired, or was issued to another client")
			return nil
		}
		if err != nil {
			return err
		}
		if !code.SpentAt.IsZero() {
			refusal = invalidGrant("the code was used already; what it gave has been revoked")
			return s.revokeReplayed(tx, code.Grant, replayed, now)
		}
		if refusal = codeFault(code, p, now); refusal != nil {
			return nil
		}
		account, fault, err := s.signedIn(tx, code.Grant, now)
		if err != nil || fault != nil {
			refusal = fault
			return err
		}
		spent, err := tx.SpendCode(hash, now, now.Add(max(s.TTL.RefreshAbsolute, s.TTL.AccessToken)))
		if err != nil {
			return err
		}
		if !spent {
			refusal = invalidGrant("the code is unknown, expired, or was issued to another client")
			return nil
		}
		out, err = s.openGrant(tx, client, code.Grant, successor, now)
		out.account = account
		return err
	})
	if err != nil {
		return issued{}, err
	}
	if refusal != nil {
		return issued{}, refusal
	}
	return out, nil
}

// codeFault tells why an unspent code may not be redeemed with these parameters,
// nil where it may.
func codeFault(code identity.Code, p params, now time.Time) *protocolError {
	switch {
	case !now.Before(code.ExpiresAt):
		return invalidGrant("the code is unknown, expired, or was issued to another client")
	case p["redirect_uri"] != code.RedirectURI && (p["redirect_uri"] != "" || code.Challenge == ""):
		return invalidGrant("redirect_uri is not the one of the authorization request")
	case code.Challenge == "" && p["code_verifier"] != "":
		return invalidGrant("the authorization request had no code_challenge")
	case code.Challenge != "" && !identity.ValidVerifier(p["code_verifier"]):
		return invalidGrant("code_verifier is missing or malformed")
	case code.Challenge != "" && !secret.EqualString(identity.ChallengeOf(p["code_verifier"]), code.Challenge):
		return invalidGrant("code_verifier does not match the code_challenge")
	}
	return nil
}

// signedIn returns the account behind a code whose sign-in still stands, or the
// fault that it does not.
func (s *Server) signedIn(tx *storage.Tx, g identity.Grant, now time.Time) (identity.Account, *protocolError, error) {
	epoch, err := tx.Epoch()
	if err != nil {
		return identity.Account{}, nil, err
	}
	session, err := tx.Session(g.SessionID)
	if err != nil {
		return identity.Account{}, nil, fmt.Errorf("authserver: session of code: %w", err)
	}
	account, err := tx.Account(g.AccountID)
	if err != nil {
		return account, nil, fmt.Errorf("authserver: account of code: %w", err)
	}
	if g.Epoch != epoch || !session.Live(s.Front.ID, epoch, now) || account.Disabled() {
		return account, invalidGrant("the sign-in behind the code has ended"), nil
	}
	return account, nil, nil
}

// openGrant stores the grant that a code gives and its first refresh token,
// where the client asked for offline access.
func (s *Server) openGrant(tx *storage.Tx, client identity.Client, g identity.Grant, refresh string, now time.Time) (issued, error) {
	g.CreatedAt, g.ExpiresAt = now, now.Add(s.TTL.AccessToken)
	out := issued{grant: g, scopes: g.Scopes, nonce: g.Nonce}
	withRefresh := client.MayUse(identity.GrantRefresh) && g.Scopes.Has(identity.ScopeOffline)
	if withRefresh {
		g.ExpiresAt = now.Add(s.TTL.RefreshAbsolute)
		out.grant = g
	}
	if err := tx.CreateGrant(g); err != nil {
		return issued{}, err
	}
	if !withRefresh {
		return out, nil
	}
	out.refresh = refresh
	return out, tx.CreateRefreshToken(identity.RefreshToken{
		Hash: secret.Digest(refresh), GrantID: g.ID, CreatedAt: now, ExpiresAt: s.refreshEnd(g, now)})
}

func (s *Server) refreshEnd(g identity.Grant, now time.Time) time.Time {
	end := now.Add(s.TTL.RefreshIdle)
	if end.After(g.ExpiresAt) {
		end = g.ExpiresAt
	}
	return end
}

func (s *Server) revokeReplayed(tx *storage.Tx, g identity.Grant, e identity.Event, now time.Time) error {
	revoked, err := tx.RevokeGrant(g.ID, now)
	if err != nil || !revoked {
		return err
	}
	e.AccountID, e.ClientID, e.SessionID = g.AccountID, g.ClientID, g.SessionID
	return tx.Record(e)
}

// refresh rotates a refresh token (RFC 6749, section 6; RFC 9700, section
// 4.14.2). The successor is an HMAC of its predecessor: a repeat within the
// grace gets the identical token, so that a lost answer or two tabs do no harm;
// a later one means the token was stolen and ends the grant (A17).
func (s *Server) refresh(r *http.Request, client identity.Client, p params) (issued, error) {
	token := p["refresh_token"]
	if token == "" {
		return issued{}, refuse(oidc.ErrInvalidRequest, "refresh_token is missing")
	}
	hash := secret.Digest(token)
	successors := s.successors(token)
	replayed, err := s.event(r, identity.EventRefreshReplayed)
	if err != nil {
		return issued{}, err
	}
	var out issued
	var refusal *protocolError
	err = s.DB.TxOn(r.Context(), "refresh:"+string(hash), func(tx *storage.Tx) error {
		out, refusal = issued{}, nil
		now := s.Now()
		held, fault, err := s.refreshable(tx, hash, client, now)
		if err != nil || fault != nil {
			refusal = fault
			return err
		}
		row, grant := held.row, held.grant
		out = issued{grant: grant, account: held.account, scopes: grant.Scopes}
		if !grant.Scopes.Cover(identity.ParseScopes(p["scope"])) {
			refusal = refuse(oidc.ErrInvalidScope, "scope is wider than what was granted")
			return nil
		}
		spent, err := tx.SpendRefreshToken(hash, now)
		if err != nil {
			return err
		}
		if spent {
			out.refresh = successors[0]
			if err := tx.TouchGrant(grant.ID, now); err != nil {
				return err
			}
			return tx.CreateRefreshToken(identity.RefreshToken{
				Hash: secret.Digest(out.refresh), GrantID: grant.ID, CreatedAt: now, ExpiresAt: s.refreshEnd(grant, now)})
		}
		if row.SpentAt.IsZero() {
			refusal = invalidGrant("the refresh token has expired")
			return nil
		}
		if now.Sub(row.SpentAt) > s.TTL.RefreshGrace {
			refusal = invalidGrant("the refresh token was used already; the grant has been revoked")
			return s.revokeReplayed(tx, grant, replayed, now)
		}
		out.refresh, err = issuedSuccessor(tx, successors)
		return err
	})
	if err != nil {
		return issued{}, err
	}
	if refusal != nil {
		return issued{}, refusal
	}
	return out, nil
}

// held is a refresh token with what stands behind it.
type held struct {
	row     identity.RefreshToken
	grant   identity.Grant
	account identity.Account
}

// refreshable loads a refresh token, its grant and account, or says why the
// client gets nothing for it.
func (s *Server) refreshable(tx *storage.Tx, hash []byte, client identity.Client, now time.Time) (held, *protocolError, error) {
	unknown := invalidGrant("the refresh token is unknown, revoked, or was issued to another client")
	var h held
	var err error
	if h.row, err = tx.RefreshToken(hash); errors.Is(err, storage.ErrNotFound) {
		return h, unknown, nil
	} else if err != nil {
		return h, nil, err
	}
	if h.grant, err = tx.Grant(h.row.GrantID); err != nil {
		return h, nil, err
	}
	epoch, err := tx.Epoch()
	if err != nil {
		return h, nil, err
	}
	if h.account, err = tx.Account(h.grant.AccountID); err != nil {
		return h, nil, err
	}
	if h.grant.ClientID != client.ID || h.grant.FrontID != s.Front.ID || !h.grant.Live(epoch, now) || h.account.Disabled() {
		return h, unknown, nil
	}
	return h, nil, nil
}

// successors derives the token that follows, under the active key first and then
// under those being retired, so that a repeat across a key rotation still gets
// the identical token.
func (s *Server) successors(token string) []string {
	var out []string
	for _, mac := range s.Ring.MACs("refresh-successor", []byte(token)) {
		out = append(out, prefixRefresh+base64.RawURLEncoding.EncodeToString(mac))
	}
	return out
}

// issuedSuccessor finds which of the possible successors was issued.
func issuedSuccessor(tx *storage.Tx, successors []string) (string, error) {
	for _, token := range successors {
		_, err := tx.RefreshToken(secret.Digest(token))
		if err == nil {
			return token, nil
		}
		if !errors.Is(err, storage.ErrNotFound) {
			return "", err
		}
	}
	return "", errors.New("authserver: spent refresh token without a successor")
}

// idToken lists the claims of an ID token: those of OpenID Connect Core, section
// 2, with sid, and what the scopes let the client know of the person, because
// most libraries look for name and address there first.
func (s *Server) idToken(client identity.Client, out issued, accessToken string, now time.Time) map[string]any {
	claims := claimsFor(out.account, out.scopes)
	claims["iss"], claims["aud"] = s.Issuer, client.ID
	claims["iat"], claims["exp"] = now.Unix(), now.Add(s.TTL.IDToken).Unix()
	claims["auth_time"] = out.grant.AuthAt.Unix()
	claims["acr"], claims["amr"], claims["sid"] = out.grant.ACR, out.grant.Methods, out.grant.SessionID
	claims["at_hash"] = halfHash(client.IDTokenAlg, accessToken)
	if out.nonce != "" {
		claims["nonce"] = out.nonce
	}
	return claims
}

// answer makes the tokens, outside any transaction.
func (s *Server) answer(ctx context.Context, client identity.Client, out issued) (*oidc.AccessTokenResponse, error) {
	now := s.Now()
	id, err := identity.ParseID(identity.KindGrant, out.grant.ID)
	if err != nil {
		return nil, fmt.Errorf("authserver: grant id: %w", err)
	}
	expires := now.Add(s.TTL.AccessToken)
	if expires.After(out.grant.ExpiresAt) {
		expires = out.grant.ExpiresAt
	}
	answer := &oidc.AccessTokenResponse{
		AccessToken:  s.Ring.AccessToken(s.Source, id, expires),
		TokenType:    oidc.BearerToken,
		ExpiresIn:    uint64(max(expires.Sub(now)/time.Second, 0)),
		RefreshToken: out.refresh,
		Scope:        oidc.SpaceDelimitedArray(out.scopes),
	}
	if !out.scopes.Has(identity.ScopeOpenID) {
		return answer, nil
	}
	answer.IDToken, err = s.Keys.sign(ctx, client.IDTokenAlg, typIDToken, s.idToken(client, out, answer.AccessToken, now))
	return answer, err
}
