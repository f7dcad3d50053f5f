package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"
)

const (
	defaultSQLiteReaders = 4
	// readBusyTimeout is how long a reader waits inside SQLite. Readers of a
	// WAL database wait only while another process recovers or removes the log.
	readBusyTimeout = 5 * time.Second
	readAttempts    = 6
	// maxStatements bounds the prepared statements kept per connection. The
	// program's own texts fit; texts made at run time must not pile up.
	maxStatements = 512
)

// sqliteBackend is one write connection and a pool of read-only ones on the
// same file in WAL mode, so readers never wait for the writer.
type sqliteBackend struct {
	path    string
	writer  *sqliteWriter
	readers *sql.DB

	mu       sync.RWMutex
	prepared map[string]readStmt // of readers
}

// openSQLite opens the file named by rest, the part of the URL after "sqlite:".
func openSQLite(ctx context.Context, rest string, readers int, statements *atomic.Uint64) (*sqliteBackend, error) {
	path, err := sqlitePath(rest)
	if err != nil {
		return nil, err
	}
	if err := createPrivate(path); err != nil {
		return nil, err
	}
	if readers == 0 {
		readers = defaultSQLiteReaders
	}
	writer, err := newSQLiteWriter(ctx, sqliteDSN(path, writeOptions()), statements)
	if err != nil {
		return nil, err
	}
	b := &sqliteBackend{path: path, writer: writer, prepared: make(map[string]readStmt)}
	if b.readers, err = sqlitePool(sqliteDSN(path, readOptions()), readers); err == nil {
		err = b.ping(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

// sqlitePath accepts "/path", "relative/path" and "///path".
func sqlitePath(rest string) (string, error) {
	if after, ok := strings.CutPrefix(rest, "//"); ok {
		if !strings.HasPrefix(after, "/") {
			return "", errors.New("SQLite URL names a host; write sqlite:/path/file.db")
		}
		rest = after
	}
	switch {
	case rest == "" || strings.HasSuffix(rest, "/"):
		return "", errors.New("SQLite URL has no file name; write sqlite:/path/file.db")
	case strings.HasPrefix(rest, ":"):
		return "", errors.New("SQLite in memory is not supported; write sqlite:/path/file.db")
	case strings.ContainsAny(rest, "?#\x00"):
		return "", errors.New("SQLite URL takes no options, and no ? or # in the file name")
	}
	path, err := filepath.Abs(rest)
	if err != nil {
		return "", fmt.Errorf("SQLite file: %w", err)
	}
	return path, nil
}

// createPrivate creates a missing file readable by its owner only; SQLite gives
// the log and its index the same mode. An existing file is not opened here:
// closing it would drop the locks that another connection of this process holds
// on it (POSIX locks belong to process and file, not to the descriptor).
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create SQLite file: %w", err)
	}
	return f.Close()
}

// commonOptions refuse what only a tampered or mistyped schema would need:
// functions with side effects called from the schema, "text" as a string, and
// writes that corrupt the file.
func commonOptions(busy time.Duration) url.Values {
	return url.Values{
		"_busy_timeout": {fmt.Sprint(busy.Milliseconds())},
		"_foreign_keys": {"on"},
		"_defensive":    {"1"},
		"_dqs":          {"0"},
		"_error_rc":     {"1"},
		"_pragma":       {"trusted_schema(OFF)"},
	}
}

func writeOptions() url.Values {
	o := commonOptions(writeBusyTimeout)
	o.Set("mode", "rw")
	o.Set("_journal_mode", "WAL")
	o.Set("_synchronous", "FULL")
	o.Add("_pragma", "journal_size_limit(67108864)")
	return o
}

func readOptions() url.Values {
	o := commonOptions(readBusyTimeout)
	o.Set("mode", "ro")
	o.Set("_query_only", "on")
	return o
}

func sqliteDSN(path string, options url.Values) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + options.Encode()
}

func sqlitePool(dsn string, conns int) (*sql.DB, error) {
	connector, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, fmt.Errorf("SQLite options: %w", err)
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	return pool, nil
}

// query waits out the short moments in which another process has the file for
// itself. They show before the first row, so a retry repeats nothing.
func (b *sqliteBackend) query(query string, args []any) (*sql.Rows, func(), error) {
	for attempt := 1; ; attempt++ {
		rows, err := b.read(query, args)
		switch {
		case err == nil:
			return rows, func() {}, nil
		case !isSQLiteBusy(err):
			return nil, nil, err
		case attempt == readAttempts:
			return nil, nil, ErrBusyRetries // the driver's error stays inside
		}
	}
}

func (b *sqliteBackend) read(query string, args []any) (*sql.Rows, error) {
	s, err := b.prepare(query)
	if err != nil {
		return nil, err
	}
	if err := checkBinds(s.binds, len(args)); err != nil {
		return nil, err
	}
	if s.stmt == nil {
		return b.readers.Query(query, args...)
	}
	return s.stmt.Query(args...)
}

type readStmt struct {
	stmt  *sql.Stmt // nil: not kept
	binds int       // highest $N in the text
}

// prepare returns the statement for a text, not kept when enough are. None is
// ever evicted, because another goroutine may be about to use it.
func (b *sqliteBackend) prepare(query string) (readStmt, error) {
	b.mu.RLock()
	s, found := b.prepared[query]
	full := len(b.prepared) >= maxStatements
	b.mu.RUnlock()
	if found {
		return s, nil
	}
	s.binds = highestBind(query)
	if full {
		return s, nil
	}
	var err error
	if s.stmt, err = b.readers.Prepare(query); err != nil {
		return s, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if first, found := b.prepared[query]; found {
		return first, s.stmt.Close()
	}
	b.prepared[query] = s
	return s, nil
}

// checkBinds refuses surplus arguments, as PostgreSQL does; SQLite would ignore
// them.
func checkBinds(want, got int) error {
	if want != got {
		return fmt.Errorf("statement has %d parameters, got %d arguments", want, got)
	}
	return nil
}

// run needs no key: transactions run one after another anyway.
func (b *sqliteBackend) run(ctx context.Context, _ string, fn func(*Tx) error) error {
	return b.writer.run(ctx, writePatience, fn)
}

// exclusive lets the transactions exclude each other: SQLite's write lock works
// across processes. The wait has no bound but ctx, because another process may
// be migrating a large file.
func (b *sqliteBackend) exclusive(ctx context.Context, _ string, fn func(runTx) error) error {
	return fn(func(body func(*Tx) error) error { return b.writer.run(ctx, 0, body) })
}

func (b *sqliteBackend) ping(ctx context.Context) error {
	var one int
	return b.readers.QueryRowContext(ctx, "SELECT 1").Scan(&one)
}

// close closes the readers first: the last connection to close, if it may
// write, moves the log into the file and removes it.
func (b *sqliteBackend) close() error {
	var err error
	if b.readers != nil {
		b.mu.RLock()
		for _, s := range b.prepared {
			err = errors.Join(err, s.stmt.Close())
		}
		b.mu.RUnlock()
		err = errors.Join(err, b.readers.Close())
	}
	return errors.Join(err, b.writer.close())
}
