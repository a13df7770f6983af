package session_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/postern-sso/postern/core/session"
)

// of a million sessions of the same millisecond no two have one ID. It opens nothing: the
// cookie's key does, which core tests.
func TestIDsAreUnique(t *testing.T) {
	n := 20_000
	if text := os.Getenv("POSTERN_TEST_IDS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	seen := make(map[string]struct{}, n)
	for range n {
		id := string(session.NewID(now))
		if len(id) != 36 || id[:8] != string(session.NewID(now))[:8] { // what is not random is the time
			t.Fatalf("%q", id)
		}
		seen[id[14:]] = struct{}{}
	}
	if len(seen) != n {
		t.Errorf("%d of %d are different", len(seen), n)
	}
}
