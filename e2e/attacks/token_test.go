package attacks

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// A4: a code and a refresh token belong to one client and one redirect URI.
func TestA4CodesAndRefreshTokensAreBoundToTheirClient(t *testing.T) {
	onEachTarget(t, func(t *testing.T, at target) {
		other, page := at.NewApp(t), at.NewPublicApp(t)
		code, verifier := at.app.SignIn(t, at.NewBrowser(t), at.anna)
		answer, err := other.Redeem(code, verifier)
		wantToken(t, "another web application", answer, err, http.StatusBadRequest, "invalid_grant")
		answer, err = page.Redeem(code, verifier)
		wantToken(t, "a public application", answer, err, http.StatusBadRequest, "invalid_grant")
		for _, redirect := range []string{"https://app.example/other", at.app.Redirect + "/", ""} {
			answer, err = at.app.Token(url.Values{"grant_type": {"authorization_code"}, "code": {code},
				"code_verifier": {verifier}, "redirect_uri": {redirect}})
			if redirect == "" { // optional in OAuth 2.1, so only a wrong one must be refused
				continue
			}
			wantToken(t, "redirect URI "+redirect, answer, err, http.StatusBadRequest, "invalid_grant")
		}
		tokens := at.app.Tokens(t, at.NewBrowser(t), at.anna)
		answer, err = other.Refresh(tokens.RefreshToken)
		wantToken(t, "another application's refresh token", answer, err, http.StatusBadRequest, "invalid_grant")
		answer, err = at.app.Token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {tokens.RefreshToken},
			"scope": {"openid admin"}})
		wantToken(t, "a wider scope", answer, err, http.StatusBadRequest, "invalid_scope")
		if answer, err := at.app.Refresh(tokens.RefreshToken); err != nil || answer.Status != http.StatusOK {
			t.Errorf("the owner's refresh: %v %+v", err, answer)
		}
	})
}

// A6: one way of authentication at a time, with the right secret.
func TestA6ClientAuthenticationHasOneWay(t *testing.T) {
	onEachTarget(t, func(t *testing.T, at target) {
		poster := at.NewApp(t, "--auth", "client_secret_post")
		poster.Post = true
		code, verifier := at.app.SignIn(t, at.NewBrowser(t), at.anna)
		values := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {verifier},
			"redirect_uri": {at.app.Redirect}}
		with := func(extra url.Values) string {
			all := url.Values{}
			for _, set := range []url.Values{values, extra} {
				for name, v := range set {
					all[name] = v
				}
			}
			return all.Encode()
		}
		none := func(*http.Request) {}
		basic := func(id, secret string) func(*http.Request) {
			return func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) }
		}
		for what, try := range map[string]struct {
			body   string
			change func(*http.Request)
			status int
			code   string
		}{
			"nothing":            {with(nil), none, 401, "invalid_client"},
			"id alone":           {with(url.Values{"client_id": {at.app.ID}}), none, 401, "invalid_client"},
			"wrong secret":       {with(nil), basic(at.app.ID, at.app.Secret+"x"), 401, "invalid_client"},
			"empty secret":       {with(nil), basic(at.app.ID, ""), 401, "invalid_client"},
			"unknown client":     {with(nil), basic("nobody", at.app.Secret), 401, "invalid_client"},
			"other's secret":     {with(nil), basic(at.app.ID, poster.Secret), 401, "invalid_client"},
			"wrong one in body":  {with(url.Values{"client_id": {at.app.ID}, "client_secret": {at.app.Secret + "x"}}), none, 401, "invalid_client"},
			"both":               {with(url.Values{"client_secret": {at.app.Secret}}), basic(at.app.ID, at.app.Secret), 400, "invalid_request"},
			"two ids":            {with(url.Values{"client_id": {poster.ID}}), basic(at.app.ID, at.app.Secret), 400, "invalid_request"},
			"Basic that is none": {with(nil), func(r *http.Request) { r.Header.Set("Authorization", "Basic %%%") }, 401, "invalid_client"},
			"Bearer":             {with(nil), func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+at.app.Secret) }, 401, "invalid_client"},
		} {
			answer, err := at.app.TokenRaw(try.body, try.change)
			wantToken(t, what, answer, err, try.status, try.code)
			if try.status == http.StatusUnauthorized && answer.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: 401 without WWW-Authenticate", what)
			}
		}
		// Dovecot and others send empty client fields beside the header.
		answer, err := at.app.TokenRaw(with(url.Values{"client_id": {""}, "client_secret": {""}}), basic(at.app.ID, at.app.Secret))
		if err != nil || answer.Status != http.StatusOK {
			t.Errorf("empty fields beside the header: %v %+v", err, answer)
		}
		if tokens := poster.Tokens(t, at.NewBrowser(t), at.anna); tokens.AccessToken == "" {
			t.Error("client_secret_post does not work")
		}
	})
}

// Trap 6: the token endpoint takes nothing from a query, nothing twice, no other
// method and no other encoding.
func TestTokenEndpointTakesPlainPostsOnly(t *testing.T) {
	onEachTarget(t, func(t *testing.T, at target) {
		code, verifier := at.app.SignIn(t, at.NewBrowser(t), at.anna)
		values := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "code_verifier": {verifier},
			"redirect_uri": {at.app.Redirect}}
		basic := func(r *http.Request) { r.SetBasicAuth(at.app.ID, at.app.Secret) }
		change := func(more func(*http.Request)) func(*http.Request) {
			return func(r *http.Request) { basic(r); more(r) }
		}
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodPatch} {
			answer, err := at.app.TokenRaw("", change(func(r *http.Request) { r.Method, r.URL.RawQuery = method, values.Encode() }))
			if err != nil || answer.Status != http.StatusMethodNotAllowed || answer.Header.Get("Allow") == "" {
				t.Errorf("%s: %v %+v", method, err, answer)
			}
		}
		answer, err := at.app.TokenRaw("", change(func(r *http.Request) { r.URL.RawQuery = values.Encode() }))
		wantToken(t, "parameters in the query", answer, err, http.StatusBadRequest, "unsupported_grant_type")
		for name := range values {
			answer, err := at.app.TokenRaw(values.Encode()+"&"+name+"="+url.QueryEscape(values.Get(name)), basic)
			wantToken(t, name+" twice", answer, err, http.StatusBadRequest, "invalid_request")
		}
		answer, err = at.app.TokenRaw(values.Encode()+"&unknown=1&unknown=2", basic)
		wantToken(t, "an unknown parameter twice", answer, err, http.StatusBadRequest, "invalid_request")
		for _, kind := range []string{"application/json", "multipart/form-data; boundary=x", "text/plain", "junk"} {
			answer, err := at.app.TokenRaw(values.Encode(), change(func(r *http.Request) { r.Header.Set("Content-Type", kind) }))
			wantToken(t, kind, answer, err, http.StatusBadRequest, "invalid_request")
		}
		answer, err = at.app.TokenRaw(values.Encode()+"&x="+strings.Repeat("a", 1<<20), basic)
		wantToken(t, "a megabyte", answer, err, http.StatusRequestEntityTooLarge, "invalid_request")
		for _, kind := range []string{"", "password", "client_credentials", "implicit", "urn:ietf:params:oauth:grant-type:device_code"} {
			values.Set("grant_type", kind)
			answer, err := at.app.TokenRaw(values.Encode(), basic)
			wantToken(t, "grant type "+kind, answer, err, http.StatusBadRequest, "unsupported_grant_type")
		}
		if answer, err := at.app.Redeem(code, verifier); err != nil || answer.Status != http.StatusOK {
			t.Errorf("after all that, the owner: %v %+v", err, answer)
		}
	})
}

// /authorize takes each parameter once (protocol.md).
func TestAuthorizeRefusesDuplicateParameters(t *testing.T) {
	onEachTarget(t, func(t *testing.T, at target) {
		browser := at.NewBrowser(t)
		at.app.SignIn(t, browser, at.anna)
		asked, err := url.Parse(at.app.Authorize().URL)
		if err != nil {
			t.Fatal(err)
		}
		for name := range asked.Query() {
			page := get(t, browser, asked.String()+"&"+name+"="+url.QueryEscape(asked.Query().Get(name)))
			if name == "client_id" || name == "redirect_uri" {
				wantPage(t, name+" twice", page, http.StatusBadRequest, at.app.Redirect)
				continue
			}
			wantToApp(t, name+" twice", page, at.app.Redirect, "invalid_request")
		}
	})
}

// Trap 4: only what was issued as an access token opens userinfo.
func TestUserInfoTakesAccessTokensOnly(t *testing.T) {
	onEachTarget(t, func(t *testing.T, at target) {
		tokens := at.app.Tokens(t, at.NewBrowser(t), at.anna)
		code, _ := at.app.SignIn(t, at.NewBrowser(t), at.anna)
		if status, body, err := at.app.UserInfo(tokens.AccessToken); err != nil || status != http.StatusOK || !strings.Contains(body, at.anna.Login) {
			t.Fatalf("userinfo: %d %s %v", status, body, err)
		}
		flipped := []byte(tokens.AccessToken)
		flipped[len(flipped)/2] ^= 1
		for what, token := range map[string]string{
			"ID token": tokens.IDToken, "refresh token": tokens.RefreshToken, "code": code, "a flipped bit": string(flipped),
			"a letter more": tokens.AccessToken + "A", "a letter less": tokens.AccessToken[:len(tokens.AccessToken)-1],
			"prefix": "smp_at_", "nothing": "", "junk": "x", "a lot": strings.Repeat("x", 8000), "client secret": at.app.Secret,
			"upper case": strings.ToUpper(tokens.AccessToken), "padding": tokens.AccessToken + "=",
		} {
			status, body, err := at.app.UserInfo(token)
			if err != nil || status != http.StatusUnauthorized || strings.Contains(body, at.anna.Login) {
				t.Errorf("%s: %d %s %v", what, status, body, err)
			}
		}
		request, err := http.NewRequest(http.MethodGet, at.Issuer+"/userinfo?access_token="+url.QueryEscape(tokens.AccessToken), nil)
		if err != nil {
			t.Fatal(err)
		}
		if page := at.Do(t, request); page.Status != http.StatusUnauthorized {
			t.Errorf("a token in the query: status %d", page.Status)
		}
	})
}
