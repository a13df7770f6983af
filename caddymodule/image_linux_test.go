package caddymodule

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// Only what is the file's, to be read, and as it is in the file.
func TestUntouched(t *testing.T) {
	mapping := func(head, anonymous, swap string) string {
		return head + "\nSize: 100 kB\nRss: 80 kB\nShared_Dirty: 0 kB\nPrivate_Dirty: 80 kB\nAnonymous: " +
			anonymous + " kB\nSwap: " + swap + " kB\nVmFlags: rd ex mr mw me\n"
	}
	const file = "/opt/my caddy"
	smaps := mapping("00400000-00500000 r-xp 00000000 fe:00 77   "+file, "0", "0") +
		mapping("00500000-00600000 r--p 00100000 fe:00 77   "+file, "0", "0") +
		mapping("00600000-00700000 r--p 00200000 fe:00 77   "+file, "4", "0") + // relocated
		mapping("00700000-00800000 r--p 00300000 fe:00 77   "+file, "8", "4") +
		mapping("00800000-00900000 r-xp 00400000 fe:00 77   "+file, "0", "4") +
		mapping("00900000-00a00000 rw-p 00500000 fe:00 77   "+file, "0", "0") +
		mapping("00a00000-00b00000 r--s 00500000 fe:00 77   "+file, "0", "0") +
		mapping("00b00000-00c00000 r-xp 00000000 fe:00 78   /usr/lib/other", "0", "0") +
		mapping("7f0000000000-7f0000100000 r--p 00000000 00:00 0", "0", "0") +
		mapping("00d00000-00e00000 r-xp 00600000 fe:00 77   "+file, "0", "0")
	want := []span{{0x400000, 0x500000}, {0x500000, 0x600000}, {0xd00000, 0xe00000}}
	if got := untouched(smaps, file); !reflect.DeepEqual(got, want) {
		t.Errorf("%x, not %x", got, want)
	}
}

// This process is let go of too, and runs on.
func TestLeaveImage(t *testing.T) {
	file := func() string {
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(status), "RssFile:")
		line, _, _ := strings.Cut(rest, "\n")
		return strings.TrimSpace(line)
	}
	before := file()
	leaveImage()
	after := file()
	t.Logf("%s, then %s", before, after)
	if len(after) > len(before) || len(after) == len(before) && after >= before {
		t.Errorf("nothing was let go of: %s, then %s", before, after)
	}
}
