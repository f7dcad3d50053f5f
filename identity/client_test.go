package identity_test

import (
	"errors"
	"testing"
	"time"

	"simplon/identity"
)

func webClient() identity.Client {
	return identity.Client{
		ID: "app_1", Name: "Mail", Kind: web, Auth: identity.AuthBasic, IDTokenAlg: "ES256",
		RedirectURIs: []string{"https://mail.example/cb"}, PostLogoutURIs: []string{"https://mail.example/"},
		Scopes: []string{"openid"}, GrantTypes: []string{identity.GrantCode, identity.GrantRefresh}, HomeURL: "https://mail.example/",
	}
}

func TestClientCheck(t *testing.T) {
	public := func(kind identity.ClientKind) func(*identity.Client) {
		return func(c *identity.Client) { c.Kind, c.Auth = kind, identity.AuthNone }
	}
	machine := func(c *identity.Client) { c.Kind, c.RedirectURIs, c.GrantTypes = identity.ClientMachine, nil, nil }
	for _, c := range []struct {
		name   string
		change func(*identity.Client)
		ok     bool
	}{
		{"web", func(*identity.Client) {}, true},
		{"web by post", func(c *identity.Client) { c.Auth = identity.AuthPost }, true},
		{"web without PKCE", func(c *identity.Client) { c.PKCEOptional = true }, true},
		{"spa", public(spa), true},
		{"native", public(native), true},
		{"machine", machine, true},
		{"no name", func(c *identity.Client) { c.Name = "" }, false},
		{"untidy name", func(c *identity.Client) { c.Name = " Mail" }, false},
		{"name with a control", func(c *identity.Client) { c.Name = "Ma\x00il" }, false},
		{"web without secret", func(c *identity.Client) { c.Auth = identity.AuthNone }, false},
		{"unknown authentication", func(c *identity.Client) { c.Auth = "private_key_jwt" }, false},
		{"spa with secret", func(c *identity.Client) { c.Kind = spa }, false},
		{"native with secret", func(c *identity.Client) { c.Kind = native }, false},
		{"machine without secret", func(c *identity.Client) { machine(c); c.Auth = identity.AuthNone }, false},
		{"unknown kind", func(c *identity.Client) { c.Kind = "desktop" }, false},
		{"no kind", func(c *identity.Client) { c.Kind = "" }, false},
		{"public without PKCE", func(c *identity.Client) { public(spa)(c); c.PKCEOptional = true }, false},
		{"code without redirect URI", func(c *identity.Client) { c.RedirectURIs = nil }, false},
		{"bad redirect URI", func(c *identity.Client) { c.RedirectURIs = append(c.RedirectURIs, "http://mail.example/") }, false},
		{"bad logout URI", func(c *identity.Client) { c.PostLogoutURIs = []string{"javascript:alert(1)"} }, false},
		{"bad home", func(c *identity.Client) { c.HomeURL = "javascript:alert(1)" }, false},
		{"no home", func(c *identity.Client) { c.HomeURL = "" }, true},
		{"bad scope", func(c *identity.Client) { c.Scopes = []string{"openid email"} }, false},
		{"unknown algorithm", func(c *identity.Client) { c.IDTokenAlg = "HS256" }, false},
		{"algorithm none", func(c *identity.Client) { c.IDTokenAlg = "none" }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := webClient()
			c.change(&client)
			if err := client.Check(); (err == nil) != c.ok || err != nil && !errors.Is(err, identity.ErrClient) {
				t.Errorf("Check = %v", err)
			}
		})
	}
}

func TestOnlySinglePageApplicationsHaveOrigins(t *testing.T) {
	c := webClient()
	if c.AllowsOrigin("https://mail.example") {
		t.Error("a web application's origin may call")
	}
	c.Kind = spa
	for origin, want := range map[string]bool{
		"https://mail.example": true, "": false, "null": false, "https://mail.example:443": false, "https://mail.example/": false,
		"https://evil.example": false, "http://mail.example": false, "https://mail.example.evil.example": false,
	} {
		if got := c.AllowsOrigin(origin); got != want {
			t.Errorf("AllowsOrigin(%q) = %t", origin, got)
		}
	}
	c.RedirectURIs = []string{"com.example:/cb"}
	if c.AllowsOrigin("") {
		t.Error("no origin is an origin")
	}
}

func TestClientStates(t *testing.T) {
	c := webClient()
	if c.Public() || c.Disabled() || !c.MayUse(identity.GrantCode) || c.MayUse("password") || c.MayUse("") {
		t.Errorf("%+v", c)
	}
	c.Auth, c.DisabledAt = identity.AuthNone, instant()
	if !c.Public() || !c.Disabled() {
		t.Errorf("%+v", c)
	}
}

func TestSessionAndGrantLive(t *testing.T) {
	now := instant()
	session := *sessionOf("ses_1", "anna")
	grant := identity.Grant{ID: "grt_1", Epoch: 3, ExpiresAt: now.Add(time.Hour)}
	if !session.Live("frt_1", 3, now) || !grant.Live(3, now) {
		t.Fatal("neither ended nor expired, yet not live")
	}
	if session.Live("frt_2", 3, now) || session.Live("frt_1", 4, now) || session.Live("frt_1", 3, session.ExpiresAt) {
		t.Error("a session lives at another front, in another epoch or beyond its end")
	}
	if grant.Live(2, now) || grant.Live(3, grant.ExpiresAt) {
		t.Error("a grant lives in another epoch or beyond its end")
	}
	session.EndedAt, grant.RevokedAt = now, now
	if session.Live("frt_1", 3, now) || grant.Live(3, now) {
		t.Error("live after its end")
	}
	if (identity.Session{ExpiresAt: now.Add(1)}).Live("", 0, now) || (identity.Grant{ExpiresAt: now.Add(1)}).Live(0, now) {
		t.Error("the row that is not there lives")
	}
}

func TestACRFollowsFromTheMethods(t *testing.T) {
	if identity.ACRFor(nil) != "" || identity.ACRFor([]string{"mfa"}) != "" || identity.ACRFor([]string{identity.MethodPassword}) != identity.ACRSingle {
		t.Error("ACRFor")
	}
}
