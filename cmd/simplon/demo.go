package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"simplon/console"
	"simplon/modules/demo"
	"simplon/secret"
)

// demoConfig moves everything into data_dir/demo and makes sure that nobody but
// this machine can reach a server whose passwords are printed.
func demoConfig(c Config) (Config, error) {
	for _, address := range append([]string{c.Demo.Listen}, c.Listen...) {
		if !loopbackAddress(address) {
			return c, usageError{fmt.Errorf("serve --demo listens on loopback only, not on %s", address)}
		}
	}
	inData := "sqlite:" + filepath.Join(c.DataDir, "simplon.db")
	c.DataDir = filepath.Join(c.DataDir, "demo")
	if c.Database.URL.Reveal() == inData {
		c.Database.URL = secret.Text("sqlite:" + filepath.Join(c.DataDir, "simplon.db"))
	}
	return c, nil
}

// demoState is what data_dir/demo/demo.json remembers from one start to the
// next: passwords of invented people and secrets of the demo's applications.
type demoState struct {
	Base   string       `json:"base"`
	People []demoPerson `json:"people"`
	Mail   demoClient   `json:"mail"`
	Wiki   demoClient   `json:"wiki"`
}

type demoPerson struct {
	Login      string `json:"login"`
	GivenName  string `json:"given_name"`
	FamilyName string `json:"family_name"`
	Password   string `json:"password"`
}

type demoClient struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// addDemo registers the demo's applications and people, once, opens its listener
// and prints who can sign in.
func addDemo(ctx context.Context, out io.Writer, c Config, in *installation, d *doors, log *slog.Logger) error {
	l, err := net.Listen("tcp", c.Demo.Listen)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	base := &url.URL{Scheme: "http", Host: l.Addr().String()}
	state, err := demoRows(ctx, filepath.Join(c.DataDir, "demo.json"), in.acts, base)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	var logins []string
	for _, p := range state.People {
		logins = append(logins, p.Login)
	}
	site, err := demo.New(demo.Config{
		Issuer: c.Issuer.String(), Base: base, People: logins, Log: log, Now: time.Now, Rand: rand.Reader,
		Mail: demo.App{ClientID: state.Mail.ID, ClientSecret: state.Mail.Secret},
		Wiki: demo.App{ClientID: state.Wiki.ID, ClientSecret: state.Wiki.Secret},
		HTTP: &http.Client{Timeout: 10 * time.Second},
	})
	if err != nil {
		return errors.Join(fmt.Errorf("demo: %w", err), l.Close())
	}
	d.add(publicServer(site.Handler(), log), l)
	fmt.Fprintf(out, "\n  Demo applications: %s\n  People who can sign in:\n", base)
	for _, p := range state.People {
		fmt.Fprintf(out, "    %-32s %s\n", p.Login, p.Password)
	}
	return nil
}

// demoRows loads what an earlier start made, or makes it. Where the demo moved
// to another address its applications are registered anew.
func demoRows(ctx context.Context, path string, acts *console.Acts, base *url.URL) (demoState, error) {
	var state demoState
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, &state)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return state, fmt.Errorf("demo: %s: %w", path, err)
	}
	if len(state.People) == 0 {
		// The file first, the accounts after: whoever stops the very first start
		// half-way gets the same people at the next.
		state.People = inventPeople(acts.Source)
		if err := state.save(path); err != nil {
			return state, err
		}
	}
	if err := createPeople(ctx, acts, state.People); err != nil {
		return state, err
	}
	if state.Base == base.String() {
		return state, nil
	}
	mailURIs, wikiURIs := demo.RedirectURIs(base)
	mailOut, wikiOut := demo.PostLogoutURIs(base)
	if state.Mail, err = demoApp(ctx, acts, "Nordwand Mail", base.JoinPath("mail"), mailURIs, mailOut); err != nil {
		return state, err
	}
	if state.Wiki, err = demoApp(ctx, acts, "Nordwand Wiki", base.JoinPath("wiki"), wikiURIs, wikiOut); err != nil {
		return state, err
	}
	state.Base = base.String()
	return state, state.save(path)
}

func (state demoState) save(path string) error {
	raw, err := json.MarshalIndent(state, "", "  ")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if err := os.WriteFile(path, append(raw, '\n'), 0o600); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

func demoApp(ctx context.Context, acts *console.Acts, name string, home *url.URL, redirects, logouts []string) (demoClient, error) {
	c, err := acts.CreateClient(ctx, "demo", console.NewClient{
		Name: name, Kind: "web", RedirectURIs: redirects, PostLogoutURIs: logouts, FirstParty: true, HomeURL: home.String()})
	if err != nil {
		return demoClient{}, fmt.Errorf("demo: %w", err)
	}
	return demoClient{ID: c.ID, Secret: c.Secret}, nil
}

func inventPeople(source *secret.Source) []demoPerson {
	people := []demoPerson{
		{Login: "lena.keller@nordwand.example", GivenName: "Lena", FamilyName: "Keller"},
		{Login: "marc.dubois@nordwand.example", GivenName: "Marc", FamilyName: "Dubois"},
	}
	for i := range people {
		people[i].Password = source.Password(5).Reveal()
	}
	return people
}

// createPeople makes the accounts that are not there yet.
func createPeople(ctx context.Context, acts *console.Acts, people []demoPerson) error {
	for _, p := range people {
		_, err := acts.FindAccount(ctx, p.Login)
		var refusal *console.Refusal
		if errors.As(err, &refusal) && refusal.NotFound {
			_, err = acts.CreateAccount(ctx, "demo", console.NewAccount{
				Login: p.Login, GivenName: p.GivenName, FamilyName: p.FamilyName, Password: secret.Text(p.Password)})
		}
		if err != nil {
			return fmt.Errorf("demo: %w", err)
		}
	}
	return nil
}
