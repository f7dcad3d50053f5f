package harness

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Node is a running script of e2e/clients that talks in lines of JSON.
type Node struct {
	tb      testing.TB
	process *process
	stdin   io.WriteCloser
}

// Node starts a script; it is killed at the end of the test if it still runs.
func (s *Suite) Node(tb testing.TB, script string) *Node {
	tb.Helper()
	program, err := exec.LookPath("node")
	if err != nil {
		tb.Fatalf("node is not installed (make deps): %v", err)
	}
	n := &Node{tb: tb}
	read, write, err := os.Pipe() // a file, so that nobody has to copy to the end
	if err != nil {
		tb.Fatal(err)
	}
	defer read.Close()
	n.stdin = write
	n.process, err = startProcess(s.Clients, environment(), read, program, filepath.Join(s.Clients, script))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		write.Close()
		if err := n.process.kill(); err != nil {
			tb.Error(err)
		}
	})
	return n
}

// Say sends the script a line.
func (n *Node) Say(value any) {
	n.tb.Helper()
	line, err := json.Marshal(value)
	if err != nil {
		n.tb.Fatal(err)
	}
	if _, err := n.stdin.Write(append(line, '\n')); err != nil {
		n.tb.Fatalf("write to the script: %v", err)
	}
}

// Hear waits for the line that has the key and decodes it.
func (n *Node) Hear(key string, into any) {
	n.tb.Helper()
	ctx, cancel := context.WithTimeout(n.tb.Context(), patience)
	defer cancel()
	line, err := n.process.out.wait(ctx, func(line string) bool {
		var object map[string]json.RawMessage
		return strings.HasPrefix(line, "{") && json.Unmarshal([]byte(line), &object) == nil && object[key] != nil
	})
	if err != nil {
		n.tb.Fatalf("wait for the script's %q: %v", key, err)
	}
	if err := json.Unmarshal([]byte(line), into); err != nil {
		n.tb.Fatalf("the script's %q: %v in %s", key, err, line)
	}
}

// Ended waits for the script's end and wants exit code 0.
func (n *Node) Ended() {
	n.tb.Helper()
	<-n.process.exited
	if n.process.err != nil {
		n.tb.Errorf("the script failed: %v\n%s", n.process.err, n.process.out.text())
	}
}
