package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"simplon/identity"
	"simplon/secret"
)

// refused ends the test unless err is a sentence for an operator that says want.
func refused(t *testing.T, err error, want string) {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) || !strings.Contains(r.Text, want) {
		t.Errorf("got %v, want a refusal that says %q", err, want)
	}
}

func TestCreateAccount(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		got, err := w.acts.CreateAccount(ctx, "cli:1000", NewAccount{Login: " Ada@Example.org ", GivenName: "Ada", FamilyName: "Byron", Password: goodPassword})
		w.check(err)
		if got.Login != "Ada@Example.org" || got.Administrator || !got.HasPassword || got.Disabled || !got.CreatedAt.Equal(w.clock.now()) {
			t.Errorf("%+v", got)
		}
		if n := w.count(`SELECT COUNT(*) FROM event WHERE kind = $1 AND actor = 'cli:1000' AND account_id = $2`, identity.EventAccountCreated, got.ID); n != 1 {
			t.Errorf("%d events", n)
		}
		_, err = w.acts.CreateAccount(ctx, "cli", NewAccount{Login: "ada@EXAMPLE.org"})
		refused(t, err, "exists already")
		empty, err := w.acts.CreateAccount(ctx, "cli", NewAccount{Login: "empty@example.org"})
		w.check(err)
		if empty.HasPassword {
			t.Error("a password nobody gave")
		}
		for name, row := range map[string]struct {
			n    NewAccount
			want string
		}{
			"no address":     {NewAccount{}, "not a valid e-mail address"},
			"bad address":    {NewAccount{Login: "ada"}, "not a valid e-mail address"},
			"quoted address": {NewAccount{Login: `"a b"@example.org`}, "not a valid e-mail address"},
			"NUL":            {NewAccount{Login: "a\x00@example.org"}, "not a valid e-mail address"},
			"long name":      {NewAccount{Login: "b@example.org", GivenName: strings.Repeat("x", 81)}, "80 characters"},
			"control":        {NewAccount{Login: "b@example.org", FamilyName: "x\x1b[2J"}, "control characters"},
			"override":       {NewAccount{Login: "b@example.org", FamilyName: "x\u202ey"}, "control characters"},
			"short":          {NewAccount{Login: "b@example.org", Password: "fourteen chars"}, "at least 15"},
			"long":           {NewAccount{Login: "b@example.org", Password: secret.Text(strings.Repeat("ab cd", 300))}, "1024 bytes"},
			"easy":           {NewAccount{Login: "b@example.org", Password: "password password"}, "too easy"},
			"own address":    {NewAccount{Login: "brigitte@example.org", Password: "brigitte@example.org"}, "too easy"},
		} {
			_, err := w.acts.CreateAccount(ctx, "cli", row.n)
			if err == nil {
				t.Errorf("%s was taken", name)
				continue
			}
			refused(t, err, row.want)
		}
		if n := w.count(`SELECT COUNT(*) FROM account`); n != 2 {
			t.Errorf("%d accounts", n)
		}
	})
}

func TestAccountsAreListedWithoutSecrets(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		var want []string
		for i := range 5 {
			a, err := w.acts.CreateAccount(ctx, "cli", NewAccount{Login: fmt.Sprintf("p%d@example.org", i), Password: goodPassword})
			w.check(err)
			want = append(want, a.ID)
			w.clock.advance(time.Second)
		}
		list, err := w.acts.Accounts(ctx)
		w.check(err)
		for i, a := range list {
			if a.ID != want[i] {
				t.Errorf("%d is %s", i, a.Login)
			}
		}
		if len(list) != len(want) {
			t.Errorf("%d accounts", len(list))
		}
		out, err := json.Marshal(list)
		w.check(err)
		for _, leak := range []string{goodPassword, "argon2", "password\":\""} {
			if strings.Contains(string(out), leak) {
				t.Errorf("the list holds %q", leak)
			}
		}
		for _, name := range []string{want[2], "p2@example.org", "P2@EXAMPLE.ORG"} {
			if a, err := w.acts.FindAccount(ctx, name); err != nil || a.ID != want[2] {
				t.Errorf("%s: %v %v", name, a, err)
			}
		}
		for _, name := range []string{"", "acc_x", "nobody@example.org", "%"} {
			_, err := w.acts.FindAccount(ctx, name)
			var r *Refusal
			if !errors.As(err, &r) || !r.NotFound {
				t.Errorf("%q: %v", name, err)
			}
		}
	})
}

func TestCreateClient(t *testing.T) {
	onEachEngine(t, func(t *testing.T, w *world) {
		ctx := context.Background()
		got, err := w.acts.CreateClient(ctx, "cli:1000", NewClient{Name: "Shop", RedirectURIs: []string{"https://shop.example/cb"}})
		w.check(err)
		if got.Kind != "web" || got.Auth != "client_secret_basic" || got.IDTokenAlg != "RS256" || got.PKCEOptional || got.FirstParty ||
			!strings.HasPrefix(got.Secret, prefixSecret) || got.Issuer != w.acts.Issuer || strings.Join(got.Scopes, " ") != "openid profile email offline_access" {
			t.Errorf("%+v", got)
		}
		stored, err := w.acts.DB.Client(got.ID)
		w.check(err)
		if !secret.Equal(stored.SecretHash, secret.Digest(got.Secret)) || stored.FrontID != w.acts.Front.ID {
			t.Errorf("%+v", stored)
		}
		again, err := w.acts.FindClient(ctx, got.ID)
		w.check(err)
		list, err := w.acts.Clients(ctx)
		w.check(err)
		if again.Secret != "" || len(list) != 1 || list[0].Secret != "" {
			t.Error("the secret is shown a second time")
		}
		for kind, uri := range map[string]string{"spa": "https://spa.example/cb", "native": "com.example.app:/cb"} {
			public, err := w.acts.CreateClient(ctx, "cli", NewClient{Name: "App", Kind: kind, RedirectURIs: []string{uri}})
			w.check(err)
			if public.Secret != "" || public.Auth != "none" {
				t.Errorf("%s: %+v", kind, public)
			}
			_, err = w.acts.RotateSecret(ctx, "cli", public.ID)
			refused(t, err, "has no secret")
		}
		if n := w.count(`SELECT COUNT(*) FROM event WHERE kind = $1 AND actor = 'cli:1000'`, identity.EventClientCreated); n != 1 {
			t.Errorf("%d events", n)
		}
		if yes, err := w.acts.DB.OriginRegistered(w.acts.Front.ID, "https://spa.example"); err != nil || !yes {
			t.Errorf("the origin of a script is not registered: %v", err)
		}
		if yes, err := w.acts.DB.OriginRegistered(w.acts.Front.ID, "https://shop.example"); err != nil || yes {
			t.Errorf("the origin of a server is registered: %v", err)
		}
	})
}

func TestClientsThatAreRefused(t *testing.T) {
	w := newWorld(t)
	good := []string{"https://shop.example/cb"}
	for name, row := range map[string]struct {
		n    NewClient
		want string
	}{
		"no name":             {NewClient{RedirectURIs: good}, "name"},
		"name with controls":  {NewClient{Name: "a\nb", RedirectURIs: good}, "name"},
		"no redirect":         {NewClient{Name: "S"}, "redirect URI"},
		"http":                {NewClient{Name: "S", RedirectURIs: []string{"http://shop.example/cb"}}, "https"},
		"wildcard":            {NewClient{Name: "S", RedirectURIs: []string{"https://*.shop.example/cb"}}, "character"},
		"fragment":            {NewClient{Name: "S", RedirectURIs: []string{"https://shop.example/#cb"}}, "fragment"},
		"user":                {NewClient{Name: "S", RedirectURIs: []string{"https://u:p@shop.example/cb"}}, "user information"},
		"script":              {NewClient{Name: "S", RedirectURIs: []string{"javascript:alert(1)"}}, "scheme"},
		"script, native":      {NewClient{Name: "S", Kind: "native", RedirectURIs: []string{"javascript:alert(1)"}}, "reversed domain"},
		"one bad of two":      {NewClient{Name: "S", RedirectURIs: append([]string{"http://evil.example/"}, good...)}, "https"},
		"bad post-logout":     {NewClient{Name: "S", RedirectURIs: good, PostLogoutURIs: []string{"http://evil.example/"}}, "https"},
		"bad home":            {NewClient{Name: "S", RedirectURIs: good, HomeURL: "javascript:alert(1)"}, "home URL"},
		"bad scope":           {NewClient{Name: "S", RedirectURIs: good, Scopes: []string{"a b"}}, "scope"},
		"kind":                {NewClient{Name: "S", Kind: "robot", RedirectURIs: good}, "kind"},
		"machine":             {NewClient{Name: "S", Kind: "machine"}, "machine"},
		"public web":          {NewClient{Name: "S", Auth: "none", RedirectURIs: good}, "client_secret_basic"},
		"secret spa":          {NewClient{Name: "S", Kind: "spa", Auth: "client_secret_post", RedirectURIs: good}, "cannot keep a secret"},
		"auth":                {NewClient{Name: "S", Auth: "private_key_jwt", RedirectURIs: good}, "client_secret_basic"},
		"public without PKCE": {NewClient{Name: "S", Kind: "spa", InsecurePKCEOptional: true, RedirectURIs: good}, "PKCE"},
		"algorithm none":      {NewClient{Name: "S", IDTokenAlg: "none", RedirectURIs: good}, "none"},
		"algorithm HS256":     {NewClient{Name: "S", IDTokenAlg: "HS256", RedirectURIs: good}, "HS256"},
		"algorithm not here":  {NewClient{Name: "S", IDTokenAlg: "EdDSA", RedirectURIs: good}, "EdDSA"},
	} {
		_, err := w.acts.CreateClient(context.Background(), "cli", row.n)
		if err == nil {
			t.Errorf("%s was taken", name)
			continue
		}
		refused(t, err, row.want)
	}
	if n := w.count(`SELECT COUNT(*) FROM client`) + w.count(`SELECT COUNT(*) FROM event`); n != 0 {
		t.Errorf("%d rows", n)
	}
}

func TestRotatingASecretEndsTheOldOne(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	first, err := w.acts.CreateClient(ctx, "cli", NewClient{Name: "Shop", RedirectURIs: []string{"https://shop.example/cb"}})
	w.check(err)
	second, err := w.acts.RotateSecret(ctx, "cli:0", first.ID)
	w.check(err)
	stored, err := w.acts.DB.Client(first.ID)
	w.check(err)
	if second.Secret == first.Secret || !secret.Equal(stored.SecretHash, secret.Digest(second.Secret)) || second.ID != first.ID {
		t.Errorf("%+v", second)
	}
	if n := w.count(`SELECT COUNT(*) FROM event WHERE kind = $1 AND actor = 'cli:0' AND client_id = $2`, identity.EventSecretRotated, first.ID); n != 1 {
		t.Errorf("%d events", n)
	}
	_, err = w.acts.RotateSecret(ctx, "cli", "app_x")
	var r *Refusal
	if !errors.As(err, &r) || !r.NotFound {
		t.Errorf("a client that is not there: %v", err)
	}
}

func TestFirstAlgorithmStandsInForOneThatIsNotInstalled(t *testing.T) {
	w := newWorld(t)
	w.acts.Algs = []string{"EdDSA", "ES256"}
	c, err := w.acts.CreateClient(context.Background(), "cli", NewClient{Name: "Shop", RedirectURIs: []string{"https://shop.example/cb"}})
	w.check(err)
	if c.IDTokenAlg != "EdDSA" {
		t.Errorf("algorithm %s", c.IDTokenAlg)
	}
}
