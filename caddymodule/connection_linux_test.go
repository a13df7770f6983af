package caddymodule

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// What the kernel keeps of a file for who does not read it is bounded. The control is a server whose requests do not
// know their connection.
func TestUnsentIsBounded(t *testing.T) {
	path, _ := someFile(t, 16<<20)
	kept := func(know bool) int {
		waits := make(chan int, 1)
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			c, ok := r.Context().Value(connectionKey{}).(*net.TCPConn)
			if !ok {
				t.Error("no connection")
				return
			}
			if !know {
				r = r.WithContext(context.WithValue(r.Context(), connectionKey{}, nil))
			}
			w, r = writeIdle(w, r, time.Minute)
			first := &firstWrite{&caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, func() { waits <- queued(t, c) }}
			f, err := os.Open(path)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			http.ServeContent(newFileWriter(first, r), r, "", time.Time{}, f)
		}))
		s.Config.ConnContext = withConnection
		s.Start()
		defer s.Close()
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if tcp, ok := c.(*net.TCPConn); !ok || tcp.SetReadBuffer(16<<10) != nil {
			t.Fatal("no buffer")
		}
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		select {
		case n := <-waits:
			return n
		case <-time.After(time.Minute):
			t.Fatal("nobody is waited for")
		}
		return 0
	}
	// A part of the size of the network's packets, here 64 KiB, goes on top.
	if n := kept(true); n < 16<<10 || n > 2*unsent {
		t.Errorf("%d bytes are kept", n)
	}
	if n := kept(false); n <= 2*unsent {
		t.Errorf("control: %d bytes are kept by a kernel that was told nothing", n)
	}
}

// firstWrite tells of the first piece that is not sent by ReadFrom: somebody is waited for.
type firstWrite struct {
	*caddyhttp.ResponseWriterWrapper
	tell func()
}

func (w *firstWrite) Write(p []byte) (int, error) {
	if w.tell != nil {
		w.tell()
		w.tell = nil
	}
	return w.ResponseWriter.Write(p)
}

// queued is how much of what was written the client has not acknowledged (tcp(7), SIOCOUTQ).
func queued(t *testing.T, c syscall.Conn) int {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Error(err)
		return 0
	}
	n := int32(0)
	if err := raw.Control(func(fd uintptr) {
		_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&n)))
		if errno != 0 {
			t.Error(errno)
		}
	}); err != nil {
		t.Error(err)
	}
	return int(n)
}
