package harness

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
)

// lines is what a process has written so far, line by line, stdout and stderr
// together in the order they came. The zero value is ready. Safe for concurrent
// use; give each stream its own writer.
type lines struct {
	mu      sync.Mutex
	all     []string
	changed chan struct{}
	ended   bool
}

// writer returns an io.Writer for one stream.
func (l *lines) writer() *lineWriter { return &lineWriter{to: l} }

type lineWriter struct {
	to   *lines
	rest []byte
}

// Write takes whole lines and keeps the rest for later; it never fails.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, ok := bytes.Cut(w.rest, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		w.to.add(string(line))
		w.rest = append([]byte(nil), rest...)
	}
}

func (l *lines) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, line)
	l.wake()
}

// end says that nothing will follow.
func (l *lines) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
	l.wake()
}

func (l *lines) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// text is everything written so far.
func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}

// wait returns the first line, past ones included, that matches. It fails when
// ctx ends or when the process closed its output without such a line.
func (l *lines) wait(ctx context.Context, match func(string) bool) (string, error) {
	seen := 0
	for {
		l.mu.Lock()
		for ; seen < len(l.all); seen++ {
			if match(l.all[seen]) {
				l.mu.Unlock()
				return l.all[seen], nil
			}
		}
		if l.ended {
			l.mu.Unlock()
			return "", fmt.Errorf("the process ended without such a line; it wrote:\n%s", l.text())
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("%w; the process wrote:\n%s", ctx.Err(), l.text())
		case <-changed:
		}
	}
}
