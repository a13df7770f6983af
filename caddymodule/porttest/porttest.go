//go:build unix

// Package porttest gives tests that start servers their ports.
package porttest

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// Free returns a TCP port that is free, and stays the test's own: two servers of ours
// could listen on one port without an error, as Caddy's sockets share theirs, and each would get
// some of the other's requests. It is none that the system gives out by itself, and locked
// against other tests, those of other processes too.
func Free(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(os.TempDir(), "postern-test-ports")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range 20_000 {
		port := strconv.Itoa(10_000 + (131*os.Getpid()+i)%20_000)                         // each process begins elsewhere
		taken, err := os.OpenFile(filepath.Join(dir, port), os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // a number in a directory of our own
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Flock(int(taken.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			_ = taken.Close()
			continue
		}
		l, err := net.Listen("tcp", ":"+port)
		if err != nil {
			_ = taken.Close()
			continue
		}
		_ = l.Close()
		t.Cleanup(func() { _ = taken.Close() })
		return port
	}
	t.Fatal("no port is free")
	return ""
}
