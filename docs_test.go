// These tests keep the documentation true: links lead somewhere, commands and
// configuration keys exist, the printed help is the program's own, and the
// example application signs a person in.
package simplon_test

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"
)

// page is one Markdown file of the documentation.
type page struct {
	name   string // from the root, with slashes
	prose  string // without code blocks
	blocks []codeBlock
	spans  []string // inline code
}

// codeBlock is a fenced block, or an indented one, whose kind is "".
type codeBlock struct{ kind, text string }

func documentation(t *testing.T) []page {
	t.Helper()
	names := []string{"README.md", "CONTRIBUTING.md", "SECURITY.md"}
	err := fs.WalkDir(os.DirFS("."), "docs", func(name string, _ fs.DirEntry, err error) error {
		if path.Ext(name) == ".md" {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var pages []page
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, parsePage(name, string(text)))
	}
	return pages
}

func parsePage(name, text string) page {
	p := page{name: name}
	var prose, block strings.Builder
	kind, fenced := "", false
	flush := func() {
		if block.Len() > 0 {
			p.blocks = append(p.blocks, codeBlock{kind, block.String()})
		}
		block.Reset()
	}
	for line := range strings.Lines(text) {
		fence, isFence := strings.CutPrefix(line, "```")
		indented, isIndented := strings.CutPrefix(line, "    ")
		switch {
		case isFence:
			flush()
			kind, fenced = strings.TrimSpace(fence), !fenced
		case fenced:
			block.WriteString(line)
		case isIndented:
			block.WriteString(indented)
		default:
			flush()
			kind = ""
			prose.WriteString(line)
		}
	}
	flush()
	p.prose = prose.String()
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(p.prose, -1) {
		p.spans = append(p.spans, strings.Join(strings.Fields(m[1]), " "))
	}
	return p
}

// anchors are the names that headings of the page get, as code hosts make them.
func (p page) anchors() []string {
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(p.prose, -1) {
		out = append(out, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, m[1]))
	}
	return out
}

func TestDocsLinksLeadSomewhere(t *testing.T) {
	pages := documentation(t)
	links := 0
	for _, p := range pages {
		for _, m := range regexp.MustCompile(`(?:\]\(|<img src=")([^)"\s]+)[)"]`).FindAllStringSubmatch(p.prose, -1) {
			target, anchor, hasAnchor := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			links++
			file := p.name
			if target != "" {
				file = path.Join(path.Dir(p.name), target)
			}
			if _, err := os.Stat(filepath.FromSlash(file)); err != nil {
				t.Errorf("%s links to %s: %v", p.name, m[1], err)
				continue
			}
			if !hasAnchor {
				continue
			}
			i := slices.IndexFunc(pages, func(q page) bool { return q.name == file })
			if i < 0 || !slices.Contains(pages[i].anchors(), anchor) {
				t.Errorf("%s links to %s: no such heading", p.name, m[1])
			}
		}
	}
	if links < 20 {
		t.Errorf("only %d links were looked at", links)
	}
}

// Pictures are shown somewhere and small enough to be cloned by everybody.
func TestDocsPicturesAreShownAndSmall(t *testing.T) {
	pages := documentation(t)
	pictures, err := os.ReadDir("docs/images")
	if err != nil {
		t.Fatal(err)
	}
	for _, picture := range pictures {
		info, err := picture.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() == 0 || info.Size() > 80<<10 {
			t.Errorf("%s has %d bytes", picture.Name(), info.Size())
		}
		if !slices.ContainsFunc(pages, func(p page) bool { return strings.Contains(p.prose, "images/"+picture.Name()) }) {
			t.Errorf("no page shows %s", picture.Name())
		}
	}
}

// A path in backquotes that begins with a folder of ours names a file.
func TestDocsNameFilesThatExist(t *testing.T) {
	folders := regexp.MustCompile(`^(cmd|identity|secret|sqldb|storage|web|authserver|console|modules|e2e|docs)/[\w./-]+\.\w+$`)
	for _, p := range documentation(t) {
		for _, span := range p.spans {
			if folders.MatchString(span) {
				if _, err := os.Stat(filepath.FromSlash(span)); err != nil {
					t.Errorf("%s names %s: %v", p.name, span, err)
				}
			}
		}
	}
}

// configKeys reads keys and variables from the example configuration.
func configKeys(t *testing.T) (keys, variables []string) {
	t.Helper()
	text, err := os.ReadFile("config.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	keys = yamlKeys(string(text))
	variables = regexp.MustCompile(`SIMPLON_[A-Z_]+`).FindAllString(string(text), -1)
	if len(keys) < 30 || len(variables) < 30 {
		t.Fatalf("config.example.yaml has %d keys and %d variables", len(keys), len(variables))
	}
	return keys, variables
}

// yamlKeys lists dotted keys of YAML with two levels, sections included.
func yamlKeys(text string) []string {
	var keys []string
	section := ""
	for _, m := range regexp.MustCompile(`(?m)^( *)([a-z_]+):`).FindAllStringSubmatch(text, -1) {
		if m[1] == "" {
			section = m[2]
			keys = append(keys, section)
			continue
		}
		keys = append(keys, section+"."+m[2])
	}
	return keys
}

func TestDocsNameKeysThatExist(t *testing.T) {
	keys, variables := configKeys(t)
	ofTests := regexp.MustCompile(`^SIMPLON_(TEST_[A-Z_]+|SCREENSHOTS|)$`)
	var sections []string
	for _, k := range keys {
		if s, _, ok := strings.Cut(k, "."); ok {
			sections = append(sections, s)
		}
	}
	dotted := regexp.MustCompile(`^([a-z]+)\.[a-z_]+$`)
	for _, p := range documentation(t) {
		for _, span := range p.spans {
			m := dotted.FindStringSubmatch(span)
			if m != nil && slices.Contains(sections, m[1]) && !slices.Contains(keys, span) {
				t.Errorf("%s names the key %s, which does not exist", p.name, span)
			}
		}
		text := p.prose
		for _, b := range p.blocks {
			text += b.text
			if b.kind != "yaml" {
				continue
			}
			for _, k := range yamlKeys(b.text) {
				if !slices.Contains(keys, k) {
					t.Errorf("%s shows the key %s, which does not exist", p.name, k)
				}
			}
		}
		for _, v := range regexp.MustCompile(`SIMPLON_[A-Z_]*`).FindAllString(text, -1) {
			if !slices.Contains(variables, v) && !ofTests.MatchString(v) {
				t.Errorf("%s names the variable %s, which does not exist", p.name, v)
			}
		}
	}
}

// builtProgram is the simplon of these sources, or of SIMPLON_TEST_BINARY.
func builtProgram(t *testing.T) string {
	t.Helper()
	if ready := os.Getenv("SIMPLON_TEST_BINARY"); ready != "" {
		return ready
	}
	program := filepath.Join(t.TempDir(), "simplon")
	goOutput(t, "build", "-o", program, "./cmd/simplon")
	return program
}

// commandLine asks the program for its help.
type commandLine struct {
	program  string
	commands []string // "serve", "account create", …
}

func (c commandLine) help(t *testing.T, command string) string {
	t.Helper()
	cmd := exec.Command(c.program, append(strings.Fields(command), "--help")...)
	cmd.Env = cleanEnvironment()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("simplon %s --help: %v", command, err)
	}
	return string(out)
}

// cleanEnvironment is ours without settings of the program.
func cleanEnvironment(set ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "SIMPLON_") })
	return append(env, set...)
}

func newCommandLine(t *testing.T) commandLine {
	t.Helper()
	c := commandLine{program: builtProgram(t)}
	_, list, _ := strings.Cut(c.help(t, ""), "Commands:\n")
	for _, m := range regexp.MustCompile(`(?m)^  ([a-z][a-z -]*[a-z])  `).FindAllStringSubmatch(list, -1) {
		c.commands = append(c.commands, m[1])
	}
	if len(c.commands) < 8 {
		t.Fatalf("simplon --help lists %q", c.commands)
	}
	return c
}

// check finds every call of the program in a text and tells what is wrong.
func (c commandLine) check(t *testing.T, text string) (calls int, wrong []string) {
	t.Helper()
	text = strings.ReplaceAll(text, "\\\n", " ")
	call := regexp.MustCompile(`(?m)(?:^|[\s/(])simplon ([a-z-]+)(?: ([a-z-]+))?([^\n|;]*)`)
	for _, m := range call.FindAllStringSubmatch(text, -1) {
		calls++
		command := m[1]
		if !slices.Contains(c.commands, command) {
			command = m[1] + " " + m[2]
		}
		if strings.HasPrefix(m[1], "-") { // flags alone
			command = ""
		} else if !slices.Contains(c.commands, command) {
			wrong = append(wrong, fmt.Sprintf("simplon %s %s is no command", m[1], m[2]))
			continue
		}
		help := c.help(t, command)
		for _, flag := range regexp.MustCompile(`(?:^|\s)(--[a-z-]+)`).FindAllStringSubmatch(m[0], -1) {
			if !strings.Contains(help, flag[1]) {
				wrong = append(wrong, fmt.Sprintf("simplon %s has no flag %s", command, flag[1]))
			}
		}
	}
	return calls, wrong
}

func TestDocsNameCommandsThatExist(t *testing.T) {
	c := newCommandLine(t)
	total := 0
	for _, p := range documentation(t) {
		texts := slices.Clone(p.spans)
		for _, b := range p.blocks {
			if b.kind == "" {
				texts = append(texts, b.text)
			}
		}
		for _, text := range texts {
			calls, wrong := c.check(t, text)
			total += calls
			for _, w := range wrong {
				t.Errorf("%s: %s", p.name, w)
			}
		}
	}
	if total < 20 {
		t.Errorf("only %d calls were looked at", total)
	}
}

func TestDocsFindsCommandsThatDoNotExist(t *testing.T) {
	c := newCommandLine(t)
	for _, text := range []string{"simplon serv", "    simplon account make --login x\n", "./simplon serve --demon", "x | simplon init \\\n --isuer y"} {
		if calls, wrong := c.check(t, text); calls != 1 || len(wrong) != 1 {
			t.Errorf("%q: %d calls, %q", text, calls, wrong)
		}
	}
}

// The reference of the command line is the program's own words, for every
// command.
func TestDocsShowTheProgramsHelp(t *testing.T) {
	c := newCommandLine(t)
	var shown []string
	for _, p := range documentation(t) {
		for _, b := range p.blocks {
			first, rest, _ := strings.Cut(b.text, "\n")
			command, ok := strings.CutPrefix(first, "$ simplon")
			if command, isHelp := strings.CutSuffix(command, "--help"); ok && isHelp {
				command = strings.TrimSpace(command)
				shown = append(shown, command)
				if rest != c.help(t, command) {
					t.Errorf("%s: simplon %s --help now says:\n%s", p.name, command, c.help(t, command))
				}
			}
		}
	}
	for _, command := range append(c.commands, "") {
		if !slices.Contains(shown, command) {
			t.Errorf("no page shows simplon %s --help", command)
		}
	}
}

// blockOf returns the one block of the kind on a page.
func blockOf(t *testing.T, name, kind string) string {
	t.Helper()
	for _, p := range documentation(t) {
		for _, b := range p.blocks {
			if p.name == name && b.kind == kind {
				return b.text
			}
		}
	}
	t.Fatalf("%s has no block of kind %s", name, kind)
	return ""
}

// What the README shows are lines of the programs on the pages of integrations.
func TestDocsReadmeQuotesTheExamples(t *testing.T) {
	for kind, name := range map[string]string{"go": "docs/integrations/go-oidc.md", "js": "docs/integrations/openid-client.md"} {
		whole := blockOf(t, name, kind)
		for line := range strings.Lines(blockOf(t, "README.md", kind)) {
			line = strings.TrimSpace(line)
			if line != "" && !strings.HasPrefix(line, "// GET") && !strings.Contains(whole, line+"\n") {
				t.Errorf("README.md shows %q, which is not in %s", line, name)
			}
		}
	}
}

// The application for Node.js makes only calls that e2e drives for real.
func TestDocsNodeExampleMakesTestedCalls(t *testing.T) {
	tested, err := os.ReadFile("e2e/clients/walk.mjs")
	if err != nil {
		t.Fatal(err)
	}
	calls := regexp.MustCompile(`client\.\w+`).FindAllString(blockOf(t, "docs/integrations/openid-client.md", "js"), -1)
	if len(calls) < 8 {
		t.Errorf("only %q", calls)
	}
	for _, call := range calls {
		if !strings.Contains(string(tested), call) {
			t.Errorf("%s is not in e2e/clients/walk.mjs", call)
		}
	}
}

// started is a process whose standard error is read line by line.
type started struct {
	mu    sync.Mutex
	lines []string
	found chan struct{} // closed at the line waited for, or at the end
}

// start runs a program until the test ends and waits for a line on its standard
// error that contains sign; "" waits for nothing.
func start(t *testing.T, dir string, env []string, sign, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = dir, env
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s, read := &started{found: make(chan struct{})}, make(chan struct{})
	go func() {
		defer close(read)
		once := sync.OnceFunc(func() { close(s.found) })
		defer once()
		for scan := bufio.NewScanner(pipe); scan.Scan(); {
			s.mu.Lock()
			s.lines = append(s.lines, scan.Text())
			s.mu.Unlock()
			if strings.Contains(scan.Text(), sign) {
				once()
			}
		}
	}()
	t.Cleanup(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Logf("%s had ended: %v", program, err)
		}
		<-read
		_ = cmd.Wait() // killed: the error says so
		if t.Failed() {
			t.Logf("%s wrote:\n%s", program, strings.Join(s.lines, "\n"))
		}
	})
	<-s.found
	s.mu.Lock()
	defer s.mu.Unlock()
	if !strings.Contains(strings.Join(s.lines, "\n"), sign) {
		t.Fatalf("%s did not start", program)
	}
}
