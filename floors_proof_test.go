package simplon_test

import (
	"strings"
	"testing"
	"testing/fstest"
)

// expect compares violations with what each must say; an empty list wants none.
func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("got %q, want %q", got, want)
		return
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
}

func TestFloorsCatchForbiddenImports(t *testing.T) {
	for _, tc := range []struct {
		name string
		p    goPackage
		want []string
	}{
		{"down is allowed", goPackage{ImportPath: "simplon/authserver", Imports: []string{"fmt", "simplon/storage", "simplon/identity"}}, nil},
		{"cmd imports everything", goPackage{ImportPath: "simplon/cmd/simplon", Imports: []string{"simplon/authserver", "simplon/modules/demo", "simplon/web", "github.com/alecthomas/kong"}}, nil},
		{"own subpackage", goPackage{ImportPath: "simplon/storage", TestImports: []string{"simplon/storage/storagetest"}}, nil},
		{"module uses its kit", goPackage{ImportPath: "simplon/modules/mail", Imports: []string{"simplon/modules/rp", "simplon/web", "simplon/sqldb"}}, nil},
		{"tests of floor 3 open databases", goPackage{ImportPath: "simplon/mfa", XTestImports: []string{"simplon/sqldb/pgtest", "simplon/storage/storagetest"}}, nil},
		{"library of everybody's tests", goPackage{ImportPath: "simplon/web", TestImports: []string{"pgregory.net/rapid"}}, nil},
		{"versioned path of an owned library", goPackage{ImportPath: "simplon/sqldb", Imports: []string{"github.com/jackc/pgx/v5/stdlib"}}, nil},
		{"helper of tests imports a helper of tests", goPackage{ImportPath: "simplon/storage/storagetest", Imports: []string{"simplon/sqldb/pgtest"}}, nil},

		{"sideways on floor 0", goPackage{ImportPath: "simplon/web", Imports: []string{"simplon/identity"}}, []string{"no edge from web to identity"}},
		{"sideways in a test", goPackage{ImportPath: "simplon/secret", TestImports: []string{"simplon/identity"}}, []string{"a test of simplon/secret imports simplon/identity"}},
		{"sideways in an external test", goPackage{ImportPath: "simplon/secret", XTestImports: []string{"simplon/identity"}}, []string{"no edge from secret to identity"}},
		{"up", goPackage{ImportPath: "simplon/identity", Imports: []string{"simplon/storage"}}, []string{"no edge from identity to storage"}},
		{"siblings", goPackage{ImportPath: "simplon/authserver", Imports: []string{"simplon/mfa"}}, []string{"no edge from authserver to mfa"}},
		{"from a subpackage", goPackage{ImportPath: "simplon/authserver/deep", Imports: []string{"simplon/console/x"}}, []string{"no edge from authserver to console"}},
		{"floor 3 sends nothing", goPackage{ImportPath: "simplon/recovery", Imports: []string{"simplon/notify"}}, []string{"no edge from recovery to notify"}},
		{"floor 3 holds no SQL", goPackage{ImportPath: "simplon/recovery", Imports: []string{"simplon/sqldb"}}, []string{"no edge from recovery to sqldb"}},
		{"module behind the doors", goPackage{ImportPath: "simplon/modules/mail", Imports: []string{"simplon/storage"}}, []string{"no edge from modules/mail to storage"}},
		{"module beside a module", goPackage{ImportPath: "simplon/modules/mail", Imports: []string{"simplon/modules/billing"}}, []string{"no edge from modules/mail to modules/billing"}},
		{"kit above its modules", goPackage{ImportPath: "simplon/modules/rp", Imports: []string{"simplon/modules/mail"}}, []string{"no edge from modules/rp to modules/mail"}},
		{"cmd is imported by nobody", goPackage{ImportPath: "simplon/console", Imports: []string{"simplon/cmd/simplon"}}, []string{"no edge from console to cmd/simplon"}},
		{"e2e stays outside", goPackage{ImportPath: "simplon/e2e/attacks", XTestImports: []string{"simplon/storage"}}, []string{"no edge from e2e to storage"}},
		{"root holds no code", goPackage{ImportPath: "simplon", Imports: []string{"simplon/web"}}, []string{"no edge from . to web"}},
		{"test helper in the product", goPackage{ImportPath: "simplon/storage", Imports: []string{"simplon/sqldb/pgtest"}}, []string{"which is for tests"}},
		{"unknown folder", goPackage{ImportPath: "simplon/util"}, []string{"stands on no floor"}},
		{"unknown command", goPackage{ImportPath: "simplon/cmd/other"}, []string{"stands on no floor"}},
		{"name that only begins alike", goPackage{ImportPath: "simplon/web", Imports: []string{"simplonx.org/a"}}, []string{"which nobody owns"}},

		{"foreign owner", goPackage{ImportPath: "simplon/storage", Imports: []string{"github.com/jackc/pgx/v5"}}, []string{"which belongs to sqldb"}},
		{"foreign owner in a test", goPackage{ImportPath: "simplon/storage", TestImports: []string{"modernc.org/sqlite"}}, []string{"which belongs to sqldb"}},
		{"owned piece of the standard library", goPackage{ImportPath: "simplon/authserver", Imports: []string{"crypto/cipher"}}, []string{"which belongs to secret"}},
		{"driver below an owned package", goPackage{ImportPath: "simplon/web", Imports: []string{"database/sql/driver"}}, []string{"which belongs to sqldb"}},
		{"unknown library", goPackage{ImportPath: "simplon/web", Imports: []string{"github.com/spf13/cobra"}}, []string{"which nobody owns"}},
		{"library of tests in the product", goPackage{ImportPath: "simplon/web", Imports: []string{"go.uber.org/goleak"}}, []string{"which is for tests of *"}},
		{"browser in the product", goPackage{ImportPath: "simplon/web", Imports: []string{"github.com/chromedp/chromedp"}}, []string{"which belongs to e2e"}},
		{"broken package", goPackage{ImportPath: "simplon/web", Error: &struct{ Err string }{"no such file"}}, []string{"no such file"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			expect(t, checkImports([]goPackage{tc.p}, floorLaw()), tc.want...)
		})
	}
}

func TestFloorsCatchBadSource(t *testing.T) {
	const head = "// Package x owns nothing.\npackage x\n"
	for _, tc := range []struct {
		name, file, text string
		want             []string
	}{
		{"clean package", "x/x.go", head + "import \"errors\"\n\nvar ErrGone = errors.New(\"gone\")\n\nvar _ = ErrGone\n\nvar table = map[int]int{}\n\ntype t struct{}\n\nfunc (t) init() {}\n", nil},
		{"clean test", "x/x_test.go", "package x\n\nimport \"testing\"\n\nfunc TestX(t *testing.T) { b := lexer{}; b.Skip() }\n", nil},
		{"comment in another file is enough", "x/y.go", "package x\n", nil},
		{"no package comment", "y/y.go", "package y\n", []string{"y: the package has no comment"}},
		{"licence is no package comment", "y/y.go", "// Copyright.\n\npackage y\n", []string{"y: the package has no comment"}},
		{"init", "x/y.go", "package x\n\nfunc init() {}\n", []string{"x/y.go:3: func init"}},
		{"init in a test", "x/y_test.go", "package x\n\nfunc init() {}\n", []string{"x/y_test.go:3: func init"}},
		{"exported variable", "x/y.go", "package x\n\nvar (\n\ta int\n\tb, Default = 1, 2\n)\n", []string{"x/y.go:5: exported variable Default"}},
		{"skip", "x/y_test.go", "package x\n\nimport \"testing\"\n\nfunc TestX(t *testing.T) {\n\tt.Skip(\"no database\")\n}\n", []string{"x/y_test.go:6: t.Skip"}},
		{"skip of a subtest", "x/y_test.go", "package x\n\nimport \"testing\"\n\nfunc TestX(t *testing.T) { t.Run(\"\", func(tt *testing.T) { tt.SkipNow() }) }\n", []string{"tt.SkipNow"}},
		{"skip of a helper", "x/y_test.go", "package x\n\nimport \"testing\"\n\nfunc need(any testing.TB) { any.Skipf(\"\") }\n", []string{"any.Skipf"}},
		{"skip of a fuzz target", "x/y_test.go", "package x\n\nimport \"testing\"\n\nfunc FuzzX(f *testing.F) { f.Skip() }\n", []string{"f.Skip"}},
		{"skip by a flag", "x/y_test.go", "package x\n\nimport \"testing\"\n\nfunc TestX(t *testing.T) { if testing.Short() { return } }\n", []string{"testing.Short"}},
		{"long file", "x/y.go", "package x\n" + strings.Repeat("//\n", 600), []string{"the file has 601 lines"}},
		{"long function", "x/y.go", "package x\n\nfunc f() {\n" + strings.Repeat("\n", 79) + "}\n", []string{"x/y.go:3: f has 81 lines"}},
		{"function at the limit", "x/y.go", "package x\n\nfunc f() {\n" + strings.Repeat("\n", 78) + "}\n", nil},
		{"long test", "x/y_test.go", "package x\n\nfunc f() {\n" + strings.Repeat("\n", 700) + "}\n", nil},
		{"unfinished", "x/y.go", "package x\n\n// TO" + "DO: later\n", []string{"x/y.go:3: unfinished mark"}},
		{"unfinished page", "web/page.html", "<!-- FIX" + "ME -->\n", []string{"web/page.html:1: unfinished mark"}},
		{"word that holds a mark", "x/y.md", "MASTO" + "DON\n", nil},
		{"path of one machine", "docs/x.md", "see\n/wo" + "rk/main\n", []string{"docs/x.md:2: path"}},
		{"path out of the checkout", "docs/x.md", "[x](../sha" + "red/x.md)\n", []string{"docs/x.md:1: path"}},
		{"host of a registry", "package-lock.json", "\"https://registry.npm" + "js.org/x\"\n", []string{"package-lock.json:1: host"}},
		{"broken file", "x/y.go", "package x\n\nfunc {\n", []string{"does not parse: x/y.go:3"}},
		{"picture", "x/y.png", "\x89PNG\x00 TO" + "DO", nil},
		{"fetched", "e2e/clients/node_modules/a/a.js", "// TO" + "DO", nil},
		{"made by the fuzzer", "x/testdata/fuzz/FuzzX/1", "TO" + "DO", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tree := fstest.MapFS{
				"x/doc.go": {Data: []byte(head)},
				tc.file:    {Data: []byte(tc.text)},
			}
			got, _, err := checkSource(tree)
			if err != nil {
				t.Fatal(err)
			}
			expect(t, got, tc.want...)
		})
	}
}

func TestFloorsCatchBadGoMod(t *testing.T) {
	for _, tc := range []struct {
		name     string
		version  string
		indirect bool
		replace  string
		want     []string
	}{
		{"release", "v1.2.3", false, "", nil},
		{"indirect commit", "v0.0.0-20240606120523-5a60cdf6a761", true, "", nil},
		{"direct commit", "v0.0.0-20240606120523-5a60cdf6a761", false, "", []string{"no exact release"}},
		{"direct candidate", "v1.0.0-rc.1", false, "", []string{"no exact release"}},
		{"branch", "main", true, "", []string{"no exact release"}},
		{"replace", "v1.2.3", false, "example.org/a", []string{"go.mod replaces example.org/a"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var mod goMod
			mod.Require = append(mod.Require, struct {
				Path, Version string
				Indirect      bool
			}{"example.org/a", tc.version, tc.indirect})
			if tc.replace != "" {
				mod.Replace = append(mod.Replace, struct{ Old struct{ Path string } }{struct{ Path string }{tc.replace}})
			}
			expect(t, checkGoMod(mod), tc.want...)
		})
	}
}

// Floor 0 must not creep: each row of the law is one of the picture in
// docs/architecture.md, and a unit never reaches its own floor or a higher one.
func TestFloorsLeadDownOnly(t *testing.T) {
	l := floorLaw()
	floor := map[string]int{
		"identity": 0, "secret": 0, "sqldb": 0, "web": 0, "storage": 1, "notify": 2,
		"authserver": 3, "account": 3, "mfa": 3, "recovery": 3, "federation": 3, "console": 3,
		"modules/rp": 2, "modules/*": 3, "cmd/simplon": 4, "e2e": 5, "bench": 6, ".": 0,
	}
	for unit, rule := range l.units {
		from, ok := floor[unit]
		if !ok {
			t.Errorf("%s has no number", unit)
		}
		for _, to := range append(rule.edges, rule.inTests...) {
			if n, ok := floor[to]; !ok || n >= from {
				t.Errorf("%s, floor %d, may import %s, floor %d", unit, from, to, n)
			}
		}
	}
}
