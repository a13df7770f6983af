// Package disktest makes the disk under SQLite fail, for tests: reads and writes of files give EIO, as
// from a disk with bad sectors or a network file system that is gone, or EROFS, as where the kernel has since made the
// file system read-only.
package disktest

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// Fault says as what one access of a file fails, or 0.
type Fault func(path string, write bool) syscall.Errno

type (
	// transfer is pread and pwrite.
	transfer = func(tls *libc.TLS, fd int32, buf uintptr, n libc.Tsize_t, at libc.Toff_t) libc.Tssize_t
	// truncate is ftruncate.
	truncate = func(tls *libc.TLS, fd int32, size libc.Toff_t) int32
)

var (
	fault   atomic.Pointer[Fault] //nolint:gochecknoglobals // SQLite's calls to the system are one table for the whole process
	install sync.Once             //nolint:gochecknoglobals // as above
	kept    []any                 //nolint:gochecknoglobals // the collector does not see what SQLite holds
)

// Set replaces the fault for the whole process. Nil: none. SQLite knows these functions as calls to the system
// (sqlite3_vfs.xSetSystemCall).
func Set(f Fault) {
	install.Do(func() {
		tls := libc.NewTLS()
		defer tls.Close()
		at := sqlite3.Xsqlite3_vfs_find(tls, 0)
		vfs := *(**sqlite3.Tsqlite3_vfs)(unsafe.Pointer(&at)) //nolint:gosec // SQLite in Go keeps C's pointers as numbers
		for _, name := range []string{"pread", "pwrite"} {
			now := original[transfer](tls, vfs, name)
			replace(tls, vfs, name, func(tls *libc.TLS, fd int32, buf uintptr, n libc.Tsize_t, at libc.Toff_t) libc.Tssize_t {
				if fails(tls, fd, name == "pwrite") {
					return -1
				}
				return now(tls, fd, buf, n, at)
			})
		}
		now := original[truncate](tls, vfs, "ftruncate")
		replace(tls, vfs, "ftruncate", func(tls *libc.TLS, fd int32, size libc.Toff_t) int32 {
			if fails(tls, fd, true) {
				return -1
			}
			return now(tls, fd, size)
		})
	})
	if f == nil {
		fault.Store(nil)
		return
	}
	fault.Store(&f)
}

func fails(tls *libc.TLS, fd int32, write bool) bool {
	f := fault.Load()
	if f == nil {
		return false
	}
	path, err := os.Readlink(fmt.Sprint("/proc/self/fd/", fd))
	if err != nil {
		return false
	}
	as := (*f)(path, write)
	if as == 0 {
		return false
	}
	errno := libc.X__errno_location(tls)
	**(**int32)(unsafe.Pointer(&errno)) = int32(as) //nolint:gosec // SQLite in Go keeps C's pointers as numbers
	return true
}

func cString(tls *libc.TLS, s string) (uintptr, func()) {
	p, err := libc.CString(s)
	if err != nil {
		panic(err)
	}
	return p, func() { libc.Xfree(tls, p) }
}

// original is what SQLite calls now.
func original[F any](tls *libc.TLS, vfs *sqlite3.Tsqlite3_vfs, name string) F {
	text, free := cString(tls, name)
	defer free()
	get := *(*func(*libc.TLS, uintptr, uintptr) uintptr)(unsafe.Pointer(&struct{ uintptr }{vfs.FxGetSystemCall})) //nolint:gosec // SQLite in Go keeps C's pointers as numbers
	f := get(tls, 0, text)
	if f == 0 {
		panic("SQLite has no system call " + name)
	}
	return *(*F)(unsafe.Pointer(&struct{ uintptr }{f})) //nolint:gosec // SQLite in Go keeps C's pointers as numbers
}

func replace[F any](tls *libc.TLS, vfs *sqlite3.Tsqlite3_vfs, name string, f F) {
	kept = append(kept, f)
	text, free := cString(tls, name)
	defer free()
	set := *(*func(*libc.TLS, uintptr, uintptr, uintptr) int32)(unsafe.Pointer(&struct{ uintptr }{vfs.FxSetSystemCall})) //nolint:gosec // SQLite in Go keeps C's pointers as numbers
	if rc := set(tls, 0, text, *(*uintptr)(unsafe.Pointer(&f))); rc != sqlite3.SQLITE_OK {                               //nolint:gosec // SQLite in Go keeps C's pointers as numbers
		panic(fmt.Sprint("SQLite does not take ", name, ": ", rc))
	}
}
