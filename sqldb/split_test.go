package sqldb

import (
	"slices"
	"strings"
	"testing"
)

func TestSplitStatements(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"nothing", " \n;; -- x; y\n/* ; */", nil},
		{"last without semicolon", "A;\n B ", []string{"A", "B"}},
		{"strings", `A 'x;''y'; B "n;""m"; C`, []string{`A 'x;''y'`, `B "n;""m"`, "C"}},
		{"comments", "-- a;\nA -- b; '\n, /* c; ' */ D; -- end", []string{"A -- b; '\n, /* c; ' */ D"}},
		{"escapes", `A E'x\';'; B 'x\'; C e''';'`, []string{`A E'x\';'`, `B 'x\'`, `C e''';'`}},
		{"no escape after a name", `A type'x\'; B`, []string{`A type'x\'`, "B"}},
		{"dollar quotes", "A $$;$ $$; B $t$ $$;$u$; $t$; C $1;D a$b;E", []string{"A $$;$ $$", "B $t$ $$;$u$; $t$", "C $1", "D a$b", "E"}},
		{"trigger", "CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET n = CASE WHEN n > 1 THEN 2 END; DELETE FROM b; END; NEXT",
			[]string{"CREATE TEMP TRIGGER t AFTER INSERT ON a BEGIN UPDATE a SET n = CASE WHEN n > 1 THEN 2 END; DELETE FROM b; END", "NEXT"}},
		{"trigger with condition", "CREATE TRIGGER t AFTER INSERT ON a WHEN CASE 1 WHEN 2 THEN 3 END BEGIN DELETE FROM b; END; NEXT",
			[]string{"CREATE TRIGGER t AFTER INSERT ON a WHEN CASE 1 WHEN 2 THEN 3 END BEGIN DELETE FROM b; END", "NEXT"}},
		{"function", "create or replace function f() returns int begin atomic select 1; select 2; end; NEXT",
			[]string{"create or replace function f() returns int begin atomic select 1; select 2; end", "NEXT"}},
		{"postgres trigger", "CREATE TRIGGER t BEFORE UPDATE ON a EXECUTE FUNCTION f(); NEXT",
			[]string{"CREATE TRIGGER t BEFORE UPDATE ON a EXECUTE FUNCTION f()", "NEXT"}},
		{"begin as a name", "CREATE TABLE trigger_log (begin BIGINT, x TEXT); NEXT", []string{"CREATE TABLE trigger_log (begin BIGINT, x TEXT)", "NEXT"}},
	} {
		got, err := splitStatements(c.text)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}

func TestSplitStatementsRefuses(t *testing.T) {
	for _, text := range []string{
		"A 'x", `A "x`, "A /* x", "A /* /* */ */", "A $$ x", "A $t$ x $$", `A E'x\'`, "A\x00B", "A 'x\x00'", "-- \x00", "$$\x00$$", "/*\x00*/",
	} {
		if got, err := splitStatements(text); err == nil {
			t.Errorf("%q: %q", text, got)
		}
	}
	if _, err := splitStatements("A;\n\n'x"); err == nil || !strings.Contains(err.Error(), "line 3") {
		t.Errorf("err = %v, want the line", err)
	}
}

func TestHighestBind(t *testing.T) {
	for query, want := range map[string]int{
		"SELECT 1": 0, "SELECT $1, $3, $2": 3, "SELECT '$4', \"$5\", $1 -- $6": 1, "a$9": 0, "SELECT $$ $7 $$, $10": 10, "'": 0,
	} {
		if got := highestBind(query); got != want {
			t.Errorf("%q: %d, want %d", query, got, want)
		}
	}
}

func FuzzSplitStatements(f *testing.F) {
	for _, seed := range []string{
		"", ";", "A;B", "A 'x;''y';B", "-- x;\nA", "/* ; */A", "A E'\\';';B", "$$;$$;$1;$t$;$t$", "A/*/*/", "--",
		"CREATE TRIGGER t BEGIN A; CASE END; END; B", "create or replace function f() begin atomic select 1; end;x",
		"\"a;\"\"b\";c", "e'", "'\x00", "é;ü", "CREATE TEMP TRIGGER BEGIN BEGIN END;END;",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		statements, err := splitStatements(text)
		if err != nil {
			return
		}
		for _, s := range statements {
			if !strings.Contains(text, s) {
				t.Fatalf("%q is not in %q", s, text)
			}
			if strings.TrimSpace(s) == "" || firstWord(s) == "" {
				t.Fatalf("blank statement %q in %q", s, text)
			}
			again, err := splitStatements(s)
			if err != nil || len(again) != 1 || again[0] != s {
				t.Fatalf("%q splits again into %q, %v", s, again, err)
			}
		}
		joined, err := splitStatements(strings.Join(statements, "\n;\n"))
		if err != nil || !slices.Equal(joined, statements) {
			t.Fatalf("%q, joined: %q, %v", statements, joined, err)
		}
	})
}
