// Package counterparts runs the real binary beside real servers and clients that
// nobody here wrote: MinIO and its clients, Chromium, an OpenID Connect client.
// `make test` sets the variables that name them; without, these tests say that
// they did not run.
package counterparts_test

import (
	"os"
	"path/filepath"
	"testing"
)

// counterpart returns the program that a variable names.
func counterpart(t testing.TB, variable string) string {
	t.Helper()
	program := os.Getenv(variable)
	if program == "" {
		t.Skipf("%s is not set: make test sets it", variable)
	}
	return program
}

// ran tells make test that a counterpart took part in a test that passed.
func ran(t testing.TB, name string) {
	t.Helper()
	t.Cleanup(func() {
		dir := os.Getenv("POSTERN_TEST_RAN")
		if dir == "" || t.Failed() || t.Skipped() {
			return
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Error(err)
		}
	})
}
