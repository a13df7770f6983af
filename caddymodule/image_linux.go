package caddymodule

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

// leaveImage lets go of the program's own pages, its code and constants, which the kernel brings back from its
// cache when they are used again. It maps sixteen around each one that is touched, and what a start touches is
// half of the program; what runs afterwards is a tenth. As long as they are mapped they count as this process's
// memory, and the kernel hesitates to take them. Errors are of no consequence: the pages stay, as they would.
func leaveImage() {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	for _, m := range untouched(string(smaps), exe) {
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, m.start, m.end-m.start, syscall.MADV_DONTNEED)
	}
}

// span is a range of addresses.
type span struct{ start, end uintptr }

// untouched is where the file is mapped, may not be written to and never was: what a loader relocated or a
// debugger set is a copy (anonymous) and not in the file, and letting go would lose it. Dirty pages may be the
// file's own, when it was just written. smaps is described in proc_pid_smaps(5).
func untouched(smaps, file string) []span {
	var out []span
	in := false
	for line := range strings.Lines(smaps) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		if name, isKey := strings.CutSuffix(fields[0], ":"); isKey {
			if copied := name == "Anonymous" || name == "Swap"; in && copied && fields[1] != "0" {
				out, in = out[:len(out)-1], false
			}
			continue
		}
		in = false
		// 00400000-023c0000 r-xp 00000000 fe:00 1234  /usr/bin/caddy
		if len(fields) < 6 || strings.Contains(fields[1], "w") || !strings.HasSuffix(fields[1], "p") ||
			!strings.HasSuffix(strings.TrimSuffix(line, "\n"), " "+file) {
			continue
		}
		from, to, _ := strings.Cut(fields[0], "-")
		start, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err1 != nil || err2 != nil || start >= end {
			continue
		}
		out, in = append(out, span{uintptr(start), uintptr(end)}), true
	}
	return out
}
