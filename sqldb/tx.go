package sqldb

import (
	"database/sql"
	"errors"
	"fmt"
	"sync/atomic"
)

// errNested is a programming error that only PostgreSQL would notice (its
// connection is busy while rows are read); here both engines do.
var errNested = errors.New("sqldb: statement inside the scan of another one")

// Tx is a write transaction, valid inside the closure given to [DB.Tx] and for
// one goroutine. Its methods take no context: once begun, a transaction ends by
// commit or rollback, never half-way through a statement.
type Tx struct {
	session    session
	statements *atomic.Uint64
	scanning   bool
	done       bool
	failed     error // first error of the database; the transaction is lost
}

// session sends statements on the connection of a transaction.
type session interface {
	query(query string, args []any) (*sql.Rows, error)
	exec(query string, args []any) (sql.Result, error)
}

// QueryRow prepares a statement that returns at most one row, such as a SELECT
// or UPDATE … RETURNING. It is sent by Scan, which returns [ErrNoRows] when
// there is no row and ignores rows after the first: without Scan nothing
// happens.
func (tx *Tx) QueryRow(query string, args ...any) Row {
	return rowFunc(func(dest []any) error {
		return scanOne(func(scan func(Row) error) error { return tx.Each(query, args, scan) }, dest)
	})
}

// Each calls scan for every row of the result and stops at the first error,
// which it returns as it is. The row passed to scan is valid only during the
// call, and scan must not use tx: collect first.
func (tx *Tx) Each(query string, args []any, scan func(Row) error) error {
	if err := tx.send(); err != nil {
		return err
	}
	rows, err := tx.session.query(query, args)
	if err != nil {
		return tx.fail(query, err)
	}
	tx.scanning = true
	defer func() { tx.scanning = false }()
	scanErr, err := iterate(rows, scan)
	if err != nil {
		return tx.fail(query, err)
	}
	return scanErr
}

// Exec sends a statement and returns how many rows it inserted, updated or
// deleted; for other statements that number means nothing. A []byte argument
// goes in as a BLOB or BYTEA; nil slices are NULL.
func (tx *Tx) Exec(query string, args ...any) (affected int64, err error) {
	if err := tx.send(); err != nil {
		return 0, err
	}
	result, err := tx.session.exec(query, args)
	if err != nil {
		return 0, tx.fail(query, err)
	}
	affected, err = result.RowsAffected()
	if err != nil {
		return 0, tx.fail(query, err)
	}
	return affected, nil
}

// send checks that another statement may be sent, and counts it.
func (tx *Tx) send() error {
	switch {
	case tx.done:
		return ErrTxDone
	case tx.failed != nil:
		return tx.failed
	case tx.scanning:
		tx.failed = errNested
		return errNested
	}
	tx.statements.Add(1)
	return nil
}

func (tx *Tx) fail(query string, err error) error {
	err = statementError(query, err)
	if tx.failed == nil { // a nested statement may have failed first
		tx.failed = err
	}
	return err
}

// call runs the closure and says whether the transaction may be committed.
func (tx *Tx) call(fn func(*Tx) error) error {
	defer func() { tx.done = true }()
	if err := fn(tx); err != nil {
		return err
	}
	if tx.failed != nil {
		return fmt.Errorf("sqldb: the closure went on after a failed statement: %w", tx.failed)
	}
	return nil
}
