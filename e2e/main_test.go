// Package e2e owns the tests of the whole binary: built once, run on SQLite and
// on PostgreSQL, driven over HTTP by unmodified foreign clients and in a real
// browser. It reaches nothing of the product but its commands, pages and
// protocol endpoints; how these are reached stands in e2e/harness. What a
// stranger would try stands in e2e/attacks.
package e2e

import (
	"os"
	"testing"

	"simplon/e2e/harness"
)

// suite is what the tests of this package share; set once by TestMain.
var suite *harness.Suite

func TestMain(m *testing.M) {
	os.Exit(harness.Main(m, func(s *harness.Suite) { suite = s }))
}
