package sqldb_test

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/postern-sso/postern/storage/sqldb"
)

// A process that starts another one shares its open files with it for a moment, between fork and exec. Who lets go
// of a directory then has let go of it. The control is a directory that is still open.
func TestLockOutlivesNoFork(t *testing.T) {
	dir := t.TempDir()
	var inherited []int
	again(t, sqldb.Options{Dir: dir}, func(*sqldb.DB) {
		all, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		for _, f := range all {
			if to, err := os.Readlink("/proc/self/fd/" + f.Name()); err == nil && to == filepath.Join(dir, "lock") {
				fd, err := strconv.Atoi(f.Name())
				must(t, err)
				copied, err := syscall.Dup(fd) // what fork does
				must(t, err)
				inherited = append(inherited, copied)
			}
		}
		if _, err := sqldb.Open(t.Context(), sqldb.Options{Dir: dir, Master: master(t, 'k')}); err == nil {
			t.Error("control: a directory that is open is opened")
		}
	})
	if len(inherited) != 1 {
		t.Fatalf("%d files are the lock", len(inherited))
	}
	again(t, sqldb.Options{Dir: dir}, func(*sqldb.DB) {})
	must(t, syscall.Close(inherited[0]))
}
