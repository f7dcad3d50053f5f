package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"simplon/console"
)

type clientCommand struct {
	Create       clientCreate `cmd:"" help:"Register an application."`
	List         clientList   `cmd:"" help:"List applications, oldest first."`
	Show         clientShow   `cmd:"" help:"Show one application."`
	RotateSecret clientRotate `cmd:"" help:"Give an application a new secret; the old one stops working."`
}

type clientCreate struct {
	Name                 string   `required:"" help:"Name that people see."`
	Kind                 string   `default:"web" enum:"web,spa,native" help:"web, spa or native."`
	Auth                 string   `default:"" enum:",client_secret_basic,client_secret_post,none" help:"Client authentication; default by kind."`
	RedirectURI          []string `required:"" sep:"none" help:"Where answers may go, compared character by character; repeatable." placeholder:"URI"`
	PostLogoutURI        []string `sep:"none" help:"Where a sign-out may lead; repeatable." placeholder:"URI"`
	Scope                []string `help:"Scopes it may ask; default openid, profile, email, offline_access."`
	FirstParty           bool     `help:"One of your own applications: no consent page."`
	IDTokenAlg           string   `name:"id-token-alg" default:"" enum:",RS256,ES256,EdDSA" help:"Algorithm of its ID tokens; default RS256."`
	HomeURL              string   `help:"Where a person starts again." placeholder:"URL"`
	InsecurePKCEOptional bool     `name:"insecure-pkce-optional" help:"Allow requests without PKCE, for an old application that has a secret."`
}

// Run registers the application and prints its secret, once.
func (n clientCreate) Run(s *session) error {
	c, err := s.config()
	if err != nil {
		return err
	}
	client, err := call[console.Client](s, c, "client.create", console.NewClient{
		Name: n.Name, Kind: n.Kind, Auth: n.Auth, RedirectURIs: n.RedirectURI, PostLogoutURIs: n.PostLogoutURI, Scopes: strings.Fields(strings.Join(n.Scope, " ")),
		FirstParty: n.FirstParty, InsecurePKCEOptional: n.InsecurePKCEOptional, IDTokenAlg: n.IDTokenAlg, HomeURL: n.HomeURL})
	if err != nil {
		return err
	}
	return s.print(client, func(w io.Writer) { printClient(w, client) })
}

func printClient(w io.Writer, c console.Client) {
	fmt.Fprintf(w, "issuer         %s\nclient id      %s\n", c.Issuer, c.ID)
	if c.Secret != "" {
		fmt.Fprintf(w, "client secret  %s   (shown once)\n", c.Secret)
	}
	fmt.Fprintf(w, "name           %s\nkind           %s, %s\nredirect URIs  %s\n", c.Name, c.Kind, c.Auth, strings.Join(c.RedirectURIs, "\n               "))
	if len(c.PostLogoutURIs) > 0 {
		fmt.Fprintf(w, "post-logout    %s\n", strings.Join(c.PostLogoutURIs, "\n               "))
	}
	fmt.Fprintf(w, "scopes         %s\nID tokens      %s\nfirst party    %t\n", strings.Join(c.Scopes, " "), c.IDTokenAlg, c.FirstParty)
	if c.PKCEOptional {
		fmt.Fprintln(w, "PKCE           optional (insecure)")
	}
}

type clientList struct{}

// Run lists the applications.
func (clientList) Run(s *session) error {
	c, err := s.config()
	if err != nil {
		return err
	}
	all, err := call[[]console.Client](s, c, "client.list", struct{}{})
	if err != nil {
		return err
	}
	return s.print(all, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		fmt.Fprintln(t, "ID\tNAME\tKIND\tREDIRECT URI")
		for _, a := range all {
			first := ""
			if len(a.RedirectURIs) > 0 {
				first = a.RedirectURIs[0]
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", a.ID, a.Name, a.Kind, first)
		}
		_ = t.Flush() // to s.out: nothing left to do about a closed pipe
	})
}

type clientShow struct {
	ID string `arg:"" help:"Client id."`
}

// Run shows the application, without its secret.
func (n clientShow) Run(s *session) error {
	return s.clientVerb("client.show", n.ID)
}

type clientRotate struct {
	ID  string `arg:"" help:"Client id."`
	Yes bool   `help:"Do it: the old secret stops working at once."`
}

// Run replaces the secret and prints the new one, once.
func (n clientRotate) Run(s *session) error {
	if !n.Yes {
		return usageError{fmt.Errorf("the old secret of %s stops working at once; say --yes to go on", n.ID)}
	}
	return s.clientVerb("client.rotate-secret", n.ID)
}

func (s *session) clientVerb(name, id string) error {
	c, err := s.config()
	if err != nil {
		return err
	}
	client, err := call[console.Client](s, c, name, named{id})
	if err != nil {
		return err
	}
	return s.print(client, func(w io.Writer) { printClient(w, client) })
}
