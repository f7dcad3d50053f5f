package sqldb

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"simplon/sqldb/pgtest"
)

func openURL(t *testing.T, c Config) *DB {
	t.Helper()
	db, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func TestPostgresSessionsHaveLimits(t *testing.T) {
	u := pgtest.New(t)
	read := func(db *DB, name string) (s string) {
		t.Helper()
		if err := db.QueryRow("SELECT current_setting($1)", name).Scan(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	db := openURL(t, Config{URL: u})
	for name, want := range map[string]string{
		"statement_timeout": "10s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "10s", "TimeZone": "UTC",
	} {
		if got := read(db, name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	withOption, err := url.Parse(u)
	if err != nil {
		t.Fatal(err)
	}
	query := withOption.Query()
	query.Set("statement_timeout", "3s")
	withOption.RawQuery = query.Encode()
	if got := read(openURL(t, Config{URL: withOption.String()}), "statement_timeout"); got != "3s" {
		t.Errorf("statement_timeout of the URL: %q", got)
	}
	err = db.Tx(t.Context(), func(tx *Tx) error {
		var level string
		err := tx.QueryRow("SHOW transaction_isolation").Scan(&level)
		if level != "serializable" {
			t.Errorf("isolation = %q", level)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// refuse makes the server end the statement with a given error.
func refuse(tx *Tx, code string) error {
	_, err := tx.Exec("DO $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '" + code + "'; END $$")
	return err
}

func TestPostgresRetriesRefusedTransactionsAndThenGivesUp(t *testing.T) {
	var pauses []time.Duration
	db := openURL(t, Config{URL: pgtest.New(t), Jitter: func(limit time.Duration) time.Duration {
		pauses = append(pauses, limit)
		return 0
	}})
	for _, code := range []string{"40001", "40P01"} {
		runs := 0
		pauses = nil
		err := db.Tx(t.Context(), func(tx *Tx) error { runs++; return refuse(tx, code) })
		if !errors.Is(err, ErrBusyRetries) || runs != 6 {
			t.Errorf("%s: %d runs, %v", code, runs, err)
		}
		if len(pauses) != 5 || pauses[0] > 10*time.Millisecond || pauses[4] != 16*pauses[0] {
			t.Errorf("%s: pauses %v", code, pauses)
		}
		runs = 0
		err = db.Tx(t.Context(), func(tx *Tx) error {
			if runs++; runs < 6 {
				_ = refuse(tx, code)
				return errors.New("made something else of it")
			}
			return nil
		})
		if err != nil || runs != 6 {
			t.Errorf("%s: %d runs, %v", code, runs, err)
		}
	}
	runs := 0
	if err := db.Tx(t.Context(), func(tx *Tx) error { runs++; return refuse(tx, "23514") }); err == nil || runs != 1 {
		t.Errorf("another error: %d runs, %v", runs, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	runs = 0
	err := db.Tx(ctx, func(tx *Tx) error { runs++; cancel(); return refuse(tx, "40001") })
	if !errors.Is(err, context.Canceled) || runs != 1 {
		t.Errorf("given up between runs: %d runs, %v", runs, err)
	}
}

func TestPostgresReplacesConnectionsThatDiedIdle(t *testing.T) {
	u := pgtest.New(t)
	db := openURL(t, Config{URL: u, MaxConns: 2})
	admin := openURL(t, Config{URL: u, MaxConns: 1})
	kill := func() {
		t.Helper()
		err := admin.Each("SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
			nil, func(Row) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	kill()
	if err := db.Tx(t.Context(), func(*Tx) error { return nil }); err != nil {
		t.Errorf("transaction after a restart: %v", err)
	}
	kill()
	if err := db.Ping(t.Context()); err != nil {
		t.Errorf("ping after a restart: %v", err)
	}
}

// cutter forwards connections to the server and breaks them once a client has
// sent COMMIT: the server gets it, the answer never comes.
type cutter struct {
	network, address string // of the server
	armed            atomic.Bool
}

func (c *cutter) serve(l net.Listener) {
	var all sync.WaitGroup
	defer all.Wait()
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		all.Go(func() { c.forward(client) })
	}
}

func (c *cutter) forward(client net.Conn) {
	defer client.Close()
	server, err := net.Dial(c.network, c.address)
	if err != nil {
		return
	}
	answers := make(chan struct{})
	var mute atomic.Bool
	go func() {
		defer close(answers)
		buf := make([]byte, 4096)
		for {
			n, err := server.Read(buf)
			if err != nil {
				_ = client.Close()
				return
			}
			if !mute.Load() {
				_, _ = client.Write(buf[:n])
			}
		}
	}()
	buf := make([]byte, 4096)
	for {
		n, err := client.Read(buf)
		if err != nil {
			break
		}
		cut := c.armed.Load() && bytes.Contains(buf[:n], []byte("commit"))
		mute.Store(cut)
		if _, err := server.Write(buf[:n]); err != nil || cut {
			break
		}
	}
	if half, ok := server.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite()
	}
	<-answers // until the server has done what it was told and hung up
	_ = server.Close()
}

func TestPostgresLostAtCommitIsUnknownAndNotRetried(t *testing.T) {
	direct := pgtest.New(t)
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{network: "tcp", address: u.Host}
	if dir := u.Query().Get("host"); dir != "" {
		c.network, c.address = "unix", dir+"/.s.PGSQL.5432"
	}
	var serving sync.WaitGroup
	serving.Go(func() { c.serve(l) })
	t.Cleanup(func() { _ = l.Close(); serving.Wait() })
	u.Host, u.RawQuery = l.Addr().String(), "sslmode=disable"

	db := openURL(t, Config{URL: u.String()})
	write(t, db, "CREATE TABLE a (n BIGINT)")
	c.armed.Store(true)
	runs := 0
	err = db.Tx(t.Context(), func(tx *Tx) error {
		runs++
		_, err := tx.Exec("INSERT INTO a (n) VALUES (1)")
		return err
	})
	if !errors.Is(err, ErrUnknownOutcome) || errors.Is(err, ErrBusyRetries) || runs != 1 {
		t.Errorf("%d runs, %v", runs, err)
	}
	c.armed.Store(false)
	var n int
	if err := db.QueryRow("SELECT count(*) FROM a").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d rows, %v: a retry would have made two", n, err)
	}
}
