package handlers

import (
	"os"
	"testing"

	"github.com/fila-ia/filaia/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.Run(m)) }
