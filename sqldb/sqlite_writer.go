package sqldb

import (
	"container/list"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// writeBusyTimeout is how long one BEGIN waits inside SQLite for another
	// process. It is short so that a caller who gives up is noticed.
	writeBusyTimeout = 250 * time.Millisecond
	// writePatience is how long a transaction waits for another process in all.
	writePatience = 30 * time.Second
)

// sqliteWriter owns the write connection and runs one transaction at a time,
// in the order of their callers' arrival.
//
// Its contract, which a group commit must keep: a caller that gives up while
// queued never ran; once begun a transaction ends by commit or rollback whatever
// the context says; nobody is told of success before COMMIT returned; after a
// failed COMMIT the connection is opened anew; a panic continues in the caller.
type sqliteWriter struct {
	pool       *sql.DB // of at most one connection
	statements *atomic.Uint64
	turn       chan struct{} // holds one token while a transaction runs
	closing    chan struct{}
	closeOnce  sync.Once
	conn       *writeConn // owned by who holds the turn; nil when to be opened
}

func newSQLiteWriter(ctx context.Context, dsn string, statements *atomic.Uint64) (*sqliteWriter, error) {
	pool, err := sqlitePool(dsn, 1)
	if err != nil {
		return nil, err
	}
	w := &sqliteWriter{
		pool:       pool,
		statements: statements,
		turn:       make(chan struct{}, 1),
		closing:    make(chan struct{}),
	}
	if w.conn, err = openWriteConn(ctx, pool); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	return w, nil
}

// run runs one transaction. patience bounds the wait for other processes; 0
// means that only ctx does.
func (w *sqliteWriter) run(ctx context.Context, patience time.Duration, fn func(*Tx) error) error {
	if err := w.enter(ctx); err != nil {
		return err
	}
	defer func() { <-w.turn }()
	if w.conn == nil {
		conn, err := openWriteConn(ctx, w.pool)
		if err != nil {
			return err
		}
		w.conn = conn
	}
	if err := w.conn.begin(ctx, patience); err != nil {
		return err
	}
	w.statements.Add(1)
	committed := false
	defer func() { // also when fn panics or ends its goroutine
		if !committed {
			w.rollback()
		}
	}()
	tx := &Tx{session: w.conn, statements: w.statements}
	if err := tx.call(fn); err != nil {
		return err
	}
	if _, err := w.conn.exec("COMMIT", nil); err != nil {
		if isSQLiteConstraint(err) { // a deferred foreign key
			return fmt.Errorf("sqldb: commit: %w", err)
		}
		// The log may have reached the disk although SQLite saw an error.
		return fmt.Errorf("%w: commit: %w", ErrUnknownOutcome, err)
	}
	committed = true
	return nil
}

// enter waits for the turn.
func (w *sqliteWriter) enter(ctx context.Context) error {
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-w.closing:
		return ErrClosed
	}
	// Several cases may have been ready: the turn alone does not mean go.
	select {
	case <-w.closing:
		<-w.turn
		return ErrClosed
	default:
	}
	if err := ctx.Err(); err != nil {
		<-w.turn
		return err
	}
	return nil
}

// rollback leaves a connection outside any transaction, or none. SQLite rolls
// back by itself after some errors (full disk, I/O) and then answers ROLLBACK
// with an error; a failed COMMIT may leave the connection in any state. Both end
// with a new connection.
func (w *sqliteWriter) rollback() {
	if _, err := w.conn.exec("ROLLBACK", nil); err != nil {
		w.conn.discard()
		w.conn = nil
	}
}

// close waits for the running transaction. The pool's last connection moves the
// log into the database file.
func (w *sqliteWriter) close() error {
	var err error
	w.closeOnce.Do(func() {
		close(w.closing)
		w.turn <- struct{}{} // never given back
		if w.conn != nil {
			err = w.conn.close()
		}
		err = errors.Join(err, w.pool.Close())
	})
	return err
}

// writeConn is a connection with its prepared statements, the least recently
// used of which are dropped.
type writeConn struct {
	conn  *sql.Conn
	byQ   map[string]*list.Element
	byAge *list.List // of *keptStmt, the most recent first
}

type keptStmt struct {
	query string
	stmt  *sql.Stmt
	binds int // highest $N in the text
}

func openWriteConn(ctx context.Context, pool *sql.DB) (*writeConn, error) {
	conn, err := pool.Conn(ctx)
	if err != nil {
		return nil, fmt.Errorf("open SQLite for writing: %w", err)
	}
	c := &writeConn{conn: conn, byQ: make(map[string]*list.Element), byAge: list.New()}
	var mode string
	if err := conn.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return nil, errors.Join(fmt.Errorf("open SQLite for writing: %w", err), c.close())
	}
	if mode != "wal" { // some network file systems cannot
		return nil, errors.Join(fmt.Errorf("SQLite cannot use a write-ahead log here (journal mode %q)", mode), c.close())
	}
	return c, nil
}

// begin takes SQLite's write lock. No statement in the transaction meets
// SQLITE_BUSY after that.
func (c *writeConn) begin(ctx context.Context, patience time.Duration) error {
	waited := time.Duration(0)
	for {
		_, err := c.exec("BEGIN IMMEDIATE", nil)
		switch {
		case err == nil:
			return nil
		case !isSQLiteBusy(err):
			return fmt.Errorf("sqldb: begin: %w", err)
		case ctx.Err() != nil:
			return ctx.Err()
		}
		if waited += writeBusyTimeout; patience > 0 && waited >= patience {
			return fmt.Errorf("%w: another process keeps the SQLite file locked", ErrBusyRetries)
		}
	}
}

func (c *writeConn) query(query string, args []any) (*sql.Rows, error) {
	stmt, err := c.prepare(query, len(args))
	if err != nil {
		return nil, err
	}
	return stmt.Query(args...)
}

func (c *writeConn) exec(query string, args []any) (sql.Result, error) {
	stmt, err := c.prepare(query, len(args))
	if err != nil {
		return nil, err
	}
	return stmt.Exec(args...)
}

// prepare finds or makes the statement for so many arguments.
func (c *writeConn) prepare(query string, args int) (*sql.Stmt, error) {
	e := c.byQ[query]
	if e == nil {
		stmt, err := c.conn.PrepareContext(context.Background(), query)
		if err != nil {
			return nil, err
		}
		e = c.byAge.PushFront(&keptStmt{query: query, stmt: stmt, binds: highestBind(query)})
		c.byQ[query] = e
		c.trim()
	}
	c.byAge.MoveToFront(e)
	kept := e.Value.(*keptStmt)
	if err := checkBinds(kept.binds, args); err != nil {
		return nil, err
	}
	return kept.stmt, nil
}

// trim drops the statement used longest ago. None is in use here: a transaction
// has one statement at a time.
func (c *writeConn) trim() {
	if c.byAge.Len() <= maxStatements {
		return
	}
	old := c.byAge.Remove(c.byAge.Back()).(*keptStmt)
	delete(c.byQ, old.query)
	_ = old.stmt.Close() // finalizing repeats the error of the last run, if any
}

func (c *writeConn) close() error {
	for e := c.byAge.Front(); e != nil; e = e.Next() {
		_ = e.Value.(*keptStmt).stmt.Close()
	}
	return c.conn.Close()
}

// discard closes the connection for good instead of giving it back to the pool.
func (c *writeConn) discard() {
	for e := c.byAge.Front(); e != nil; e = e.Next() {
		_ = e.Value.(*keptStmt).stmt.Close()
	}
	_ = c.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = c.conn.Close()
}
