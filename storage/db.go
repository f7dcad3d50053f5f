// Package storage keeps the nouns of identity in SQL: one file per noun, plain
// SQL that runs unchanged on SQLite and PostgreSQL, and the events that record
// who did what. It owns the schema (migrations) and which statements are one
// transaction; it never decides who may do something, and it knows no HTTP.
//
// Reading methods stand on DB (a read outside any transaction) and on Tx alike;
// writing methods stand on Tx only. Inside a transaction only tx may be used: a
// call on DB from a closure waits for itself.
package storage

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"simplon/sqldb"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrNotFound says that no such row exists.
var ErrNotFound = errors.New("not found")

// ErrTaken says that a unique name is in use already.
var ErrTaken = errors.New("already taken")

// ErrBusy says that a transaction gave way to others again and again: nothing was
// changed, and the caller may try again in a moment.
var ErrBusy = sqldb.ErrBusyRetries

// reader is where a query runs: the database or a transaction.
type reader interface {
	QueryRow(query string, args ...any) sqldb.Row
	Each(query string, args []any, scan func(sqldb.Row) error) error
}

// queries holds the reading methods, shared by DB and Tx.
type queries struct{ r reader }

// DB is an open database. All methods may be called concurrently.
type DB struct {
	queries
	sql *sqldb.DB
}

// Tx is one transaction. Its methods must be called from the closure only, by
// one goroutine at a time. On PostgreSQL a closure may run again after a
// serialization failure, so it must have no effect outside tx.
type Tx struct {
	queries
	tx *sqldb.Tx
}

// Open opens the database at a sqlite: or postgres: URL. It does not migrate.
func Open(ctx context.Context, c sqldb.Config) (*DB, error) {
	s, err := sqldb.Open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("storage: %w", err)
	}
	return &DB{queries: queries{r: s}, sql: s}, nil
}

// Migrate brings the schema to this binary's version. It refuses a database that
// a newer binary wrote (sqldb.ErrSchemaNewer).
func (db *DB) Migrate(ctx context.Context, opt sqldb.MigrateOptions) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fmt.Errorf("storage: migrations: %w", err)
	}
	return sqldb.Migrate(ctx, db.sql, files, opt)
}

// Close closes the database after the running transactions.
func (db *DB) Close() error { return db.sql.Close() }

// Ping tells whether the database answers.
func (db *DB) Ping(ctx context.Context) error { return db.sql.Ping(ctx) }

// Engine names the SQL engine.
func (db *DB) Engine() sqldb.Engine { return db.sql.Engine() }

// Statements counts the statements sent since Open.
func (db *DB) Statements() uint64 { return db.sql.Statements() }

// Tx runs fn as one transaction, all or nothing, isolated as if alone. fn's
// error rolls back and is returned; so are the errors of sqldb.DB.Tx, among them
// sqldb.ErrBusyRetries where others were in the way for too long: nothing
// happened then, and trying again may succeed.
func (db *DB) Tx(ctx context.Context, fn func(*Tx) error) error {
	return db.sql.Tx(ctx, func(tx *sqldb.Tx) error { return fn(&Tx{queries: queries{r: tx}, tx: tx}) })
}

// TxOn is Tx for a row that many want at once: transactions of this process that
// name the same key run one after another instead of failing each other.
func (db *DB) TxOn(ctx context.Context, key string, fn func(*Tx) error) error {
	return db.sql.TxOn(ctx, key, func(tx *sqldb.Tx) error { return fn(&Tx{queries: queries{r: tx}, tx: tx}) })
}

// micros is a time as the database keeps it: microseconds since 1970, 0 for the
// zero time.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

func list(values []string) string {
	if values == nil {
		values = []string{}
	}
	out, err := json.Marshal(values)
	if err != nil { // strings always marshal
		panic(err)
	}
	return string(out)
}

func fromList(s string) ([]string, error) {
	var out []string
	if err := json.Unmarshal([]byte(s), &out); err != nil {
		return nil, fmt.Errorf("storage: list column: %w", err)
	}
	return out, nil
}

func words(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, " ")
}

// found turns the absence of a row into ErrNotFound.
func found(err error) error {
	if errors.Is(err, sqldb.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// insertOnce runs an INSERT that may conflict with a unique index and answers
// ErrTaken when it changed nothing. The statement must end in ON CONFLICT DO
// NOTHING: a raised violation would end the transaction on PostgreSQL.
func (tx *Tx) insertOnce(query string, args ...any) error {
	n, err := tx.tx.Exec(query, args...)
	if err != nil {
		return err
	}
	if n == 0 {
		return ErrTaken
	}
	return nil
}

// changed runs a guarded UPDATE or DELETE and tells whether it changed a row.
func (tx *Tx) changed(query string, args ...any) (bool, error) {
	n, err := tx.tx.Exec(query, args...)
	return n > 0, err
}

func (tx *Tx) exec(query string, args ...any) error {
	_, err := tx.tx.Exec(query, args...)
	return err
}

func join(words []string) string { return strings.Join(words, " ") }
