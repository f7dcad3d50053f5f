package simplon_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// law is what checkImports enforces.
type law struct {
	module string
	units  map[string]unitRule
	// owners says which units may import a library, by the longest prefix of the
	// import path; testOwners adds units whose tests may. "*" is everybody.
	owners     map[string][]string
	testOwners map[string][]string
}

type unitRule struct{ edges, inTests []string }

// goPackage is what go list -json says of a package, as far as it matters here.
type goPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Error        *struct{ Err string }
}

// unit is the unit an import path of the module belongs to.
func (l law) unit(importPath string) string {
	rest := strings.TrimPrefix(strings.TrimPrefix(importPath, l.module), "/")
	parts := strings.Split(rest, "/")
	switch {
	case rest == "":
		return "."
	case len(parts) > 1 && (parts[0] == "cmd" || parts[0] == "modules"):
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

// rule is the row of a unit, or that of its parent with a star.
func (l law) rule(unit string) (unitRule, bool) {
	if r, ok := l.units[unit]; ok {
		return r, true
	}
	r, ok := l.units[path.Dir(unit)+"/*"]
	return r, ok && unit != "."
}

// names reports whether a list of units holds a unit, by name or by a star.
func names(units []string, unit string) bool {
	return slices.Contains(units, unit) || slices.Contains(units, "*") || slices.Contains(units, path.Dir(unit)+"/*")
}

// ours reports whether an import path lies in the module.
func (l law) ours(importPath string) bool {
	return importPath == l.module || strings.HasPrefix(importPath, l.module+"/")
}

// testSupport reports whether a package exists for tests only: a folder named
// …test, or e2e and bench.
func (l law) testSupport(importPath string) bool {
	if u := l.unit(importPath); u == "e2e" || u == "bench" {
		return true
	}
	return slices.ContainsFunc(strings.Split(importPath, "/"), func(part string) bool {
		return strings.HasSuffix(part, "test")
	})
}

// checkImports holds every import of every package against the law.
func checkImports(packages []goPackage, l law) []string {
	var bad []string
	for _, p := range packages {
		if p.Error != nil {
			bad = append(bad, fmt.Sprintf("%s: %s", p.ImportPath, p.Error.Err))
		}
		if _, ok := l.rule(l.unit(p.ImportPath)); !ok {
			bad = append(bad, fmt.Sprintf("%s stands on no floor; give it a row in floors_test.go and say why in docs/decisions", p.ImportPath))
			continue
		}
		for _, imported := range p.Imports {
			bad = append(bad, l.checkImport(p.ImportPath, imported, false)...)
		}
		for _, imported := range slices.Concat(p.TestImports, p.XTestImports) {
			bad = append(bad, l.checkImport(p.ImportPath, imported, true)...)
		}
	}
	slices.Sort(bad)
	return slices.Compact(bad)
}

func (l law) checkImport(from, imported string, inTest bool) []string {
	who := from
	if inTest {
		who = "a test of " + from
	}
	unit := l.unit(from)
	if !l.ours(imported) {
		return l.checkOwner(who, unit, imported, inTest)
	}
	var bad []string
	rule, _ := l.rule(unit)
	to := l.unit(imported)
	if to != unit && !names(rule.edges, to) && !(inTest && names(rule.inTests, to)) {
		bad = append(bad, fmt.Sprintf("%s imports %s: there is no edge from %s to %s", who, imported, unit, to))
	}
	if l.testSupport(imported) && !inTest && !l.testSupport(from) {
		bad = append(bad, fmt.Sprintf("%s imports %s, which is for tests", who, imported))
	}
	return bad
}

func (l law) checkOwner(who, unit, imported string, inTest bool) []string {
	owners, owned := longest(l.owners, imported)
	testers, tested := longest(l.testOwners, imported)
	standard := !strings.Contains(strings.Split(imported, "/")[0], ".")
	switch {
	case names(owners, unit), inTest && names(testers, unit), standard && !owned:
		return nil
	case !owned && !tested:
		return []string{fmt.Sprintf("%s imports %s, which nobody owns; a new library needs a row in floors_test.go", who, imported)}
	case tested && !owned:
		return []string{fmt.Sprintf("%s imports %s, which is for tests of %s", who, imported, strings.Join(testers, ", "))}
	}
	return []string{fmt.Sprintf("%s imports %s, which belongs to %s", who, imported, strings.Join(owners, ", "))}
}

// longest finds the row of the longest prefix of an import path.
func longest(rows map[string][]string, importPath string) (units []string, ok bool) {
	for p := importPath; p != "."; p = path.Dir(p) {
		if units, ok := rows[p]; ok {
			return units, true
		}
	}
	return nil, false
}

// goMod is what go mod edit -json says, as far as it matters here.
type goMod struct {
	Replace []struct{ Old struct{ Path string } }
	Require []struct {
		Path, Version string
		Indirect      bool
	}
}

// checkGoMod: what is built is what is written. A replace would mean something
// else for everybody who imports or installs the module; a version without a
// release is one nobody else can judge.
func checkGoMod(mod goMod) []string {
	release := regexp.MustCompile(`^v\d+\.\d+\.\d+(\+incompatible)?$`)
	anyExact := regexp.MustCompile(`^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+incompatible)?$`)
	var bad []string
	for _, r := range mod.Replace {
		bad = append(bad, "go.mod replaces "+r.Old.Path)
	}
	for _, r := range mod.Require {
		if !anyExact.MatchString(r.Version) || !r.Indirect && !release.MatchString(r.Version) {
			bad = append(bad, fmt.Sprintf("go.mod requires %s %s, which is no exact release", r.Path, r.Version))
		}
	}
	return bad
}

const (
	maxFileLines     = 600
	maxFunctionLines = 80
)

// notOurs are folders that hold what was made or fetched, not written.
func notOurs(p string) bool {
	switch path.Base(p) {
	case ".git", "node_modules":
		return true
	}
	return slices.Contains([]string{"data", "dist", ".cache", "e2e/screenshots"}, p) || strings.Contains(p+"/", "testdata/fuzz/")
}

// checkSource holds every file of a tree against the rules of style that a
// machine can judge. It returns how many files it looked at.
func checkSource(tree fs.FS) (bad []string, files int, err error) {
	hasCode, hasComment := map[string]bool{}, map[string]bool{}
	err = fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && notOurs(p):
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		text, err := fs.ReadFile(tree, p)
		if err != nil {
			return err
		}
		if bytes.IndexByte(text, 0) >= 0 {
			return nil // a picture or a program
		}
		files++
		bad = append(bad, checkText(p, string(text))...)
		if path.Ext(p) != ".go" {
			return nil
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, p, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			bad = append(bad, "does not parse: "+err.Error())
			return nil
		}
		c := goFile{fset: fset, file: file}
		c.check(strings.HasSuffix(p, "_test.go"))
		bad = append(bad, c.bad...)
		if !strings.HasSuffix(p, "_test.go") {
			hasCode[path.Dir(p)] = true
			hasComment[path.Dir(p)] = hasComment[path.Dir(p)] || strings.TrimSpace(file.Doc.Text()) != ""
		}
		return nil
	})
	for _, dir := range slices.Sorted(maps.Keys(hasCode)) {
		if !hasComment[dir] {
			bad = append(bad, dir+": the package has no comment that says what it owns and what it does not")
		}
	}
	return bad, files, err
}

// checkText finds what no file may say. The needles are built from pieces, so
// that this file does not hold them.
func checkText(name, text string) []string {
	unfinished := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	local := regexp.MustCompile(`/(wo` + `rk|fa` + `rm)/|bash_` + `jobs|\.\./sha` + `red`)
	registry := regexp.MustCompile(`(proxy|sum)\.golang` + `\.org|registry\.npm` + `js\.org|deb\.debian` + `\.org|py` + `pi\.org`)
	var bad []string
	n := 0
	for line := range strings.Lines(text) {
		n++
		for _, rule := range []struct {
			needle *regexp.Regexp
			says   string
		}{
			{unfinished, "unfinished mark %q; finish it, or write an issue"},
			{local, "path %q means nothing to a stranger"},
			{registry, "host of a package registry %q; the tools know theirs"},
		} {
			if m := rule.needle.FindString(line); m != "" {
				bad = append(bad, fmt.Sprintf("%s:%d: "+rule.says, name, n, m))
			}
		}
	}
	return bad
}

// goFile checks one file.
type goFile struct {
	fset *token.FileSet
	file *ast.File
	bad  []string
}

func (c *goFile) wrong(pos token.Pos, format string, args ...any) {
	p := c.fset.Position(pos)
	c.bad = append(c.bad, fmt.Sprintf("%s:%d: %s", p.Filename, p.Line, fmt.Sprintf(format, args...)))
}

func (c *goFile) lines(n ast.Node) int {
	return c.fset.Position(n.End()).Line - c.fset.Position(n.Pos()).Line + 1
}

func (c *goFile) check(test bool) {
	if test {
		c.checkSkips()
	} else if lines := c.fset.File(c.file.Pos()).LineCount(); lines > maxFileLines {
		c.wrong(c.file.Pos(), "the file has %d lines; split it by meaning at %d", lines, maxFileLines)
	}
	for _, decl := range c.file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil && d.Name.Name == "init" {
				c.wrong(d.Pos(), "func init: wire it in cmd/simplon/serve.go")
			}
			if lines := c.lines(d); !test && lines > maxFunctionLines {
				c.wrong(d.Pos(), "%s has %d lines; split it by meaning at %d", d.Name.Name, lines, maxFunctionLines)
			}
		case *ast.GenDecl:
			if d.Tok == token.VAR && !test {
				c.checkVariables(d)
			}
		}
	}
}

// checkVariables refuses exported variables, which any importer could change;
// error sentinels are the custom of the language.
func (c *goFile) checkVariables(d *ast.GenDecl) {
	for _, spec := range d.Specs {
		for _, name := range spec.(*ast.ValueSpec).Names {
			if name.IsExported() && !strings.HasPrefix(name.Name, "Err") {
				c.wrong(name.Pos(), "exported variable %s; make it a constant or a function", name.Name)
			}
		}
	}
}

// checkSkips refuses every way in which a test can leave itself out.
func (c *goFile) checkSkips() {
	testers := map[string]bool{}
	ast.Inspect(c.file, func(n ast.Node) bool {
		if field, ok := n.(*ast.Field); ok && isTester(field.Type) {
			for _, name := range field.Names {
				testers[name.Name] = true
			}
		}
		return true
	})
	ast.Inspect(c.file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		if !ok {
			return true
		}
		switch name := sel.Sel.Name; {
		case testers[x.Name] && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, name),
			x.Name == "testing" && name == "Short":
			c.wrong(call.Pos(), "%s.%s: no test leaves itself out; make deps installs what it needs", x.Name, name)
		}
		return true
	})
}

// isTester reports whether a type is *testing.T, B or F, or testing.TB.
func isTester(t ast.Expr) bool {
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	sel, ok := t.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == "testing" && slices.Contains([]string{"T", "B", "F", "TB"}, sel.Sel.Name)
}
