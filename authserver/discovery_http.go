package authserver

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"simplon/identity"
)

// metadata is our discovery document (OpenID Connect Discovery, section 3; RFC
// 8414; RFC 9207). It names what this server does and nothing it does not.
type metadata struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	UserinfoEndpoint      string   `json:"userinfo_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	EndSessionEndpoint    string   `json:"end_session_endpoint"`
	ScopesSupported       []string `json:"scopes_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	ResponseModes         []string `json:"response_modes_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	IDTokenAlgs           []string `json:"id_token_signing_alg_values_supported"`
	TokenAuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
	PromptValues          []string `json:"prompt_values_supported"`
	ACRValues             []string `json:"acr_values_supported"`
	Claims                []string `json:"claims_supported"`
	UILocales             []string `json:"ui_locales_supported"`
	IssInResponse         bool     `json:"authorization_response_iss_parameter_supported"`
	ClaimsParameter       bool     `json:"claims_parameter_supported"`
	RequestParameter      bool     `json:"request_parameter_supported"`
	RequestURIParameter   bool     `json:"request_uri_parameter_supported"`
	RequireRequestURIReg  bool     `json:"require_request_uri_registration"`
}

func (s *Server) metadata() metadata {
	return metadata{
		Issuer:                s.Issuer,
		AuthorizationEndpoint: s.Issuer + "/authorize",
		TokenEndpoint:         s.Issuer + "/oauth/token",
		UserinfoEndpoint:      s.Issuer + "/userinfo",
		JWKSURI:               s.Issuer + "/keys",
		EndSessionEndpoint:    s.Issuer + "/end_session",
		ScopesSupported:       identity.StandardScopes(),
		ResponseTypes:         []string{string(oidc.ResponseTypeCode)},
		ResponseModes:         []string{string(oidc.ResponseModeQuery), string(oidc.ResponseModeFormPost)},
		GrantTypes:            []string{identity.GrantCode, identity.GrantRefresh},
		SubjectTypes:          []string{"public"},
		IDTokenAlgs:           s.Keys.algs,
		TokenAuthMethods:      []string{string(identity.AuthBasic), string(identity.AuthPost), string(identity.AuthNone)},
		ChallengeMethods:      []string{string(oidc.CodeChallengeMethodS256)},
		PromptValues:          []string{oidc.PromptNone, oidc.PromptLogin, oidc.PromptConsent, oidc.PromptSelectAccount},
		ACRValues:             []string{identity.ACRSingle},
		Claims: []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash",
			"name", "given_name", "family_name", "locale", "updated_at", "email", "email_verified"},
		UILocales:     []string{"en", "de"},
		IssInResponse: true,
	}
}

// discovery answers both well-known addresses with the same document.
func (s *Server) discovery(w http.ResponseWriter, r *http.Request) error {
	return servePublic(w, r, s.document)
}

// keySet publishes the public keys (RFC 7517).
func (s *Server) keySet(w http.ResponseWriter, r *http.Request) error {
	if err := s.Keys.wait(r.Context()); err != nil {
		return err
	}
	s.Keys.mu.RLock()
	body := s.Keys.body
	s.Keys.mu.RUnlock()
	return servePublic(w, r, body)
}

// servePublic writes a public JSON document that any origin may read and caches
// may keep for five minutes.
func servePublic(w http.ResponseWriter, r *http.Request, body []byte) error {
	sum := sha256.Sum256(body)
	tag := `"` + base64.RawURLEncoding.EncodeToString(sum[:9]) + `"`
	head := w.Header()
	head.Set("Content-Type", "application/json")
	head.Set("Cache-Control", "public, max-age=300")
	head.Del("Pragma")
	head.Set("Access-Control-Allow-Origin", "*")
	head.Set("Cross-Origin-Resource-Policy", "cross-origin")
	head.Set("ETag", tag)
	if strings.Contains(r.Header.Get("If-None-Match"), tag) { // a list, or weakened by a proxy (RFC 9110, 13.1.2)
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	_, err := w.Write(body)
	return err
}
