// Package harness owns the running of the real thing in tests: it builds the
// binary, starts and stops it on SQLite or PostgreSQL, runs its commands, reads
// its logs and metrics, and brings three kinds of visitors: a browser-like HTTP
// client for load and attacks, Chromium with axe-core for what people see, and
// an application that speaks OAuth by hand for what libraries would not say.
//
// It owns no expectation: what the product must do stands in the tests of e2e
// and e2e/attacks. It imports nothing of the product but the test databases.
package harness

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"simplon/sqldb/pgtest"
)

// binaryVariable names a ready binary (for instance one built with -race);
// without it, the binary is built once for each test package.
const binaryVariable = "SIMPLON_TEST_BINARY"

// Suite is what all tests of one package share: the binary, the foreign clients
// and one Chromium. Its methods are safe for concurrent use.
type Suite struct {
	// Binary is the path of the built command.
	Binary string
	// Root is the folder of the module.
	Root string
	// Clients is the folder e2e/clients with its node_modules.
	Clients string

	scratch string
	chrome  struct {
		sync.Once
		*chrome
		err error
	}
}

// Main prepares a Suite, hands it to use, runs the tests and tidies up; it
// returns the exit code for TestMain. Anything missing on the machine fails the
// run with a sentence that says what to do: no test of these packages is ever
// skipped.
func Main(m *testing.M, use func(*Suite)) int {
	s, err := newSuite()
	if err != nil {
		fmt.Fprintf(os.Stderr, "e2e: %v\n", err)
		return 1
	}
	defer s.close()
	use(s)
	return pgtest.Main(m)
}

func newSuite() (*Suite, error) {
	s, err := newSuiteWithoutBinary()
	if err != nil {
		return nil, err
	}
	if err := s.build(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// newSuiteWithoutBinary is enough for the harness's own tests, which run when
// the product does not even build.
func newSuiteWithoutBinary() (*Suite, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "simplon-e2e-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the run: %w", err)
	}
	s := &Suite{Root: root, Clients: filepath.Join(root, "e2e", "clients"), scratch: scratch}
	if err := s.installClients(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func moduleRoot() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	if !ok {
		return "", errors.New("find the module: no caller information")
	}
	root := filepath.Dir(filepath.Dir(filepath.Dir(file)))
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		return "", fmt.Errorf("find the module (built with -trimpath?): %w", err)
	}
	return root, nil
}

func (s *Suite) build() error {
	if ready := os.Getenv(binaryVariable); ready != "" {
		if _, err := os.Stat(ready); err != nil {
			return fmt.Errorf("%s: %w", binaryVariable, err)
		}
		s.Binary = ready
		return nil
	}
	s.Binary = filepath.Join(s.scratch, "simplon")
	cmd := exec.Command("go", "build", "-o", s.Binary, "./cmd/simplon")
	cmd.Dir = s.Root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build ./cmd/simplon: %w\n%s", err, out)
	}
	return nil
}

// installClients makes sure that the npm packages are there, exactly as the
// lock file pins them.
func (s *Suite) installClients() error {
	if _, err := exec.LookPath("node"); err != nil {
		return errors.New("node is not installed; the tests need Node.js 20 or newer (make deps)")
	}
	if _, err := os.Stat(filepath.Join(s.Clients, "node_modules", "axe-core", "axe.min.js")); err == nil {
		return nil
	}
	cmd := exec.Command("npm", "ci")
	cmd.Dir = s.Clients
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci in e2e/clients: %w\n%s", err, out)
	}
	return nil
}

func (s *Suite) close() {
	if s.chrome.chrome != nil {
		s.chrome.stop()
	}
	if err := os.RemoveAll(s.scratch); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: remove the run's folder: %v\n", err)
	}
}

// environment is the surroundings of a child process without our own
// variables, plus set.
func environment(set ...string) []string {
	var env []string
	for _, entry := range os.Environ() {
		if !strings.HasPrefix(entry, "SIMPLON_") {
			env = append(env, entry)
		}
	}
	return append(env, set...)
}
