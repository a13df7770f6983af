package caddymodule

import (
	"reflect"
	"slices"
	"testing"
)

// Commands that work on the directory without a server have to open the one that a server
// would open: whatever says where that is has to reach directoryOptions.
func TestSettingsReachCommands(t *testing.T) {
	known := []string{"origin", "data", "secret", "oldSecret", "keyLead", "strictHosts", "bootstrap", "database", "staleness"}
	fields := reflect.TypeFor[settings]()
	for i := range fields.NumField() {
		if name := fields.Field(i).Name; !slices.Contains(known, name) {
			t.Errorf("the setting %s is new: where it says where the directory is, let directoryOptions and writeOffline say so, too, and restore from one kind into the other in a script; then name it here", name)
		}
	}
}
