// Command pgserver starts a private PostgreSQL server, prints the superuser's
// URL as one line and runs until its standard input closes or it is told to
// end. Nothing of the server remains.
//
// It is how a Makefile gives one server to many test processes:
//
//	mkfifo p; pgserver < p > url & exec 3> p; …; exec 3>&-
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"simplon/sqldb/pgtest"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "pgserver:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	server, err := pgtest.Start(ctx)
	if err != nil {
		return err
	}
	if _, err := fmt.Println(server.URL()); err != nil {
		return errors.Join(err, server.Stop())
	}
	closed := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // what is typed means nothing
		close(closed)
	}()
	select {
	case <-closed:
	case <-ctx.Done():
	}
	return server.Stop()
}
