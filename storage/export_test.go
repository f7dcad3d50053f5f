package storage

import "simplon/sqldb"

// Reads returns the reading methods over the database and tells seen of every
// statement they send, so that tests can ask the engine how it would run it.
func Reads(db *sqldb.DB, seen func(query string, args []any)) queries {
	return queries{r: observed{db: db, seen: seen}}
}

type observed struct {
	db   *sqldb.DB
	seen func(query string, args []any)
}

func (o observed) QueryRow(query string, args ...any) sqldb.Row {
	o.seen(query, args)
	return o.db.QueryRow(query, args...)
}

func (o observed) Each(query string, args []any, scan func(sqldb.Row) error) error {
	o.seen(query, args)
	return o.db.Each(query, args, scan)
}
