package sqldb

import (
	"database/sql"
	"errors"
	"fmt"
	"strings"
)

// Row is one row of a result. Scan copies its columns into dest as
// [sql.Rows.Scan] does (booleans into *bool, BIGINT into *int64, BYTEA into
// *[]byte on both engines). A BYTEA of length zero may arrive as a nil slice:
// where that differs from NULL, ask for IS NULL. From QueryRow, each Scan sends
// the statement: call it once.
type Row interface{ Scan(dest ...any) error }

// QueryRow prepares a read that returns at most one row, outside any
// transaction. The statement is sent by Scan, which returns [ErrNoRows] when
// there is no row and ignores rows after the first. On SQLite a statement that
// writes is refused.
func (db *DB) QueryRow(query string, args ...any) Row {
	return rowFunc(func(dest []any) error {
		return scanOne(func(scan func(Row) error) error { return db.Each(query, args, scan) }, dest)
	})
}

// Each calls scan for every row of a read outside any transaction, and stops at
// the first error, which it returns as it is. The row passed to scan is valid
// only during the call. A connection is held meanwhile: scan should not query.
func (db *DB) Each(query string, args []any, scan func(Row) error) error {
	if db.closed.Load() {
		return ErrClosed
	}
	db.statements.Add(1)
	rows, release, err := db.backend.query(query, args)
	if err != nil {
		return db.closedError(statementError(query, err))
	}
	defer release()
	scanErr, err := iterate(rows, scan)
	if scanErr != nil {
		return scanErr
	}
	return statementError(query, err)
}

// rowFunc is a query that has not been sent yet. Sending it only in Scan means
// that a Row nobody scans holds no connection.
type rowFunc func(dest []any) error

func (f rowFunc) Scan(dest ...any) error { return f(dest) }

// errEnough ends an iteration after its first row.
var errEnough = errors.New("sqldb: enough rows")

func scanOne(each func(func(Row) error) error, dest []any) error {
	var scanErr error
	err := each(func(r Row) error {
		scanErr = r.Scan(dest...)
		return errEnough
	})
	switch {
	case err == nil:
		return ErrNoRows
	case errors.Is(err, errEnough):
		return scanErr
	}
	return err
}

// iterate feeds rows to scan and closes them. Errors of the database are told
// apart from errors of scan, because only the former end a transaction. A
// database error found while closing wins: SQLite reports a broken foreign key
// of UPDATE … RETURNING only there.
func iterate(rows *sql.Rows, scan func(Row) error) (scanErr, err error) {
	defer rows.Close() // for a panic in scan; closing twice is harmless
	for scanErr == nil && rows.Next() {
		scanErr = scan(rows)
	}
	err = rows.Err()
	if closeErr := rows.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return nil, err
	}
	return scanErr, nil
}

// statementError adds the beginning of the statement, which holds no values, to
// an error of the database.
func statementError(query string, err error) error {
	if err == nil {
		return nil
	}
	const limit = 80
	text := strings.Join(strings.Fields(query), " ")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return fmt.Errorf("sqldb: %s: %w", text, err)
}
