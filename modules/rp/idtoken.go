package rp

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"
)

const (
	// maxIDToken is the longest ID token read, in bytes.
	maxIDToken = 64 << 10
	// skew is how far the provider's clock may be ahead of ours.
	skew = 30 * time.Second
)

// proof is an ID token that was checked.
type proof struct {
	claims *oidc.IDTokenClaims
	all    map[string]any // every claim, as it came
}

// verify checks an ID token (OpenID Connect Core section 3.1.3.7) and that it
// belongs to this access token (3.1.3.8). The library's own VerifyIDToken is
// not used because it reads the wall clock and quotes nonces in its errors;
// its single checks are.
func (a *App) verify(ctx context.Context, p *provider, raw, access, nonce string) (*proof, error) {
	out, payload, err := parseIDToken(raw)
	if err != nil {
		return nil, err
	}
	v := p.party.IDTokenVerifier()
	if err := a.checkParties(out.claims, v); err != nil {
		return nil, err
	}
	if err := oidc.CheckSignature(ctx, raw, payload, out.claims, v.SupportedSignAlgs, v.KeySet); err != nil {
		return nil, err
	}
	if err := checkTimes(out.claims, a.cfg.Now()); err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(out.claims.Nonce), []byte(nonce)) != 1 {
		return nil, errors.New("nonce is not the one sent")
	}
	if err := rp.VerifyAccessToken(access, out.claims.AccessTokenHash, out.claims.GetSignatureAlgorithm()); err != nil {
		return nil, err
	}
	return out, nil
}

// checkParties: from our provider, about somebody, for us and nobody else.
func (a *App) checkParties(c *oidc.IDTokenClaims, v *rp.IDTokenVerifier) error {
	if err := oidc.CheckSubject(c); err != nil {
		return err
	}
	if c.Issuer != a.cfg.Issuer {
		return oidc.ErrIssuerInvalid
	}
	if len(c.Audience) != 1 || c.Audience[0] != a.cfg.ClientID {
		return oidc.ErrAudience
	}
	return oidc.CheckAZPVerifier(c, v.AZP)
}

func checkTimes(c *oidc.IDTokenClaims, now time.Time) error {
	switch {
	case c.Expiration == 0 || !now.Before(c.GetExpiration()):
		return oidc.ErrExpired
	case c.IssuedAt == 0:
		return oidc.ErrIatMissing
	case c.GetIssuedAt().After(now.Add(skew)):
		return oidc.ErrIatInFuture
	case c.NotBefore != 0 && c.NotBefore.AsTime().After(now.Add(skew)):
		return errors.New("nbf is in the future")
	}
	return nil
}

// parseIDToken reads an ID token's claims and believes none of them. The
// shape of aud is looked at first: the library panics on one that holds
// anything but strings, before any signature is checked.
func parseIDToken(raw string) (*proof, []byte, error) {
	if raw == "" {
		return nil, nil, rp.ErrMissingIDToken
	}
	if len(raw) > maxIDToken {
		return nil, nil, errors.New("ID token too long")
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return nil, nil, oidc.ErrParse
	}
	payload, err := base64.RawURLEncoding.Strict().DecodeString(parts[1])
	if err != nil {
		return nil, nil, oidc.ErrParse
	}
	all, err := parseClaims(payload)
	if err != nil {
		return nil, nil, err
	}
	switch aud := all["aud"].(type) {
	case string:
	case []any:
		for _, one := range aud {
			if _, ok := one.(string); !ok {
				return nil, nil, oidc.ErrAudience
			}
		}
	default:
		return nil, nil, oidc.ErrAudience
	}
	out := &proof{claims: new(oidc.IDTokenClaims), all: all}
	if payload, err = oidc.ParseToken(raw, out.claims); err != nil {
		return nil, nil, errors.New("claims of the ID token have wrong types")
	}
	return out, payload, nil
}

// parseClaims reads one JSON object; numbers stay as they were written.
func parseClaims(raw []byte) (map[string]any, error) {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var all map[string]any
	if err := dec.Decode(&all); err != nil || all == nil || dec.More() {
		return nil, errors.New("claims are not one JSON object")
	}
	return all, nil
}
