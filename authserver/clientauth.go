package authserver

import (
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"simplon/identity"
	"simplon/secret"
	"simplon/storage"
	"simplon/web"
)

// invalidClient is the one answer to every failed client authentication: 401
// with a Basic challenge (RFC 6749, section 5.2).
func invalidClient(description string) *protocolError {
	e := refuse(oidc.ErrInvalidClient, description)
	e.status = http.StatusUnauthorized
	e.challenge = `Basic realm="simplon", charset="UTF-8"`
	return e
}

// authenticateClient tells which client speaks (RFC 6749, section 2.3): exactly
// one method, one that its registration accepts, and a secret compared in
// constant time. A script's origin gets its CORS header here, where the client is known.
func (s *Server) authenticateClient(w http.ResponseWriter, r *http.Request, p params) (identity.Client, error) {
	id, password, method, err := presented(r, p)
	if err != nil {
		return identity.Client{}, err
	}
	client, err := s.DB.Client(id)
	if errors.Is(err, storage.ErrNotFound) {
		return identity.Client{}, invalidClient("client unknown, or its authentication failed")
	}
	if err != nil {
		return identity.Client{}, err
	}
	web.AddLog(r, slog.String("client", client.ID))
	if client.FrontID != s.Front.ID || client.Disabled() {
		return identity.Client{}, invalidClient("client unknown, or its authentication failed")
	}
	if !client.Accepts(method) {
		return identity.Client{}, invalidClient("this client is registered for authentication method " + string(client.Auth))
	}
	if method != identity.AuthNone && (client.SecretHash == nil || !secret.Equal(secret.Digest(password), client.SecretHash)) {
		return identity.Client{}, invalidClient("client unknown, or its authentication failed")
	}
	if origin := r.Header.Get("Origin"); client.AllowsOrigin(origin) {
		w.Header().Set("Access-Control-Allow-Origin", origin)
	}
	return client, nil
}

// presented reads what the request offers. Basic credentials are
// form-urlencoded inside (RFC 6749, section 2.3.1); a client_id in the form
// beside them is taken only when it names the same client.
func presented(r *http.Request, p params) (id, password string, method identity.AuthMethod, err error) {
	if p["client_assertion"] != "" || p["client_assertion_type"] != "" {
		return "", "", "", invalidClient("client assertions are not supported")
	}
	authorization := r.Header.Values("Authorization")
	if len(authorization) > 1 {
		return "", "", "", refuse(oidc.ErrInvalidRequest, "the Authorization header was sent twice")
	}
	if len(authorization) == 1 {
		id, password, ok := basic(authorization[0])
		switch {
		case !ok:
			return "", "", "", invalidClient("the Authorization header is not Basic with client id and secret, each urlencoded")
		case p["client_secret"] != "":
			return "", "", "", refuse(oidc.ErrInvalidRequest, "more than one client authentication method was used")
		case p["client_id"] != "" && p["client_id"] != id:
			return "", "", "", refuse(oidc.ErrInvalidRequest, "client_id differs from the authenticated client")
		}
		return id, password, identity.AuthBasic, nil
	}
	switch {
	case p["client_id"] == "":
		return "", "", "", invalidClient("no client authentication was sent")
	case p["client_secret"] != "":
		return p["client_id"], p["client_secret"], identity.AuthPost, nil
	}
	return p["client_id"], "", identity.AuthNone, nil
}

func basic(header string) (id, password string, ok bool) {
	scheme, encoded, found := strings.Cut(header, " ")
	if !found || !strings.EqualFold(scheme, "Basic") || len(encoded) > 4096 {
		return "", "", false
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(encoded))
	if err != nil {
		return "", "", false
	}
	user, pass, found := strings.Cut(string(raw), ":")
	if !found {
		return "", "", false
	}
	id, err = url.QueryUnescape(user)
	if err != nil {
		return "", "", false
	}
	password, err = url.QueryUnescape(pass)
	return id, password, err == nil && id != "" && plainText(id) && plainText(password)
}
