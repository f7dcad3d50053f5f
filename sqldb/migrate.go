package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"regexp"
)

// MigrateOptions says how [Migrate] goes about it.
type MigrateOptions struct {
	// Copy makes a copy of a SQLite file that already holds tables before the
	// first migration changes it, beside it and readable by its owner only,
	// named file.vNNNN-YYYYMMDDTHHMMSSZ.copy after the version it holds. A
	// failing copy stops the migration.
	Copy bool
	// Table records what was applied; empty means schema_migration. Programs
	// that share a database use different tables.
	Table string
	// Log receives one line per migration and copy; nil discards them.
	Log *slog.Logger
}

const defaultMigrationTable = "schema_migration"

// Migrate brings the schema to the newest version in files. Concurrent calls,
// of other processes too, wait for each other and find the work done.
//
// The root of files holds NNNN_name.sql, numbered from 0001 without gaps;
// NNNN_name.sqlite.sql or NNNN_name.postgres.sql replaces the plain file on that
// engine. A file holds one or more statements separated by semicolons (which do
// not count in strings, comments and bodies of triggers). Each file is one
// transaction together with the record that it was applied, so an interrupted
// migration leaves either all of it or nothing. There is no way back. On
// PostgreSQL a file may run again after a serialization failure, like any
// transaction.
//
// Errors: [ErrSchemaNewer], [ErrMigrationChanged], what the database reports.
// The context bounds waiting for others, not a migration that has begun.
func Migrate(ctx context.Context, db *DB, files fs.FS, opt MigrateOptions) error {
	if db.closed.Load() {
		return ErrClosed
	}
	m, err := newMigrator(db, files, opt)
	if err == nil {
		err = db.backend.exclusive(ctx, m.table, m.run)
	}
	if err != nil {
		return fmt.Errorf("sqldb: migrate: %w", err)
	}
	return nil
}

// SchemaVersion returns the number of the last applied migration recorded in the
// default table, 0 for a database that was never migrated.
func SchemaVersion(ctx context.Context, db *DB) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	var exists bool
	if err := db.QueryRow(tableExists(db.engine), defaultMigrationTable).Scan(&exists); err != nil {
		return 0, fmt.Errorf("sqldb: schema version: %w", err)
	}
	if !exists {
		return 0, nil
	}
	var version int
	err := db.QueryRow("SELECT coalesce(max(version), 0) FROM " + defaultMigrationTable).Scan(&version)
	if err != nil {
		return 0, fmt.Errorf("sqldb: schema version: %w", err)
	}
	return version, nil
}

// tableExists is the query whether the table $1 exists.
func tableExists(e Engine) string {
	if e == Postgres {
		return `SELECT to_regclass($1) IS NOT NULL`
	}
	return `SELECT count(*) > 0 FROM sqlite_schema WHERE type = 'table' AND name = $1`
}

type migrator struct {
	db     *DB
	files  []migration
	table  string
	copy   bool
	copied bool
	log    *slog.Logger
}

func newMigrator(db *DB, files fs.FS, opt MigrateOptions) (*migrator, error) {
	m := &migrator{db: db, table: opt.Table, copy: opt.Copy, log: opt.Log}
	if m.table == "" {
		m.table = defaultMigrationTable
	}
	if !regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`).MatchString(m.table) {
		return nil, fmt.Errorf("migration table %q: want lower-case letters, digits and _", m.table)
	}
	if m.log == nil {
		m.log = slog.New(slog.DiscardHandler)
	}
	var err error
	m.files, err = loadMigrations(files, db.engine)
	return m, err
}

// run applies one migration per transaction until none is pending. Each
// transaction looks at the record again, so on SQLite, where nothing else locks
// other processes out, they may even take turns.
func (m *migrator) run(run runTx) error {
	for {
		var applied *migration
		err := run(func(tx *Tx) (err error) {
			applied, err = m.step(tx)
			return err
		})
		if err != nil {
			return err
		}
		if applied == nil {
			return nil
		}
		m.log.Info("migration applied", "version", applied.version, "name", applied.name)
	}
}

// step applies the next pending migration; nil means that none was.
func (m *migrator) step(tx *Tx) (*migration, error) {
	version, err := m.applied(tx)
	if err != nil || version == len(m.files) {
		return nil, err
	}
	if err := m.copyOnce(tx, version); err != nil {
		return nil, err
	}
	next := &m.files[version]
	for i, s := range next.statements {
		if _, err := tx.Exec(s); err != nil {
			return nil, fmt.Errorf("migration %04d_%s, statement %d: %w", next.version, next.name, i+1, err)
		}
	}
	if err := m.record(tx, next); err != nil {
		return nil, err
	}
	return next, nil
}

// applied checks the record against the files and returns its last version.
func (m *migrator) applied(tx *Tx) (version int, err error) {
	var exists bool
	if err := tx.QueryRow(tableExists(m.db.engine), m.table).Scan(&exists); err != nil || !exists {
		return 0, err
	}
	var mismatch error
	err = tx.Each("SELECT version, name, checksum FROM "+m.table+" ORDER BY version", nil, func(r Row) error {
		var v int
		var name, checksum string
		if err := r.Scan(&v, &name, &checksum); err != nil {
			return err
		}
		version++
		switch {
		case v > len(m.files):
			// Said first whatever else is wrong: the way out is a newer program.
			mismatch = fmt.Errorf("%w: it is at %04d_%s, this program knows %04d", ErrSchemaNewer, v, name, len(m.files))
		case mismatch != nil:
		case v != version:
			mismatch = fmt.Errorf("%w: %04d is not recorded", ErrMigrationChanged, version)
		case checksum != m.files[v-1].checksum:
			mismatch = fmt.Errorf("%w: %04d_%s", ErrMigrationChanged, v, name)
		}
		return nil
	})
	return version, errors.Join(err, mismatch)
}

// copyOnce copies the file before its first change. The write lock is held and
// nothing is committed yet, so the copy is exactly the state before.
func (m *migrator) copyOnce(tx *Tx, version int) error {
	if !m.copy || m.copied || m.db.engine != SQLite {
		return nil
	}
	var tables int
	err := tx.QueryRow(`SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name <> $1 AND name NOT LIKE 'sqlite\_%' ESCAPE '\'`,
		m.table).Scan(&tables)
	if err != nil {
		return err
	}
	if tables > 0 {
		path, err := m.db.backend.copyBefore(version, m.db.now())
		if err != nil {
			return fmt.Errorf("copy before migration: %w", err)
		}
		m.log.Info("database copied before migration", "path", path, "version", version)
	}
	m.copied = true
	return nil
}

func (m *migrator) record(tx *Tx, f *migration) error {
	_, err := tx.Exec("CREATE TABLE IF NOT EXISTS " + m.table +
		" (version BIGINT PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, applied_at BIGINT NOT NULL)")
	if err != nil {
		return err
	}
	_, err = tx.Exec("INSERT INTO "+m.table+" (version, name, checksum, applied_at) VALUES ($1, $2, $3, $4)",
		f.version, f.name, f.checksum, m.db.now().UnixMicro())
	return err
}
