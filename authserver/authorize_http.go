package authserver

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"simplon/identity"
	"simplon/secret"
	"simplon/storage"
	"simplon/web"
)

// Cookie names, without the __Host- prefix that https adds.
const (
	cookieSession = "s"
	cookieDevice  = "d"
)

// handOff takes a cross-site POST to a path whose GET reads cookies: the POST
// carries no SameSite=Lax cookie, so its parameters are kept for a minute and
// the browser is sent to GET the same path with a one-use handle.
func (s *Server) handOff(w http.ResponseWriter, r *http.Request) error {
	if err := r.ParseForm(); err != nil {
		return &web.Error{Status: http.StatusBadRequest, Key: "bad-request", Err: err}
	}
	raw := r.PostForm.Encode()
	if len(raw) > s.Limits.Query {
		return &web.Error{Status: http.StatusRequestEntityTooLarge, Key: "too-large"}
	}
	if r.URL.Path == "/authorize" {
		// Only what a known client with a registered address sends costs a row.
		p, _, err := parseParams(raw)
		if err != nil {
			return &web.Error{Status: http.StatusBadRequest, Key: "bad-request", Err: err}
		}
		if _, page, err := s.client(r, p); err != nil || page != nil {
			return s.refusePage(w, r, page, err)
		}
	}
	if wait := s.posts.wait(network(web.ClientIP(r))); wait > 0 {
		return &web.Error{Status: http.StatusTooManyRequests, Key: "too-many-requests", RetryAfter: wait}
	}
	handle := s.Source.Token(prefixHandoff).Reveal()
	err := s.DB.Tx(r.Context(), func(tx *storage.Tx) error {
		return tx.CreateHandoff(secret.Digest(handle), r.URL.Path, raw, s.Now().Add(s.TTL.Handoff))
	})
	if err != nil {
		return err
	}
	http.Redirect(w, r, r.URL.Path+"?handle="+url.QueryEscape(handle), http.StatusSeeOther)
	return nil
}

// rawParams returns the parameters of a GET, or those that a POST handed off.
func (s *Server) rawParams(r *http.Request) (string, error) {
	raw := r.URL.RawQuery
	if len(raw) > s.Limits.Query {
		return "", &web.Error{Status: http.StatusRequestURITooLong, Key: "too-large"}
	}
	handle, ok := strings.CutPrefix(raw, "handle=")
	if !ok || !strings.HasPrefix(handle, prefixHandoff) || strings.Contains(handle, "&") {
		return raw, nil
	}
	err := s.DB.Tx(r.Context(), func(tx *storage.Tx) (err error) {
		raw, err = tx.SpendHandoff(secret.Digest(handle), r.URL.Path, s.Now())
		return err
	})
	if errors.Is(err, storage.ErrNotFound) {
		return "", &web.Error{Status: http.StatusBadRequest, Key: "expired-sign-in"}
	}
	return raw, err
}

// refusal is why a request gets a page of ours and is never sent on: the client
// or its redirect URI is not to be trusted (A2).
type refusal struct {
	err  *web.Error
	page *web.RedirectErrorPage
}

func (s *Server) refusePage(w http.ResponseWriter, r *http.Request, f *refusal, err error) error {
	switch {
	case err != nil:
		return err
	case f.page != nil:
		return s.Site.Render(w, r, http.StatusBadRequest, *f.page)
	}
	return f.err
}

// client finds the client of a request and checks its redirect URI byte by byte,
// before anything else is looked at (A1).
func (s *Server) client(r *http.Request, p params) (identity.Client, *refusal, error) {
	if p["client_id"] == "" {
		return identity.Client{}, &refusal{err: &web.Error{Status: http.StatusBadRequest, Key: "unknown-client"}}, nil
	}
	client, err := s.DB.Client(p["client_id"])
	if errors.Is(err, storage.ErrNotFound) || err == nil && client.FrontID != s.Front.ID {
		return client, &refusal{err: &web.Error{Status: http.StatusBadRequest, Key: "unknown-client"}}, nil
	}
	if err != nil {
		return client, nil, err
	}
	if client.Disabled() {
		return client, &refusal{err: &web.Error{Status: http.StatusBadRequest, Key: "disabled-client"}}, nil
	}
	if !identity.MatchRedirectURI(client.Kind, client.RedirectURIs, p["redirect_uri"]) {
		page := &web.RedirectErrorPage{Client: client.Name, Received: p["redirect_uri"], Rule: "exact", ID: web.RequestID(r.Context())}
		if p["redirect_uri"] == "" {
			page.Rule = "missing"
		}
		return client, &refusal{page: page}, nil
	}
	return client, nil, nil
}

// authorize answers GET /authorize (OpenID Connect Core, section 3.1.2). It
// checks the request, makes the sign-in and sends the browser to its next step;
// where nobody has to be asked anything it answers the client at once.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) error {
	raw, err := s.rawParams(r)
	if err != nil {
		return err
	}
	p, duplicate, err := parseParams(raw)
	if err != nil {
		return &web.Error{Status: http.StatusBadRequest, Key: "bad-request", Err: err}
	}
	if duplicate == "client_id" || duplicate == "redirect_uri" {
		return &web.Error{Status: http.StatusBadRequest, Key: "bad-request", Field: duplicate}
	}
	client, page, err := s.client(r, p)
	if err != nil || page != nil {
		return s.refusePage(w, r, page, err)
	}
	web.AddLog(r, slog.String("client", client.ID))
	request, fault := s.checkRequest(r, client, p, duplicate)
	if fault != nil {
		web.AddLog(r, slog.String("oauth_error", fault.code))
		return s.respond(w, r, client, request, url.Values{"error": {fault.code}, "error_description": {fault.description}}, false)
	}
	signIn, err := s.newSignIn(r, s.Site.Browser(w, r), client.ID, request)
	if err != nil {
		return err
	}
	return s.begin(w, r, signIn)
}

// begin takes a sign-in that is not stored yet to its first step.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, signIn identity.SignIn) error {
	facts, err := s.facts(r, signIn)
	if err != nil {
		return err
	}
	decision := identity.Next(signIn, facts, s.Now())
	if facts.Client != nil {
		switch decision.Step {
		case identity.StepDone:
			return s.answerAtOnce(w, r, signIn, facts)
		case identity.StepRefuse:
			return s.respond(w, r, *facts.Client, signIn.Request, url.Values{"error": {decision.Error}}, false)
		}
	}
	if err := s.store(r, signIn); err != nil {
		return err
	}
	http.Redirect(w, r, "/signin/"+signIn.ID, http.StatusSeeOther)
	return nil
}

// store inserts the sign-in within the caps: a browser's oldest open one gives
// way, and so does a network's oldest in which nobody typed an address yet; a
// network with none such is told to wait. The counts are read before the
// transaction: inside it, sign-ins of one network would fail each other on
// PostgreSQL, while a cap that a few at once can pass by a few is still a cap.
func (s *Server) store(r *http.Request, signIn identity.SignIn) error {
	net := network(web.ClientIP(r))
	mine, theirs, err := s.DB.OpenSignIns(signIn.BrowserHash, net, s.Now())
	if err != nil {
		return err
	}
	full, known := false, false
	if theirs >= s.Limits.SignInsPerAddress {
		// Strangers behind the same address never shut out a known browser.
		known, err = s.DB.DeviceCookieKnown(secret.Digest(s.Site.Cookie(r, cookieDevice)), s.Front.ID, s.Now())
		if err != nil {
			return err
		}
	}
	err = s.DB.Tx(r.Context(), func(tx *storage.Tx) error {
		if theirs >= s.Limits.SignInsPerAddress {
			made, err := tx.DropIdleSignIn(net, s.Now())
			if full = err == nil && !made && !known; err != nil || full {
				return err
			}
		}
		if mine >= s.Limits.SignInsPerBrowser {
			if err := tx.DropOldestSignIn(signIn.BrowserHash, s.Now()); err != nil {
				return err
			}
		}
		return tx.CreateSignIn(signIn, net)
	})
	if err == nil && full {
		return &web.Error{Status: http.StatusTooManyRequests, Key: "too-many-sign-ins", RetryAfter: s.TTL.SignIn / 4}
	}
	return err
}

func (s *Server) newSignIn(r *http.Request, browser, clientID string, request identity.Request) (identity.SignIn, error) {
	id, err := s.newID(identity.KindSignIn)
	if err != nil {
		return identity.SignIn{}, err
	}
	epoch, err := s.DB.Epoch()
	if err != nil {
		return identity.SignIn{}, err
	}
	now := s.Now()
	login := request.LoginHint
	if len(login) > 254 {
		login = ""
	}
	return identity.SignIn{
		ID: id, FrontID: s.Front.ID, BrowserHash: secret.Digest(browser), Purpose: identity.PurposeSignIn, ClientID: clientID,
		Request: request, Login: login, Seed: s.Source.Bytes(16), Epoch: epoch, CreatedAt: now, ExpiresAt: now.Add(s.TTL.SignIn),
	}, nil
}

// requestFault is an error of an authorization request that the client is told
// (RFC 6749, section 4.1.2.1; OpenID Connect Core, section 3.1.2.6).
type requestFault struct{ code, description string }

// checkRequest checks everything about an authorization request but the client
// and its redirect URI, which are trusted by now: faults go back to the client.
// The returned Request is good enough to answer with even when there is a fault.
func (s *Server) checkRequest(r *http.Request, client identity.Client, p params, duplicate string) (identity.Request, *requestFault) {
	request := identity.Request{
		RedirectURI: p["redirect_uri"], ResponseMode: string(oidc.ResponseModeQuery), State: p["state"], Nonce: p["nonce"],
		Challenge: p["code_challenge"], LoginHint: p["login_hint"], UILocales: p["ui_locales"],
	}
	if origin := identity.Origin(request.RedirectURI); p["response_mode"] == string(oidc.ResponseModeFormPost) && origin != "" && !strings.Contains(origin, "[") {
		// A content security policy cannot name an IPv6 address, so no form of
		// ours may be sent to one.
		request.ResponseMode = p["response_mode"]
	}
	fault := func(code, description string) (identity.Request, *requestFault) {
		return request, &requestFault{code, description}
	}
	switch {
	case duplicate != "":
		return fault(invalidRequest, "parameter "+quoteName(duplicate)+" was sent twice")
	case p["request"] != "":
		return fault("request_not_supported", "request objects are not supported")
	case p["request_uri"] != "":
		return fault("request_uri_not_supported", "request_uri is not supported")
	case p["registration"] != "":
		return fault("registration_not_supported", "registration is not supported")
	case p["response_type"] == "":
		return fault(invalidRequest, "response_type is missing")
	case p["response_type"] != string(oidc.ResponseTypeCode):
		return fault("unsupported_response_type", "response_type must be code")
	case p["response_mode"] != "" && p["response_mode"] != request.ResponseMode:
		return fault(invalidRequest, "response_mode must be query or form_post")
	case !client.MayUse(identity.GrantCode):
		return fault("unauthorized_client", "this client is not registered for authorization codes")
	case len(request.Nonce) > 512 || len(request.State) > 4096 || len(request.UILocales) > 200:
		return fault(invalidRequest, "state, nonce or ui_locales is too long")
	}
	if description := challengeFault(client, p); description != "" {
		return fault(invalidRequest, description)
	}
	request.Scopes = identity.ParseScopes(p["scope"]).Only(client.Scopes)
	if !client.MayUse(identity.GrantRefresh) {
		request.Scopes = slices.DeleteFunc(request.Scopes, func(v string) bool { return v == identity.ScopeOffline })
	}
	if len(request.Scopes) == 0 {
		return fault("invalid_scope", "scope names nothing that this client may ask; an OpenID Connect request asks at least openid")
	}
	request.Prompt = identity.ParseScopes(p["prompt"])
	if description := promptFault(request.Prompt); description != "" {
		return fault(invalidRequest, description)
	}
	var ok bool
	if request.MaxAge, ok = identity.ParseMaxAge(p["max_age"]); !ok {
		return fault(invalidRequest, "max_age must be a number of seconds")
	}
	if hint := p["id_token_hint"]; hint != "" {
		parsed, err := s.Keys.parseHint(r.Context(), s.Issuer, hint)
		if err != nil && !errors.Is(err, ErrJWT) {
			web.AddLog(r, slog.String("error", err.Error()))
			return fault(string(oidc.ServerError), "something failed on our side; error "+web.RequestID(r.Context()))
		}
		if err != nil || !slices.Contains(parsed.Audience, client.ID) {
			return fault(invalidRequest, "id_token_hint is not an ID token that this client got from us")
		}
		request.HintSub = parsed.Subject
	}
	return request, nil
}

const invalidRequest = string(oidc.InvalidRequest)

// challengeFault enforces PKCE with S256 (RFC 7636; RFC 9700, section 2.1.1): a
// missing method would mean plain and is refused, as is every other value.
func challengeFault(client identity.Client, p params) string {
	challenge, method := p["code_challenge"], p["code_challenge_method"]
	switch {
	case challenge == "" && method != "":
		return "code_challenge is missing"
	case challenge == "" && !client.PKCEOptional:
		return "code_challenge is missing: this server requires PKCE with S256"
	case challenge == "":
		return ""
	case method != string(oidc.CodeChallengeMethodS256):
		return "code_challenge_method must be S256"
	case !identity.ValidChallenge(challenge):
		return "code_challenge must be 43 base64url characters"
	}
	return ""
}

func promptFault(prompt []string) string {
	for _, v := range prompt {
		switch v {
		case oidc.PromptNone:
			if len(prompt) > 1 {
				return "prompt=none goes with no other value"
			}
		case oidc.PromptLogin, oidc.PromptConsent, oidc.PromptSelectAccount:
		default:
			return "prompt has a value that is not supported"
		}
	}
	return ""
}

// quoteName makes a parameter name fit for error_description, whose characters
// RFC 6749 (section 5.2) limits.
func quoteName(name string) string {
	out := strings.Map(func(r rune) rune {
		if r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '.'
	}, name)
	return fmt.Sprintf("%.40s", out)
}

// respond answers the client at its redirect URI, with state and iss (RFC 9207)
// in the response mode it asked. afterForm says that the browser came here from
// a form of ours, whose policy forbids a redirect to another origin: then a page
// sends it on.
func (s *Server) respond(w http.ResponseWriter, r *http.Request, client identity.Client, request identity.Request, answer url.Values, afterForm bool) error {
	if request.State != "" {
		answer.Set("state", request.State)
	}
	answer.Set("iss", s.Issuer)
	gate := web.Gate{Client: client.Name, ClientURL: client.HomeURL}
	if request.ResponseMode == string(oidc.ResponseModeFormPost) {
		page := web.FormPostPage{Gate: gate, Action: request.RedirectURI}
		for _, name := range slices.Sorted(keysOf(answer)) {
			page.Fields = append(page.Fields, web.Field{Name: name, Value: answer.Get(name)})
		}
		return s.Site.Render(w, r, http.StatusOK, page)
	}
	target := appendQuery(request.RedirectURI, answer)
	if afterForm {
		return s.Site.Render(w, r, http.StatusOK, web.ContinuePage{Gate: gate, URL: target})
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", target) // as registered: http.Redirect would clean the path
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// appendQuery adds parameters to a URI and leaves what it has untouched (RFC
// 6749, section 3.1.2).
func appendQuery(uri string, values url.Values) string {
	_, query, has := strings.Cut(uri, "?")
	separator := "&"
	switch {
	case !has:
		separator = "?"
	case query == "", strings.HasSuffix(query, "&"):
		separator = ""
	}
	return uri + separator + values.Encode()
}
