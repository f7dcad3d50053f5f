package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"simplon/console"
)

type accountCommand struct {
	Create accountCreate `cmd:"" help:"Make an account."`
	List   accountList   `cmd:"" help:"List accounts, oldest first."`
	Show   accountShow   `cmd:"" help:"Show one account."`
}

type accountCreate struct {
	Login         string `required:"" help:"E-mail address the person signs in with." placeholder:"ADDRESS"`
	GivenName     string `help:"Given name."`
	FamilyName    string `help:"Family name."`
	Administrator bool   `help:"May operate this installation."`
	PasswordFile  string `help:"File whose first line is the password." type:"path" placeholder:"FILE" xor:"password"`
	PasswordStdin bool   `help:"Read the password from the first line of standard input." xor:"password"`
}

// Run makes the account.
func (a accountCreate) Run(s *session) error {
	c, err := s.config()
	if err != nil {
		return err
	}
	password, err := s.secretLine(a.PasswordFile, a.PasswordStdin)
	if err != nil {
		return err
	}
	// A map, because console.NewAccount redacts its password when marshalled.
	account, err := call[console.Account](s, c, "account.create", map[string]any{
		"login": a.Login, "given_name": a.GivenName, "family_name": a.FamilyName, "administrator": a.Administrator, "password": password})
	if err != nil {
		return err
	}
	return s.print(account, func(w io.Writer) { fmt.Fprintln(w, account.ID, account.Login) })
}

// secretLine reads a secret from where the person said; it never comes from a
// flag, which others on the machine could read.
func (s *session) secretLine(file string, stdin bool) (string, error) {
	var raw []byte
	var err error
	switch {
	case file != "":
		raw, err = os.ReadFile(file)
	case stdin:
		raw, err = io.ReadAll(io.LimitReader(s.in, 64<<10))
	default:
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("password: %w", err)
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	line = strings.TrimSuffix(line, "\r")
	if line == "" {
		return "", usageError{errors.New("the password is empty")}
	}
	return line, nil
}

type accountList struct{}

// Run lists the accounts.
func (accountList) Run(s *session) error {
	c, err := s.config()
	if err != nil {
		return err
	}
	all, err := call[[]console.Account](s, c, "account.list", struct{}{})
	if err != nil {
		return err
	}
	return s.print(all, func(w io.Writer) {
		t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
		fmt.Fprintln(t, "ID\tLOGIN\tNAME\tROLE\tCREATED")
		for _, a := range all {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", a.ID, a.Login, strings.TrimSpace(a.GivenName+" "+a.FamilyName), role(a), a.CreatedAt.Format(time.DateOnly))
		}
		_ = t.Flush() // to s.out: nothing left to do about a closed pipe
	})
}

func role(a console.Account) string {
	if a.Administrator {
		return "administrator"
	}
	return "-"
}

type accountShow struct {
	Name string `arg:"" help:"Id or login address."`
}

// Run shows the account.
func (a accountShow) Run(s *session) error {
	c, err := s.config()
	if err != nil {
		return err
	}
	account, err := call[console.Account](s, c, "account.show", named(a))
	if err != nil {
		return err
	}
	return s.print(account, func(w io.Writer) {
		fmt.Fprintf(w, "id             %s\nlogin          %s\nname           %s\nadministrator  %t\npassword set   %t\ndisabled       %t\ncreated        %s\n",
			account.ID, account.Login, strings.TrimSpace(account.GivenName+" "+account.FamilyName), account.Administrator,
			account.HasPassword, account.Disabled, account.CreatedAt.Format(time.RFC3339))
	})
}
