package authserver

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"simplon/identity"
)

const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B

// request is the query of an authorization request of the app: a good one, with
// the parameters set (name, value …); an empty value takes one out.
func (a app) request(change ...string) url.Values {
	v := url.Values{
		"client_id": {a.ID}, "redirect_uri": {a.RedirectURIs[0]}, "response_type": {"code"},
		"scope": {"openid profile email offline_access"}, "state": {"st-1"}, "nonce": {"n-1"},
		"code_challenge": {identity.ChallengeOf(verifier)}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(change); i += 2 {
		if v.Set(change[i], change[i+1]); change[i+1] == "" {
			v.Del(change[i])
		}
	}
	return v
}

// authorize opens the authorization endpoint.
func (b *browser) authorize(a app, change ...string) *page {
	b.w.t.Helper()
	return b.get("/authorize?" + a.request(change...).Encode())
}

// reply is an answer of a protocol endpoint.
type reply struct {
	status int
	header http.Header
	body   string
	json   map[string]any
}

func (r reply) str(name string) string { s, _ := r.json[name].(string); return s }

// send sends a request without any browser.
func (w *world) send(method, path string, form url.Values, change ...func(*http.Request)) reply {
	w.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequest(method, w.issuer+path, body)
	w.check(err)
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, f := range change {
		f(req)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	w.check(err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	w.check(err)
	out := reply{status: res.StatusCode, header: res.Header, body: string(raw)}
	if len(raw) > 0 && strings.HasPrefix(res.Header.Get("Content-Type"), "application/json") {
		w.check(json.Unmarshal(raw, &out.json))
	}
	return out
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Add(name, value) }
}

func bearerHeader(token string) func(*http.Request) { return header("Authorization", "Bearer "+token) }

// basicHeader encodes as RFC 6749, section 2.3.1, wants it.
func basicHeader(id, password string) func(*http.Request) {
	raw := url.QueryEscape(id) + ":" + url.QueryEscape(password)
	return header("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(raw)))
}

// token calls the token endpoint as the app is registered.
func (w *world) token(a app, form url.Values, change ...func(*http.Request)) reply {
	w.t.Helper()
	switch a.Auth {
	case identity.AuthBasic:
		change = append(change, basicHeader(a.ID, a.secret))
	case identity.AuthPost:
		form.Set("client_id", a.ID)
		form.Set("client_secret", a.secret)
	default:
		form.Set("client_id", a.ID)
	}
	return w.send(http.MethodPost, "/oauth/token", form, change...)
}

// exchange is the form that redeems a code of request.
func (a app) exchange(code string, change ...string) url.Values {
	v := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {a.RedirectURIs[0]}, "code_verifier": {verifier}}
	for i := 0; i+1 < len(change); i += 2 {
		if v.Set(change[i], change[i+1]); change[i+1] == "" {
			v.Del(change[i])
		}
	}
	return v
}

func (w *world) redeem(a app, code string, change ...string) reply {
	w.t.Helper()
	return w.token(a, a.exchange(code, change...))
}

func (w *world) refresh(a app, token string, change ...string) reply {
	w.t.Helper()
	v := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
	for i := 0; i+1 < len(change); i += 2 {
		v.Set(change[i], change[i+1])
	}
	return w.token(a, v)
}

// wantError ends the test unless the reply is the OAuth error.
func (w *world) wantError(r reply, status int, code string) {
	w.t.Helper()
	if r.status != status || r.str("error") != code {
		w.t.Fatalf("answered %d %s, want %d %s", r.status, r.body, status, code)
	}
}

// tokens are what a code gave.
type tokens struct{ access, refresh, id, scope string }

func (w *world) tokensOf(r reply) tokens {
	w.t.Helper()
	if r.status != http.StatusOK || r.str("access_token") == "" {
		w.t.Fatalf("no tokens: %d %s", r.status, r.body)
	}
	return tokens{r.str("access_token"), r.str("refresh_token"), r.str("id_token"), r.str("scope")}
}

// walk signs the person in to the app in the browser, or uses the session it has.
func (w *world) walk(b *browser, a app, who person, change ...string) tokens {
	w.t.Helper()
	return w.tokensOf(w.redeem(a, w.codeFor(b, a, who, change...)))
}

func (w *world) codeFor(b *browser, a app, who person, change ...string) string {
	w.t.Helper()
	p := b.authorize(a, change...)
	if p.isLogin() || p.isPassword() {
		p = p.prove(who)
	}
	if p.isConsent() {
		p = p.submit("/consent", "decision", "allow")
	}
	return p.code()
}

func (w *world) userinfo(token string) reply {
	w.t.Helper()
	return w.send(http.MethodGet, "/userinfo", nil, bearerHeader(token))
}

// alive tells whether the access token opens userinfo, and that nothing but 200
// and 401 comes back.
func (w *world) alive(token string) bool {
	w.t.Helper()
	r := w.userinfo(token)
	if r.status != http.StatusOK && r.status != http.StatusUnauthorized {
		w.t.Fatalf("userinfo answered %d %s", r.status, r.body)
	}
	return r.status == http.StatusOK
}

// claims reads a JWT without looking at its signature.
func (w *world) claims(token string) map[string]any {
	w.t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		w.t.Fatalf("not a JWT: %q", token)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	w.check(err)
	var out map[string]any
	w.check(json.Unmarshal(raw, &out))
	return out
}
