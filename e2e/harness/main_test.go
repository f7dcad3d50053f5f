package harness

import (
	"fmt"
	"os"
	"testing"
)

// suite is shared by the tests of this package; set once by TestMain.
var suite *Suite

func TestMain(m *testing.M) { os.Exit(mainForHarness(m)) }

func mainForHarness(m *testing.M) int {
	s, err := newSuiteWithoutBinary()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer s.close()
	suite = s
	return m.Run()
}
