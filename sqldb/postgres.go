package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"hash/fnv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
)

const (
	defaultPostgresConns = 16
	connectTimeout       = 5 * time.Second
	connMaxIdle          = 5 * time.Minute
	connMaxLifetime      = time.Hour // so that nodes spread out again after a failover
	// deadPeer ends what the server's own timeouts cannot: waiting for a server
	// that fell silent. It is longer than all of them.
	deadPeer = time.Minute
	// maxRetries is how often a transaction refused by the server runs again.
	maxRetries = 5
	firstPause = 4 * time.Millisecond // doubles with every retry
	// beginAttempts covers pooled connections that died while idle.
	beginAttempts = 4
)

// sessionDefaults bound every wait on the server; options of the URL win. They
// travel in the start-up message, so they cost no round trip.
func sessionDefaults() map[string]string {
	return map[string]string{
		"statement_timeout":                   "10s",
		"lock_timeout":                        "5s",
		"idle_in_transaction_session_timeout": "10s",
	}
}

type postgresBackend struct {
	pool       *sql.DB
	keys       *keyLocks
	jitter     func(time.Duration) time.Duration
	statements *atomic.Uint64
}

func openPostgres(ctx context.Context, c Config, statements *atomic.Uint64) (*postgresBackend, error) {
	pc, err := pgx.ParseConfig(c.URL)
	if err != nil {
		return nil, err // pgx hides the password
	}
	for name, value := range sessionDefaults() {
		if _, set := pc.RuntimeParams[name]; !set {
			pc.RuntimeParams[name] = value
		}
	}
	pc.RuntimeParams["timezone"] = "UTC"
	if pc.ConnectTimeout == 0 {
		pc.ConnectTimeout = connectTimeout
	}
	conns := c.MaxConns
	if conns == 0 {
		conns = defaultPostgresConns
	}
	pool := stdlib.OpenDB(*pc)
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	pool.SetConnMaxIdleTime(connMaxIdle)
	pool.SetConnMaxLifetime(connMaxLifetime)
	b := &postgresBackend{pool: pool, keys: newKeyLocks(), jitter: c.Jitter, statements: statements}
	if err := pool.PingContext(ctx); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return b, nil
}

func (b *postgresBackend) query(query string, args []any) (*sql.Rows, func(), error) {
	ctx, cancel := context.WithTimeout(context.Background(), deadPeer)
	rows, err := b.pool.QueryContext(ctx, query, args...)
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return rows, cancel, nil
}

func (b *postgresBackend) run(ctx context.Context, key string, fn func(*Tx) error) error {
	unlock, err := b.keys.lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()
	return b.retry(ctx, func() (again bool, err error) {
		// A connection per attempt: while this one pauses, others may use it.
		session, end, err := b.begin(ctx)
		if err != nil {
			return false, err
		}
		defer end()
		return b.attempt(session, fn)
	})
}

// retry runs attempt until it need not run again, with growing random pauses.
func (b *postgresBackend) retry(ctx context.Context, attempt func() (again bool, err error)) error {
	for n := 0; ; n++ {
		again, err := attempt()
		if !again {
			return err
		}
		if n == maxRetries {
			return fmt.Errorf("%w: %w", ErrBusyRetries, err)
		}
		pause := firstPause << n
		if err := sleep(ctx, pause/2+b.jitter(pause)); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin waits for a connection as long as ctx allows, and begins a transaction
// that ctx no longer touches. A connection that turns out dead before BEGIN is
// replaced: nothing has happened on it.
//
// The caller ends the transaction, then calls end.
func (b *postgresBackend) begin(ctx context.Context) (session pgSession, end func(), err error) {
	for n := 1; ; n++ {
		conn, err := b.pool.Conn(ctx)
		if err != nil {
			return pgSession{}, nil, fmt.Errorf("sqldb: begin: %w", err)
		}
		txCtx, cancel := context.WithTimeout(context.Background(), deadPeer)
		session, err := beginOn(txCtx, conn)
		if err == nil {
			return session, func() { cancel(); _ = conn.Close() }, nil
		}
		cancel()
		discard(conn)
		if n == beginAttempts || ctx.Err() != nil {
			return pgSession{}, nil, err
		}
	}
}

// beginOn begins a transaction whose statements ctx bounds.
func beginOn(ctx context.Context, conn *sql.Conn) (pgSession, error) {
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelSerializable})
	if err != nil {
		return pgSession{}, fmt.Errorf("sqldb: begin: %w", err)
	}
	return pgSession{ctx, tx}, nil
}

// attempt runs the closure once and ends the transaction. again means that the server
// refused the transaction and running it again may help.
func (b *postgresBackend) attempt(s pgSession, fn func(*Tx) error) (again bool, err error) {
	b.statements.Add(1)
	ended := false
	defer func() { // also when fn panics or ends its goroutine
		if !ended {
			_ = s.tx.Rollback() // the server rolls back by itself if this fails
		}
	}()
	t := &Tx{session: s, statements: b.statements}
	if err := t.call(fn); err != nil {
		// What the closure made of the failure does not matter: the transaction
		// is gone, and its verdict was reached inside it.
		if isSerialization(t.failed) {
			return true, t.failed
		}
		return false, err
	}
	ended = true
	if err := s.tx.Commit(); err != nil {
		return isSerialization(err), commitError(err)
	}
	return false, nil
}

// commitError tells a COMMIT that the server refused from one whose answer is
// missing. Only an error of severity ERROR says that the server goes on and did
// roll back; FATAL ones may come after the commit was made durable.
func commitError(err error) error {
	if errors.Is(err, pgx.ErrTxCommitRollback) {
		return fmt.Errorf("sqldb: commit: %w", err)
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.SeverityUnlocalized == "ERROR" {
		return fmt.Errorf("sqldb: commit: %w", err)
	}
	return fmt.Errorf("%w: commit: %w", ErrUnknownOutcome, err)
}

// exclusive holds a session-level advisory lock. The transactions run on the
// session that holds it, so that losing the lock is losing the transaction too.
func (b *postgresBackend) exclusive(ctx context.Context, name string, fn func(runTx) error) error {
	conn, err := b.pool.Conn(ctx)
	if err != nil {
		return err
	}
	defer discard(conn) // frees the lock and forgets the settings below
	hash := fnv.New64a()
	hash.Write([]byte("sqldb:" + name))
	for _, s := range []string{
		// Another process may be at it for long; ctx bounds the wait.
		"SET statement_timeout = 0", "SET lock_timeout = 0",
		fmt.Sprintf("SELECT pg_advisory_lock(%d)", int64(hash.Sum64())),
		// From here on others wait for us: never long for a table lock.
		"SET lock_timeout = '10s'",
	} {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("sqldb: lock %s: %w", name, err)
		}
	}
	return fn(func(body func(*Tx) error) error {
		return b.retry(ctx, func() (bool, error) {
			if err := ctx.Err(); err != nil {
				return false, err
			}
			session, err := beginOn(context.Background(), conn)
			if err != nil {
				return false, err
			}
			return b.attempt(session, body)
		})
	})
}

// copyBefore does nothing: a PostgreSQL server has its own backups.
func (b *postgresBackend) copyBefore(int, time.Time) (string, error) { return "", nil }

func (b *postgresBackend) ping(ctx context.Context) error { return b.pool.PingContext(ctx) }

func (b *postgresBackend) close() error { return b.pool.Close() }

// discard closes a connection instead of giving it back to the pool.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = conn.Close()
}

// pgSession sends statements in a transaction. The context of the transaction,
// given when it began, bounds them all.
type pgSession struct {
	ctx context.Context
	tx  *sql.Tx
}

func (s pgSession) query(query string, args []any) (*sql.Rows, error) {
	return s.tx.QueryContext(s.ctx, query, args...)
}

func (s pgSession) exec(query string, args []any) (sql.Result, error) {
	return s.tx.ExecContext(s.ctx, query, args...)
}
