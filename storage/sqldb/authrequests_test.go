package sqldb_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/sqldb"
	"github.com/postern-sso/postern/storage/storagetest"
)

// All that wait are bounded, too, and are not counted for each that is saved.
func TestAuthRequestsAreBounded(t *testing.T) {
	clock := storagetest.NewClock()
	db := open(t, sqldb.Options{Dir: t.TempDir(), Now: clock.Now})
	counts := 0
	db.Trace(func(_ core.TenantID, query string, _ []any) {
		if strings.Contains(query, `count(*) FROM auth_requests WHERE expires`) {
			counts++
		}
	})
	n := 0
	save := func() error {
		n++
		return db.SaveAuthRequest(t.Context(), "public", fmt.Sprint("id", n), nil, clock.Now().Add(30*time.Minute))
	}
	for range 100 {
		must(t, save())
	}
	if counts != 1 {
		t.Errorf("%d counts for 100 that were saved", counts)
	}
	must(t, db.FillAuthRequests(t.Context(), "public", 9890, clock.Now().Add(20*time.Minute)))
	clock.Add(2 * time.Minute) // what other nodes saved is seen
	for range 10 {
		must(t, save())
	}
	for range 100 {
		if save() == nil {
			t.Fatal("there is room beyond 10,000")
		}
	}
	if counts > 3 {
		t.Errorf("%d counts, most for what was refused", counts)
	}
	clock.Add(20 * time.Minute)
	must(t, save())
}
