package authserver

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"simplon/identity"
	"simplon/secret"
)

func TestClientsAuthenticateOneWay(t *testing.T) {
	w := newWorld(t)
	ada := w.person("ada@example.org")
	b := w.signedIn(ada)
	basic, post, public := w.app(), w.app(func(c *identity.Client) { c.Auth = identity.AuthPost }), w.app(singlePage)
	other := w.app()
	raw := func(text string) func(*http.Request) {
		return header("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(text)))
	}
	type row struct {
		app    app
		form   []string
		heads  []func(*http.Request)
		status int
		error  string
	}
	good := basicHeader(basic.ID, basic.secret)
	for name, row := range map[string]row{
		"basic":                    {basic, nil, []func(*http.Request){good}, 200, ""},
		"basic, scheme lower case": {basic, nil, []func(*http.Request){header("Authorization", "basic "+base64.StdEncoding.EncodeToString([]byte(basic.ID+":"+basic.secret)))}, 200, ""},
		"basic, all encoded":       {basic, nil, []func(*http.Request){raw(percent(basic.ID) + ":" + percent(basic.secret))}, 200, ""},
		"basic and own id":         {basic, []string{"client_id", basic.ID}, []func(*http.Request){good}, 200, ""},
		"basic and empty fields":   {basic, []string{"client_id", "", "client_secret", "", "client_assertion", "", "client_assertion_type", ""}, []func(*http.Request){good}, 200, ""},
		"post":                     {post, []string{"client_id", post.ID, "client_secret", post.secret}, nil, 200, ""},
		"none":                     {public, []string{"client_id", public.ID}, nil, 200, ""},

		"basic and post":              {basic, []string{"client_id", basic.ID, "client_secret", basic.secret}, []func(*http.Request){good}, 400, "invalid_request"},
		"basic and a secret":          {basic, []string{"client_secret", "x"}, []func(*http.Request){good}, 400, "invalid_request"},
		"basic and another id":        {basic, []string{"client_id", other.ID}, []func(*http.Request){good}, 400, "invalid_request"},
		"basic twice":                 {basic, nil, []func(*http.Request){good, good}, 400, "invalid_request"},
		"basic and assertion":         {basic, []string{"client_assertion", "x"}, []func(*http.Request){good}, 401, "invalid_client"},
		"basic client by post":        {basic, []string{"client_id", basic.ID, "client_secret", basic.secret}, nil, 200, ""},
		"basic client by none":        {basic, []string{"client_id", basic.ID}, nil, 401, "invalid_client"},
		"post client by basic":        {post, nil, []func(*http.Request){basicHeader(post.ID, post.secret)}, 200, ""},
		"post client by none":         {post, []string{"client_id", post.ID}, nil, 401, "invalid_client"},
		"public client by basic":      {public, nil, []func(*http.Request){basicHeader(public.ID, "")}, 401, "invalid_client"},
		"public client with a secret": {public, []string{"client_id", public.ID, "client_secret", "x"}, nil, 401, "invalid_client"},
		"wrong secret":                {basic, nil, []func(*http.Request){basicHeader(basic.ID, basic.secret+"x")}, 401, "invalid_client"},
		"empty secret":                {basic, nil, []func(*http.Request){basicHeader(basic.ID, "")}, 401, "invalid_client"},
		"the hash as secret":          {basic, nil, []func(*http.Request){basicHeader(basic.ID, string(basic.SecretHash))}, 401, "invalid_client"},
		"secret of another":           {basic, nil, []func(*http.Request){basicHeader(basic.ID, other.secret)}, 401, "invalid_client"},
		"unknown client":              {basic, nil, []func(*http.Request){basicHeader("app_x", basic.secret)}, 401, "invalid_client"},
		"nothing":                     {basic, nil, nil, 401, "invalid_client"},
		"bearer":                      {basic, nil, []func(*http.Request){header("Authorization", "Bearer x")}, 401, "invalid_client"},
		"no base64":                   {basic, nil, []func(*http.Request){header("Authorization", "Basic ***")}, 401, "invalid_client"},
		"no colon":                    {basic, nil, []func(*http.Request){raw(basic.ID)}, 401, "invalid_client"},
		"no id":                       {basic, nil, []func(*http.Request){raw(":" + basic.secret)}, 401, "invalid_client"},
		"broken percent":              {basic, nil, []func(*http.Request){raw(basic.ID + ":%zz")}, 401, "invalid_client"},
		"long header":                 {basic, nil, []func(*http.Request){raw(strings.Repeat("x", 5000) + ":x")}, 401, "invalid_client"},
	} {
		form := row.app.exchange(w.codeFor(b, row.app, ada))
		for i := 0; i+1 < len(row.form); i += 2 {
			form.Set(row.form[i], row.form[i+1])
		}
		r := w.send(http.MethodPost, "/oauth/token", form, row.heads...)
		if r.status != row.status || r.str("error") != row.error {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		if (r.status == 401) != (r.header.Get("WWW-Authenticate") != "") {
			t.Errorf("%s: WWW-Authenticate %q", name, r.header.Get("WWW-Authenticate"))
		}
		if r.status != 200 { // a failed authentication spends nothing
			w.tokensOf(w.token(row.app, row.app.exchange(form.Get("code"))))
		}
	}
	w.disableClient(basic)
	w.wantError(w.redeem(basic, "x"), http.StatusUnauthorized, "invalid_client")
}

// percent encodes every byte, as some client libraries do.
func percent(s string) string {
	var out strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&out, "%%%02X", c)
	}
	return out.String()
}

func TestSecretsThatNeedEncodingWorkBothWays(t *testing.T) {
	w := newWorld(t)
	shop, ada := w.app(), w.person("ada@example.org")
	shop.secret = "a:b c+d%41é/=&"
	w.exec(`UPDATE client SET secret_hash = $2 WHERE id = $1`, shop.ID, secret.Digest(shop.secret))
	w.tokensOf(w.redeem(shop, w.codeFor(w.browser(), shop, ada)))
}

func TestGrantTypes(t *testing.T) {
	w := newWorld(t)
	shop := w.app()
	for _, kind := range []string{"", "password", "implicit", "client_credentials", "AUTHORIZATION_CODE", "urn:ietf:params:oauth:grant-type:device_code"} {
		w.wantError(w.token(shop, url.Values{"grant_type": {kind}}), http.StatusBadRequest, "unsupported_grant_type")
	}
	w.wantError(w.token(shop, url.Values{"grant_type": {"authorization_code"}}), http.StatusBadRequest, "invalid_request")
	w.wantError(w.token(shop, url.Values{"grant_type": {"refresh_token"}}), http.StatusBadRequest, "invalid_request")
	for _, code := range []string{"x", "smp_ac_", strings.Repeat("x", 9000), "smp_ac_" + strings.Repeat("A", 43)} {
		w.wantError(w.redeem(shop, code), http.StatusBadRequest, "invalid_grant")
		w.wantError(w.refresh(shop, code), http.StatusBadRequest, "invalid_grant")
	}
}

func TestCodesAreBound(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		shop, other, ada := w.app(redirects("https://shop.example/cb", "https://shop.example/cb2")), w.app(), w.person("ada@example.org")
		b := w.signedIn(ada)
		code := w.codeFor(b, shop, ada)
		w.wantError(w.redeem(other, code), http.StatusBadRequest, "invalid_grant")
		for _, uri := range []string{"https://shop.example/cb2", "https://shop.example/cb/", "https://shop.example/c%62"} {
			w.wantError(w.redeem(shop, code, "redirect_uri", uri), http.StatusBadRequest, "invalid_grant")
		}
		w.tokensOf(w.redeem(shop, code)) // nothing of this spent it
		// OAuth 2.1 leaves redirect_uri out where PKCE binds the code.
		w.tokensOf(w.redeem(shop, w.codeFor(b, shop, ada), "redirect_uri", ""))

		late := w.codeFor(b, shop, ada)
		w.clock.advance(w.server.TTL.Code - time.Second)
		w.tokensOf(w.redeem(shop, late))
		late = w.codeFor(b, shop, ada)
		w.clock.advance(w.server.TTL.Code)
		w.wantError(w.redeem(shop, late), http.StatusBadRequest, "invalid_grant")
	})
}

func TestCodeReplayRevokesWhatItGave(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		shop, other, ada := w.app(), w.app(), w.person("ada@example.org")
		b := w.signedIn(ada)
		code := w.codeFor(b, shop, ada)
		got, apart := w.tokensOf(w.redeem(shop, code)), w.walk(b, shop, ada)
		w.wantError(w.redeem(other, code), http.StatusBadRequest, "invalid_grant")
		if !w.alive(got.access) {
			t.Fatal("another client's replay revoked the grant")
		}
		// Even with a wrong verifier: whoever has the code has it.
		w.wantError(w.redeem(shop, code, "code_verifier", strings.Repeat("x", 43)), http.StatusBadRequest, "invalid_grant")
		if w.alive(got.access) {
			t.Error("the access token lives on")
		}
		w.wantError(w.refresh(shop, got.refresh), http.StatusBadRequest, "invalid_grant")
		if !w.alive(apart.access) {
			t.Error("a grant of another code ended")
		}
		if n := w.count(`SELECT COUNT(*) FROM event WHERE kind = $1 AND account_id = $2`, identity.EventCodeReplayed, ada.ID); n != 1 {
			t.Errorf("%d events", n)
		}
		// Long after the code ran out a replay still revokes.
		code = w.codeFor(b, shop, ada)
		got = w.tokensOf(w.redeem(shop, code))
		w.clock.advance(5 * time.Minute)
		w.wantError(w.redeem(shop, code), http.StatusBadRequest, "invalid_grant")
		if w.alive(got.access) {
			t.Error("the access token lives on")
		}
	})
}

func TestCodeRacesGiveAtMostOneAndThenNothing(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		shop, ada := w.app(), w.person("ada@example.org")
		b := w.signedIn(ada)
		for range 3 {
			code := w.codeFor(b, shop, ada)
			replies := parallel(20, func(int) reply { return w.redeem(shop, code) })
			won := 0
			for _, r := range replies {
				if r.status == http.StatusOK {
					won++
					if w.alive(r.str("access_token")) {
						t.Error("a token of a replayed code lives on")
					}
					continue
				}
				w.wantError(r, http.StatusBadRequest, "invalid_grant")
			}
			if won > 1 {
				t.Errorf("%d redemptions of one code", won)
			}
		}
	})
}

// parallel calls fn n times at once.
func parallel[T any](n int, fn func(i int) T) []T {
	out := make([]T, n)
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			out[i] = fn(i)
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	return out
}

func TestCodeIsWorthNothingOnceTheSignInEnded(t *testing.T) {
	w := newWorld(t)
	shop := w.app()
	type row struct {
		name string
		end  func(b *browser, p person)
	}
	for _, row := range []row{
		{"signed out", func(b *browser, _ person) { b.get("/").submit("/sign-out") }},
		{"account disabled", func(_ *browser, p person) { w.disableAccount(p) }},
		{"session expired", func(_ *browser, p person) {
			w.exec(`UPDATE session SET expires_at = $2 WHERE account_id = $1`, p.ID, w.clock.now().UnixMicro())
		}},
	} {
		p := w.person(strings.ReplaceAll(row.name, " ", "") + "@example.org")
		b := w.signedIn(p)
		code := w.codeFor(b, shop, p)
		row.end(b, p)
		r := w.redeem(shop, code)
		if r.status != http.StatusBadRequest || r.str("error") != "invalid_grant" {
			t.Errorf("%s: %d %s", row.name, r.status, r.body)
		}
	}
	if n := w.count(`SELECT COUNT(*) FROM grants`); n != 0 {
		t.Errorf("%d grants", n)
	}
}
