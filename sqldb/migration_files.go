package sqldb

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// migration is one step of the schema, for one engine.
type migration struct {
	version    int
	name       string // of the file, without number and extension
	checksum   string // SHA-256 of the file in hexadecimal, line ends as LF
	statements []string
}

// migrationFile is a file name taken apart.
type migrationFile struct {
	path    string
	version int
	name    string
	engine  Engine // empty: for every engine without a file of its own
}

// parseMigrationName takes NNNN_name.sql and NNNN_name.engine.sql apart.
func parseMigrationName(path string) (migrationFile, error) {
	pattern := regexp.MustCompile(`^([0-9]{4})_([a-z0-9_]+?)(?:\.(sqlite|postgres))?\.sql$`)
	m := pattern.FindStringSubmatch(path)
	if m == nil {
		return migrationFile{}, fmt.Errorf("migration %q: want NNNN_name.sql, NNNN_name.sqlite.sql or NNNN_name.postgres.sql", path)
	}
	version, err := strconv.Atoi(m[1])
	if err != nil {
		return migrationFile{}, fmt.Errorf("migration %q: %w", path, err)
	}
	return migrationFile{path: path, version: version, name: m[2], engine: Engine(m[3])}, nil
}

// loadMigrations reads the migrations for an engine, in order. It checks the
// names for both engines, so that a mistake shows on either.
func loadMigrations(files fs.FS, engine Engine) ([]migration, error) {
	paths, err := fs.Glob(files, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("list migrations: %w", err)
	}
	byVersion := make(map[int][]migrationFile)
	for _, path := range paths {
		f, err := parseMigrationName(path)
		if err != nil {
			return nil, err
		}
		byVersion[f.version] = append(byVersion[f.version], f)
	}
	if len(byVersion) == 0 {
		return nil, errors.New("no migrations: the file system holds no NNNN_name.sql at its root")
	}
	list := make([]migration, 0, len(byVersion))
	for version := 1; version <= len(byVersion); version++ {
		f, err := chooseFile(version, byVersion[version], engine)
		if err != nil {
			return nil, err
		}
		m, err := readMigration(files, f)
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

// chooseFile picks the engine's own file, or the plain one.
func chooseFile(version int, candidates []migrationFile, engine Engine) (migrationFile, error) {
	if len(candidates) == 0 {
		return migrationFile{}, fmt.Errorf("migration %04d is missing: numbers start at 0001 and leave no gap", version)
	}
	slices.SortFunc(candidates, func(a, b migrationFile) int { return cmp.Compare(a.engine, b.engine) })
	found := make(map[Engine]migrationFile)
	for _, f := range candidates {
		if f.name != candidates[0].name {
			return migrationFile{}, fmt.Errorf("migrations %q and %q share a number", candidates[0].path, f.path)
		}
		found[f.engine] = f
	}
	for _, e := range []Engine{SQLite, Postgres} {
		if _, own := found[e]; own {
			continue
		}
		if _, plain := found[""]; !plain {
			return migrationFile{}, fmt.Errorf("migration %04d has no file for %s", version, e)
		}
	}
	if own, ok := found[engine]; ok {
		return own, nil
	}
	return found[""], nil
}

func readMigration(files fs.FS, f migrationFile) (migration, error) {
	data, err := fs.ReadFile(files, f.path)
	if err != nil {
		return migration{}, fmt.Errorf("read migration: %w", err)
	}
	// A checkout with CRLF line ends is the same migration.
	text := strings.ReplaceAll(string(data), "\r\n", "\n")
	sum := sha256.Sum256([]byte(text))
	m := migration{version: f.version, name: f.name, checksum: hex.EncodeToString(sum[:])}
	if m.statements, err = splitStatements(text); err != nil {
		return migration{}, fmt.Errorf("migration %s: %w", f.path, err)
	}
	if len(m.statements) == 0 {
		return migration{}, fmt.Errorf("migration %s: no statement", f.path)
	}
	for _, s := range m.statements {
		if word := firstWord(s); endsTransaction(word) {
			return migration{}, fmt.Errorf("migration %s: %s is not allowed, each migration is one transaction", f.path, word)
		}
	}
	return m, nil
}

// endsTransaction reports whether a statement that begins so would leave the
// migration's transaction, or cannot run inside one.
func endsTransaction(word string) bool {
	switch word {
	case "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE",
		"VACUUM", "ATTACH", "DETACH":
		return true
	}
	return false
}

func firstWord(statement string) string {
	l := lexer{text: statement}
	t, err := l.next()
	if err != nil {
		return ""
	}
	return strings.ToUpper(statement[t.start:t.end])
}
