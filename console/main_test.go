package console

import (
	"os"
	"testing"

	"simplon/sqldb/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
