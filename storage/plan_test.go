package storage_test

import (
	"errors"
	"strings"
	"testing"

	"simplon/identity"
	"simplon/sqldb"
	"simplon/storage"
)

// statement is one that is sent on a path people wait for.
type statement struct {
	name  string
	key   string // the column that must lead to its rows, "" for a range of them
	query string
	args  []any
}

// hotReads are the statements of the reading methods, as they send them.
func hotReads(t *testing.T, db *sqldb.DB) (out []statement) {
	t.Helper()
	var name, key string
	q := storage.Reads(db, func(query string, args []any) { out = append(out, statement{name, key, query, args}) })
	hash, now := []byte("h"), instant()
	for _, read := range []struct {
		name, key string
		call      func() error
	}{
		{"account by id", "id", func() error { return second(q.Account("a")) }},
		{"account by login", "login_key", func() error { return second(q.AccountByLogin("a")) }},
		{"page of accounts", "", func() error { return second(q.Accounts(now, "a", 9)) }},
		{"client", "id", func() error { return second(q.Client("a")) }},
		{"page of clients", "", func() error { return second(q.Clients(now, "a", 9)) }},
		{"origin", "origin", func() error { return second(q.OriginRegistered("a", "o")) }},
		{"consent", "account_id", func() error { return second(q.Consent("a", "c")) }},
		{"front", "issuer", func() error { return second(q.FrontByIssuer("a")) }},
		{"epoch", "key", func() error { return second(q.Epoch()) }},
		{"sign-in", "id", func() error { return second(q.SignIn("a")) }},
		{"open sign-ins", "browser_hash", func() error { _, _, err := q.OpenSignIns(hash, "n", now); return err }},
		{"session", "id", func() error { return second(q.Session("a")) }},
		{"sessions in set", "set_hash", func() error { return second(q.SessionsInSet(hash, now)) }},
		{"device", "hash", func() error { return second(q.Device(hash, "a", "f", now)) }},
		{"lane", "subject", func() error { return second(q.Lane("a", "l")) }},
		{"code", "hash", func() error { return second(q.Code(hash)) }},
		{"refresh token", "hash", func() error { return second(q.RefreshToken(hash)) }},
		{"grant", "id", func() error { return second(q.Grant("a")) }},
		{"set-up link", "hash", func() error { return second(q.SetupLink(hash)) }},
		{"events", "account_id", func() error { return second(q.Events("a", 9)) }},
	} {
		name, key = read.name, read.key
		before := len(out)
		if err := read.call(); err != nil && !errors.Is(err, storage.ErrNotFound) {
			t.Fatalf("%s: %v", name, err)
		}
		if len(out) == before {
			t.Fatalf("%s sent nothing", name)
		}
	}
	return out
}

// hotWrites are the conditions of the writing methods, which a test cannot
// overhear; keep them as the methods have them.
func hotWrites() []statement {
	hash := []byte("h")
	now := instant().UnixMicro()
	prune := func(name, table, id, where, order string) statement {
		return statement{"prune " + name, "", `DELETE FROM ` + table + ` WHERE ` + where + ` AND (` + id + `) IN (SELECT ` + id + ` FROM ` + table +
			` WHERE ` + where + ` ORDER BY ` + order + ` LIMIT $2)`, []any{now, 100}}
	}
	return []statement{
		{"spend code", "hash", `UPDATE code SET spent_at = $2, forget_at = $3 WHERE hash = $1 AND spent_at = 0 AND expires_at > $2`, []any{hash, now, now}},
		{"spend refresh token", "hash", `UPDATE refresh_token SET spent_at = $2 WHERE hash = $1 AND spent_at = 0 AND expires_at > $2`, []any{hash, now}},
		{"spend handoff", "hash", `UPDATE handoff SET spent_at = $3 WHERE hash = $1 AND path = $2 AND spent_at = 0 AND expires_at > $3 RETURNING params`, []any{hash, "/", now}},
		{"reserve", "subject", `UPDATE lane SET failures = $3 WHERE subject = $1 AND lane = $2 AND failures = $4 AND locks = $5 AND locked_until = $6 AND failures < $3`, []any{"a", "l", 2, 1, 0, 0}},
		{"clear lane", "subject", `DELETE FROM lane WHERE subject = $1 AND lane IN ($2, $3)`, []any{"a", "l", identity.LaneTotal}},
		{"end session", "id", `UPDATE session SET ended_at = $2 WHERE id = $1 AND ended_at = 0`, []any{"a", now}},
		{"end grants of a session", "session_id", `UPDATE grants SET revoked_at = $2 WHERE session_id = $1 AND revoked_at = 0
			AND ' ' || scopes || ' ' NOT LIKE '% offline\_access %' ESCAPE '\'`, []any{"a", now}},
		{"end codes of a session", "session_id", `UPDATE code SET expires_at = $2 WHERE session_id = $1 AND spent_at = 0 AND expires_at > $2`, []any{"a", now}},
		{"close sign-in", "id", `UPDATE signin SET closed_at = $2 WHERE id = $1 AND closed_at = 0`, []any{"a", now}},
		{"close oldest sign-in", "browser_hash", `UPDATE signin SET closed_at = $2 WHERE closed_at = 0 AND id =
			(SELECT id FROM signin WHERE browser_hash = $1 AND closed_at = 0 AND expires_at > $2 ORDER BY created_at, id LIMIT 1)`, []any{hash, now}},
		{"surplus devices", "account_id", `SELECT id FROM device WHERE account_id = $1 ORDER BY seen_at DESC, id DESC LIMIT 100 OFFSET $2`, []any{"a", 5}},
		{"forget device", "id", `DELETE FROM device WHERE id = $1 AND account_id = $2`, []any{"d", "a"}},
		prune("sign-ins", "signin", "id", "expires_at < $1", "expires_at"),
		prune("codes", "code", "hash", "forget_at < $1", "forget_at"),
		prune("events of nobody", "event", "id", "at < $1 AND account_id = '' AND kind LIKE 'sign-in.%'", "at"),
		prune("refresh tokens", "refresh_token", "hash", "expires_at < $1", "expires_at"),
		prune("sessions", "session", "id", "expires_at < $1", "expires_at"),
		prune("lanes", "lane", "subject, lane", "touched_at < $1 AND locked_until < $1", "touched_at"),
	}
}

// plan is what the engine says about how it would run a statement.
func plan(t *testing.T, db *sqldb.DB, s statement) (lines []string) {
	t.Helper()
	err := db.Tx(t.Context(), func(tx *sqldb.Tx) error {
		lines = nil
		explain, columns := "EXPLAIN QUERY PLAN ", make([]any, 4)
		if db.Engine() == sqldb.Postgres {
			// Small tables are read whole; a plan that still does so has no index.
			if _, err := tx.Exec("SET LOCAL enable_seqscan = off"); err != nil {
				return err
			}
			explain, columns = "EXPLAIN (COSTS OFF) ", make([]any, 1)
		}
		return tx.Each(explain+s.query, s.args, func(row sqldb.Row) error {
			var line string
			for i := range columns {
				columns[i] = new(any)
			}
			columns[len(columns)-1] = &line
			err := row.Scan(columns...)
			lines = append(lines, line)
			return err
		})
	})
	if err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	return lines
}

func TestStatementsThatPeopleWaitForUseAnIndex(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		db := raw(t, url)
		for _, s := range append(hotReads(t, db), hotWrites()...) {
			lines := plan(t, db, s)
			if len(lines) == 0 {
				t.Errorf("%s: no plan", s.name)
			}
			if readsAll(lines) {
				t.Errorf("%s reads a whole table or index:\n%s\n%s", s.name, s.query, strings.Join(lines, "\n"))
			}
			if s.key != "" && !leads(lines, s.key) {
				t.Errorf("%s is not led by %s:\n%s\n%s", s.name, s.key, s.query, strings.Join(lines, "\n"))
			}
		}
	})
}

// readsAll tells whether a plan goes through a table or an index from end to end.
func readsAll(plan []string) bool {
	scans, conditions := 0, 0
	for _, line := range plan {
		switch {
		case line == "SCAN CONSTANT ROW": // a SELECT of sub-selects
		case strings.Contains(line, "SCAN"), strings.Contains(line, "Seq Scan"):
			return true
		case strings.Contains(line, "Index Scan"), strings.Contains(line, "Index Only Scan"):
			scans++
		case strings.Contains(line, "Index Cond:"):
			conditions++
		}
	}
	return scans != conditions
}

// leads tells whether a plan finds rows by an index whose first column, equal to
// an argument, is the key. Any other index, on the time for instance, would hold
// everybody's rows.
func leads(plan []string, key string) bool {
	for _, line := range plan {
		sqlite := strings.Contains(line, "SEARCH ") && strings.Contains(line, "("+key+"=?")
		condition, postgres := strings.CutPrefix(strings.TrimSpace(line), "Index Cond: ")
		if sqlite || postgres && strings.HasPrefix(strings.TrimLeft(condition, "("), key+" = ") {
			return true
		}
	}
	return false
}

// TestPlansShowAMissingIndex guards the test above against looking for the wrong
// words.
func TestPlansShowAMissingIndex(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		for _, query := range []string{
			`SELECT id FROM account WHERE given_name = $1`,
			`SELECT id FROM account WHERE given_name = $1 ORDER BY created_at, id LIMIT 1`,
		} {
			if lines := plan(t, raw(t, url), statement{"by name", "", query, []any{"Anna"}}); !readsAll(lines) {
				t.Errorf("not seen in:\n%s", strings.Join(lines, "\n"))
			}
		}
	})
}
