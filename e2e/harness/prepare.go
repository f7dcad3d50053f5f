package harness

import (
	"maps"
	"net"
	"path/filepath"
	"testing"

	"simplon/sqldb/pgtest"
)

// Prepare makes a node with an empty database that is not started: for tests
// whose matter is the start. Until TryRun or WriteConfig its Issuer and
// DatabaseURL may be changed.
func (s *Suite) Prepare(tb testing.TB, engine Engine, settings Settings) *Server {
	tb.Helper()
	node := &Server{suite: s, Engine: engine, DataDir: filepath.Join(shortDir(tb), "data"), settings: roomy()}
	maps.Copy(node.settings, settings)
	if engine == PostgreSQL {
		node.DatabaseURL = pgtest.New(tb)
	}
	node.Address, node.Private = freeAddress(tb), freeAddress(tb)
	_, port, _ := net.SplitHostPort(node.Address)
	node.Issuer = "http://localhost:" + port
	return node
}

// WriteConfig writes the configuration of a prepared node, so that its commands
// can run.
func (n *Server) WriteConfig(tb testing.TB) {
	tb.Helper()
	n.writeConfig(tb)
}

// TryRun starts a node whose configuration is written and waits until it is ready
// (nil) or ended (an error with what it wrote; see ExitCode). What it started ends
// with the test. It may be called from several goroutines for several nodes.
func (n *Server) TryRun(tb testing.TB) error {
	tb.Helper()
	if err := n.run(tb); err != nil {
		return err
	}
	tb.Cleanup(func() { n.end(tb) })
	return nil
}

// ExitCode is how the last process of the node ended; -1 while it runs.
func (n *Server) ExitCode() int {
	if n.process == nil || n.process.running() {
		return -1
	}
	return n.process.cmd.ProcessState.ExitCode()
}
