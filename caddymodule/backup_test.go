package caddymodule

import (
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

// A node on PostgreSQL is asked for a backup before anything else has made its data directory.
func TestSpoolMakesTheDataDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "yet")
	w := httptest.NewRecorder()
	err := spool(w, dir, func(w io.Writer) error { _, err := io.WriteString(w, "rows"); return err })
	if err != nil || w.Body.String() != "rows" || w.Header().Get("Content-Length") != "4" {
		t.Errorf("%v, %q", err, w.Body)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("%v, %d files are left", err, len(left))
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", err, info)
	}
}

// Commands that work on the directory without a server have to open the one that a server
// would open: whatever says where that is has to reach directoryOptions.
func TestSettingsReachCommands(t *testing.T) {
	known := []string{"origin", "data", "secret", "oldSecret", "keyLead", "strictHosts", "bootstrap", "database", "staleness", "sessions", "tenants", "tenantsKey", "media"}
	fields := reflect.TypeFor[settings]()
	for i := range fields.NumField() {
		if name := fields.Field(i).Name; !slices.Contains(known, name) {
			t.Errorf("the setting %s is new: where it says where the directory is, let directoryOptions and writeOffline say so, too, and restore from one kind into the other in a script; then name it here", name)
		}
	}
}
