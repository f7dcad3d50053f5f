package rp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"golang.org/x/oauth2"
)

// Refresh changes the refresh token for new tokens (RFC 6749 section 6),
// whether or not the access token is still good. Calls for one session go one
// after the other: a rotating refresh token used twice ends the grant. Without
// a refresh token the answer is KindExpired; when the provider refuses it, the
// grant is over: KindEnded, and the session is forgotten.
func (a *App) Refresh(ctx context.Context, s *Session) error {
	return a.refreshUnless(ctx, s, func() bool { return false })
}

// refreshUnless refreshes, unless good says, once it is our turn, that another
// request has already done it.
func (a *App) refreshUnless(ctx context.Context, s *Session, good func() bool) error {
	select {
	case s.refresh <- struct{}{}:
		defer func() { <-s.refresh }()
	case <-ctx.Done():
		return fail(KindUnavailable, "refresh", ctx.Err())
	}
	if good() {
		return nil
	}
	// Once sent, the old token is spent: a browser that goes away must not
	// lose the new one.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if err := a.rotate(ctx, s); err != nil {
		if KindOf(err) == KindEnded {
			a.sessions.drop(s.key)
		}
		return a.note(ctx, asError("refresh", err))
	}
	return nil
}

func (a *App) rotate(ctx context.Context, s *Session) error {
	p, err := a.provider.get(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	old, nonce, subject, scopes, proved := s.refreshToken, s.nonce, s.facts.Subject, s.facts.Scopes, s.facts.AuthTime
	s.mu.Unlock()
	if old == "" {
		return fail(KindExpired, "refresh", errors.New("no refresh token"))
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, a.provider.client)
	token, err := p.oauth.TokenSource(ctx, &oauth2.Token{RefreshToken: old}).Token()
	if err != nil {
		e := tokenError("refresh", err)
		if e.Code == "invalid_grant" {
			e.Kind = KindEnded
		}
		return e
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" { // allowed: Core section 12.2
		s.hold(token, scopes, a.cfg.Now())
		return nil
	}
	proof, err := a.verifyRefreshed(ctx, p, raw, token.AccessToken, nonce)
	if err != nil {
		return fail(KindToken, "check refreshed ID token", err)
	}
	if proof.claims.Subject != subject || (proof.claims.AuthTime != 0 && !proved.IsZero() && !authTime(proof.claims).Equal(proved)) {
		return fail(KindToken, "check refreshed ID token", errors.New("another sub or auth_time than at the sign-in"))
	}
	s.prove(proof, raw, nonce)
	s.hold(token, scopes, a.cfg.Now())
	return nil
}

// verifyRefreshed: a refreshed ID token should have no nonce; one it has must
// be the first one's (Core section 12.2).
func (a *App) verifyRefreshed(ctx context.Context, p *provider, raw, access, nonce string) (*proof, error) {
	peek, _, err := parseIDToken(raw)
	if err != nil {
		return nil, err
	}
	if peek.claims.Nonce == "" {
		nonce = ""
	}
	return a.verify(ctx, p, raw, access, nonce)
}

// UserInfo returns the claims of the userinfo endpoint (Core section 5.3),
// after a refresh when the access token has run out and a refresh token
// exists. KindExpired means that it has run out without one; KindEnded that
// the provider no longer takes it, and the session has been forgotten.
func (a *App) UserInfo(ctx context.Context, s *Session) (map[string]any, error) {
	p, err := a.provider.get(ctx)
	if err != nil {
		return nil, a.note(ctx, asError("userinfo", err))
	}
	f := s.Facts()
	if expired(f, a.cfg.Now()) {
		if !f.Refreshable {
			return nil, fail(KindExpired, "userinfo", nil)
		}
		if err := a.refreshUnless(ctx, s, func() bool { return !expired(s.Facts(), a.cfg.Now()) }); err != nil {
			return nil, err
		}
	}
	used, claims, err := a.callUserInfo(ctx, p, s)
	if KindOf(err) == KindEnded && s.Facts().Refreshable {
		// The token may have been revoked alone. The grant's own word counts.
		if err := a.refreshUnless(ctx, s, func() bool { return s.token() != used }); err != nil {
			return nil, err
		}
		_, claims, err = a.callUserInfo(ctx, p, s)
	}
	if err != nil {
		if KindOf(err) == KindEnded {
			a.sessions.drop(s.key)
		}
		return nil, a.note(ctx, asError("userinfo", err))
	}
	return claims, nil
}

func (s *Session) token() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.access
}

func expired(f Facts, now time.Time) bool {
	return !f.AccessExpires.IsZero() && !now.Before(f.AccessExpires)
}

// callUserInfo asks once. 401 is KindEnded. The library's Userinfo is not used
// because its errors do not tell the status and quote the answer.
func (a *App) callUserInfo(ctx context.Context, p *provider, s *Session) (used string, claims map[string]any, err error) {
	s.mu.Lock()
	access, kind, subject := s.access, s.accessType, s.facts.Subject
	s.mu.Unlock()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.userinfo, nil)
	if err != nil {
		return access, nil, fmt.Errorf("make request: %w", err)
	}
	req.Header.Set("Authorization", kind+" "+access)
	req.Header.Set("Accept", "application/json")
	resp, err := a.provider.client.Do(req)
	if err != nil {
		return access, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return access, nil, err
	}
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		return access, nil, fail(KindEnded, "userinfo", nil)
	case resp.StatusCode != http.StatusOK:
		return access, nil, errors.New("status " + resp.Status)
	}
	if typ, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || typ != "application/json" {
		return access, nil, fail(KindToken, "userinfo", errors.New("answer is not JSON"))
	}
	if claims, err = parseClaims(body); err != nil {
		return access, nil, fail(KindToken, "userinfo", err)
	}
	if sub, _ := claims["sub"].(string); sub != subject { // Core section 5.3.2
		return access, nil, fail(KindToken, "userinfo", errors.New("answer is about another sub"))
	}
	return access, claims, nil
}
