// Command simplon is the whole product: the server and the commands of those who
// run it. This package owns the configuration, the wiring (serve.go, readable
// from top to bottom) and the command line; every rule lives in the packages it
// wires together.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"simplon/console"
)

// version is set by the linker in a release build.
const version = "0.1.0-dev"

// Exit codes that scripts rely on.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitNotFound = 3
)

// command is the grammar of the command line.
type command struct {
	Config string `help:"Configuration file; without it, defaults and SIMPLON_ variables." type:"path" placeholder:"FILE"`
	JSON   bool   `name:"json" help:"Print JSON."`

	Serve       serveCommand       `cmd:"" help:"Run the server."`
	Init        initCommand        `cmd:"" help:"Write a configuration file for production."`
	CheckConfig checkConfigCommand `cmd:"" help:"Check the configuration without starting."`
	SetupLink   setupLinkCommand   `cmd:"" help:"Make a one-time link at which somebody becomes administrator."`
	Account     accountCommand     `cmd:"" help:"Accounts of people."`
	Client      clientCommand      `cmd:"" help:"Applications that people sign in to."`
	Version     versionCommand     `cmd:"" help:"Print the version."`
}

// session is what a command gets: where to read and write, and how to reach the
// installation.
type session struct {
	ctx    context.Context
	in     io.Reader
	out    io.Writer
	errOut io.Writer
	env    []string
	path   string
	json   bool
}

// config loads and checks the configuration.
func (s *session) config() (Config, error) {
	c, err := LoadConfig(s.path, s.env)
	if err != nil {
		return c, usageError{err}
	}
	if err := c.Validate(); err != nil {
		return c, usageError{err}
	}
	return c, nil
}

// usageError is a mistake in how simplon was called or configured.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main without the process: it returns the exit code.
func run(ctx context.Context, args, env []string, in io.Reader, out, errOut io.Writer) int {
	var c command
	exited := -1
	parser, err := kong.New(&c, kong.Name("simplon"), kong.Writers(out, errOut), kong.Exit(func(code int) { exited = code }),
		kong.Description("Simplon signs people in: an identity provider in one program."), kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		fmt.Fprintln(errOut, "simplon:", err)
		return exitFailed
	}
	parsed, err := parser.Parse(args)
	if exited >= 0 {
		return exited // --help
	}
	if err != nil {
		fmt.Fprintln(errOut, "simplon:", err)
		return exitUsage
	}
	s := &session{ctx: ctx, in: in, out: out, errOut: errOut, env: env, path: c.Config, json: c.JSON}
	if err := parsed.Run(s); err != nil {
		fmt.Fprintln(errOut, "simplon:", err)
		return exitCode(err)
	}
	return exitOK
}

func exitCode(err error) int {
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	var refusal *console.Refusal
	if errors.As(err, &refusal) && refusal.NotFound {
		return exitNotFound
	}
	return exitFailed
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(s *session) error {
	return s.print(map[string]string{"version": version}, func(w io.Writer) { fmt.Fprintln(w, "simplon", version) })
}
