// Package sqldb opens a SQL database, reads from it, runs write transactions,
// migrates its schema and recognises unique violations, with one behaviour on
// two engines: SQLite in a file and PostgreSQL over the network.
//
// It owns what differs between the engines: connection strings and pragmas,
// queueing and retries of transactions, error codes, the copy before a
// migration. It knows no table, no noun and no policy of the program that uses
// it, and it has no query builder: statements are plain SQL whose one text, with
// $1 binds, runs on both engines.
//
// What callers rely on, on both engines:
//
//   - A transaction is serializable: it behaves as if it ran alone. SQLite runs
//     them one after another; PostgreSQL detects conflicts and the closure is
//     run again, so closures must be re-runnable (see [DB.Tx]).
//   - The first failing statement ends its transaction: later statements return
//     the same error and nothing is committed. PostgreSQL works that way; here
//     SQLite does too. Meet expected conflicts with ON CONFLICT and the row
//     count.
//   - Rows never stay open: they are read inside a call.
package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"
)

// Engine names the database behind a [DB].
type Engine string

// The engines.
const (
	SQLite   Engine = "sqlite"
	Postgres Engine = "postgres"
)

// Errors that callers may test for with errors.Is.
var (
	// ErrNoRows is what Row.Scan returns when the query has no row.
	ErrNoRows = sql.ErrNoRows
	// ErrClosed is returned by every call after [DB.Close].
	ErrClosed = errors.New("sqldb: database is closed")
	// ErrBusyRetries means that the transaction did not happen because others
	// were in its way for too long: PostgreSQL refused it six times over, or
	// another process kept the SQLite file locked. Trying later may succeed.
	ErrBusyRetries = errors.New("sqldb: database too busy, retries used up")
	// ErrUnknownOutcome means that COMMIT was sent and its answer never came:
	// the transaction may or may not have happened. It is never retried here.
	ErrUnknownOutcome = errors.New("sqldb: outcome of the transaction is unknown")
	// ErrTxDone is returned by methods of a Tx whose closure has returned.
	ErrTxDone = sql.ErrTxDone
	// ErrSchemaNewer means that the database was migrated by a newer program.
	ErrSchemaNewer = errors.New("sqldb: database schema is newer than this program")
	// ErrMigrationChanged means that a migration file was edited after it had
	// been applied, or that the record of applied migrations has a hole.
	ErrMigrationChanged = errors.New("sqldb: applied migration differs from its file")
)

// Config says which database to open and how.
type Config struct {
	// URL is "sqlite:/path/file.db" or "postgres://…" (also "postgresql://").
	// Options of a PostgreSQL URL, statement_timeout for example, win over this
	// package's defaults; a SQLite URL takes no options.
	URL string
	// MaxConns bounds the PostgreSQL pool, or the SQLite connections that read.
	// 0 means 16, or for SQLite 4.
	MaxConns int
	// Now is the clock that stamps applied migrations; nil means time.Now.
	Now func() time.Time
	// Jitter returns a random duration in [0, limit), for the pause before a
	// retry. limit is positive. nil means a pseudo-random one. It must be safe
	// for concurrent use.
	Jitter func(limit time.Duration) time.Duration
}

// DB is an open database. Its methods are safe for concurrent use.
type DB struct {
	engine     Engine
	backend    backend
	now        func() time.Time
	statements *atomic.Uint64
	closed     atomic.Bool
}

// backend is what the two engines do differently.
type backend interface {
	// query sends a read outside any transaction. The caller closes rows, then
	// calls release.
	query(query string, args []any) (rows *sql.Rows, release func(), err error)
	// run is DB.TxOn; an empty key means no key.
	run(ctx context.Context, key string, fn func(*Tx) error) error
	// exclusive runs fn while no other process is inside its own exclusive
	// call on the same name; run gives fn one transaction per call.
	exclusive(ctx context.Context, name string, fn func(run runTx) error) error
	// copyBefore writes a copy of the last committed state, or does nothing on
	// an engine whose operators copy it themselves. It returns the copy's path.
	copyBefore(version int, at time.Time) (string, error)
	ping(ctx context.Context) error
	close() error
}

// runTx runs one transaction.
type runTx func(fn func(*Tx) error) error

// Open opens the database and checks that it answers. It creates a missing
// SQLite file (mode 0600, in an existing folder) and does not migrate.
// The context bounds opening only.
func Open(ctx context.Context, c Config) (*DB, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Jitter == nil {
		c.Jitter = rand.N[time.Duration] // spreads retries; guards no secret
	}
	if c.MaxConns < 0 {
		return nil, fmt.Errorf("sqldb: open: MaxConns is negative: %d", c.MaxConns)
	}
	db := &DB{now: c.Now, statements: new(atomic.Uint64)}
	scheme, rest, _ := strings.Cut(c.URL, ":")
	var err error
	switch scheme {
	case "sqlite":
		db.engine = SQLite
		db.backend, err = openSQLite(ctx, rest, c.MaxConns, db.statements)
	case "postgres", "postgresql":
		db.engine = Postgres
		db.backend, err = openPostgres(ctx, c, db.statements)
	default:
		// The URL may hold a password: only what stands before the colon is
		// shown, and that only when there is a colon.
		err = errors.New(`database URL must start with "sqlite:" or "postgres:"`)
	}
	if err != nil {
		return nil, fmt.Errorf("sqldb: open: %w", err)
	}
	return db, nil
}

// Close refuses new work, lets running transactions finish (on SQLite it waits
// for them) and closes all connections. Callers still queued get [ErrClosed].
func (db *DB) Close() error {
	if db.closed.Swap(true) {
		return ErrClosed
	}
	if err := db.backend.close(); err != nil {
		return fmt.Errorf("sqldb: close: %w", err)
	}
	return nil
}

// Engine returns the engine of the database.
func (db *DB) Engine() Engine { return db.engine }

// Ping checks that the database answers.
func (db *DB) Ping(ctx context.Context) error {
	if db.closed.Load() {
		return ErrClosed
	}
	if err := db.backend.ping(ctx); err != nil {
		return fmt.Errorf("sqldb: ping: %w", err)
	}
	return nil
}

// Statements returns how many statements were sent since Open, for tests that
// two paths do equal work. Each query and each Exec counts one, and so does
// each run of a transaction's closure (its BEGIN), a retried one again.
func (db *DB) Statements() uint64 { return db.statements.Load() }

// Tx runs fn in a write transaction and commits when fn returns nil.
//
// An error from fn rolls back and is returned; a panic in fn rolls back and
// continues in the caller. fn may run several times (PostgreSQL retries
// serialization failures and deadlocks, at most five times), so it must have no
// effect outside tx: make ids, times and hashes before, and assign results to
// outer variables from scratch each time. fn must not use db or another
// transaction (it would wait for itself), do no network and no hashing, and
// leave tx to one goroutine.
//
// The context is honoured while waiting for a turn, a connection or a retry: a
// caller that gives up there changed nothing. Once begun, a transaction finishes
// whatever happens to ctx, so its caller learns the outcome.
//
// Errors besides those of fn: [ErrClosed], [ErrBusyRetries], [ErrUnknownOutcome],
// ctx.Err(), and what the database reports, all for errors.Is and errors.As.
func (db *DB) Tx(ctx context.Context, fn func(*Tx) error) error {
	return db.TxOn(ctx, "", fn)
}

// TxOn is like [DB.Tx], and transactions of this process that name the same key
// run one after another: use it for a row that many write at once, so that they
// wait in line rather than use up their retries. It orders, it does not protect:
// other processes do not wait. An empty key is no key. Different keys may share
// a line.
func (db *DB) TxOn(ctx context.Context, key string, fn func(*Tx) error) error {
	if db.closed.Load() {
		return ErrClosed
	}
	err := db.backend.run(ctx, key, fn)
	return db.closedError(err)
}

// closedError names an error that came from closing underneath a running call.
func (db *DB) closedError(err error) error {
	if err == nil || !db.closed.Load() {
		return err
	}
	// database/sql does not export these errors.
	text := err.Error()
	if strings.Contains(text, "sql: database is closed") || strings.Contains(text, "sql: statement is closed") {
		return ErrClosed
	}
	return err
}
