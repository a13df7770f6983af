package caddymodule

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

// writeIdle does with an answer as Caddy does by default.
func writeIdle(w http.ResponseWriter, r *http.Request, patience time.Duration) (http.ResponseWriter, *http.Request) {
	idle := &caddyhttp.IdleTimeoutWriter{
		ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w},
		Ctrl:                  http.NewResponseController(w),
		Deadline:              caddyhttp.IdleDeadline{Timeout: patience},
		Logger:                zap.NewNop(),
	}
	return idle, r.WithContext(caddyhttp.ContextWithIdleTimeouts(r.Context(), nil, idle))
}

func someFile(t *testing.T, size int) (path string, content []byte) {
	t.Helper()
	content = make([]byte, size)
	_, _ = rand.Read(content)
	path = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, content
}

// Both as Caddy is by default and without its write_idle, whoever stops reading a file loses the connection; whoever
// reads, however slowly, has the file or the part that they asked for, and the connection afterwards.
func TestFileWriter(t *testing.T) {
	const size = 16 << 20 // more than the kernel takes in advance
	path, content := someFile(t, size)
	for _, name := range []string{"write_idle", "lifted"} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			var waits int
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				patience := filePatience
				if r.URL.Path == "/stall" {
					patience = 300 * time.Millisecond
				}
				if name == "write_idle" {
					w, r = writeIdle(w, r, patience)
				}
				out := caddyhttp.NewResponseRecorder(w, nil, nil) // as the access log's
				pieces := &countedWrites{ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: out}}
				fw, ok := newFileWriter(pieces, r).(*fileWriter)
				if !ok {
					t.Error("there is no guard")
					return
				}
				fw.idle.Deadline.Timeout = patience
				fw.haste = time.Millisecond
				f, err := os.Open(path)
				if err != nil {
					t.Error(err)
					return
				}
				defer f.Close()
				counted := &countedWriter{fileWriter: fw}
				http.ServeContent(counted, r, "", time.Time{}, f)
				if out.Size() != int(counted.sent) {
					t.Errorf("%d bytes were sent, and %d counted", counted.sent, out.Size())
				}
				waits = pieces.n
				ended <- counted.failed
			}))
			defer s.Close()
			dial := func() (*net.TCPConn, *bufio.Reader) {
				c, err := net.Dial("tcp", s.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				tcp, ok := c.(*net.TCPConn)
				if !ok || tcp.SetReadBuffer(16<<10) != nil {
					t.Fatal("no buffer")
				}
				return tcp, bufio.NewReader(c)
			}
			stalled, _ := dial()
			defer stalled.Close()
			if _, err := io.WriteString(stalled, "GET /stall HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ended:
				if !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("who stalls: %v", err)
				}
			case <-time.After(time.Minute):
				t.Fatal("who stalls keeps the connection")
			}
			c, from := dial()
			defer c.Close()
			all := 0
			for _, want := range []struct {
				header string
				status int
				body   []byte
			}{
				{"", http.StatusOK, content},
				{"Range: bytes=1000-15000000\r\n", http.StatusPartialContent, content[1000:15000001]},
				{"Range: bytes=-7\r\n", http.StatusPartialContent, content[size-7:]},
				{"If-None-Match: *\r\n", http.StatusNotModified, nil},
			} {
				if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n"+want.header+"\r\n"); err != nil {
					t.Fatal(err)
				}
				a, err := http.ReadResponse(from, nil)
				if err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(slowReader{a.Body})
				if a.StatusCode != want.status || err != nil || !bytes.Equal(got, want.body) {
					t.Errorf("%q: %s, %d bytes, of which the first %d are right: %v", want.header, a.Status, len(got), same(got, want.body), err)
				}
				if err := <-ended; err != nil {
					t.Errorf("%q: %v", want.header, err)
				}
				all += waits
			}
			if all == 0 {
				t.Error("control: nobody had to be waited for")
			}
		})
	}
}

// What passes through a cipher or HTTP/2 has no haste, which would break it.
func TestFileWriterTLS(t *testing.T) {
	path, content := someFile(t, 4<<20)
	for _, name := range []string{"write_idle", "lifted"} {
		for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
			t.Run(name+" "+protocol, func(t *testing.T) {
				s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if name == "write_idle" {
						w, r = writeIdle(w, r, time.Minute)
					}
					fw, ok := newFileWriter(w, r).(*fileWriter)
					if !ok {
						t.Error("there is no guard")
						return
					}
					fw.haste = time.Microsecond
					f, err := os.Open(path)
					if err != nil {
						t.Error(err)
						return
					}
					defer f.Close()
					http.ServeContent(fw, r, "", time.Time{}, f)
				}))
				s.EnableHTTP2 = protocol == "HTTP/2.0"
				s.StartTLS()
				defer s.Close()
				for range 2 {
					a, err := s.Client().Get(s.URL)
					if err != nil {
						t.Fatal(err)
					}
					got, err := io.ReadAll(slowReader{a.Body})
					a.Body.Close()
					if a.Proto != protocol || err != nil || !bytes.Equal(got, content) {
						t.Errorf("%s: %d bytes, the first %d are right: %v", a.Proto, len(got), same(got, content), err)
					}
				}
			})
		}
	}
}

// countedWriter notes what ReadFrom returns.
type countedWriter struct {
	*fileWriter
	sent   int64
	failed error
}

func (w *countedWriter) ReadFrom(from io.Reader) (int64, error) {
	n, err := w.fileWriter.ReadFrom(from)
	w.sent, w.failed = n, err
	return n, err
}

// countedWrites counts what is not sent by ReadFrom.
type countedWrites struct {
	*caddyhttp.ResponseWriterWrapper
	n int
}

func (w *countedWrites) Write(p []byte) (int, error) {
	w.n++
	return w.ResponseWriter.Write(p)
}

// slowReader reads more slowly than the kernel writes.
type slowReader struct{ io.Reader }

func (r slowReader) Read(p []byte) (int, error) {
	time.Sleep(100 * time.Microsecond)
	return r.Reader.Read(p[:min(len(p), 64<<10)])
}

func same(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// connection is where net/http's ReadFrom would be: it notes what it is given.
type connection struct {
	*httptest.ResponseRecorder
	kernel, other int
	deadlines     []time.Time
}

func (c *connection) SetWriteDeadline(t time.Time) error {
	c.deadlines = append(c.deadlines, t)
	return nil
}

// ReadFrom asks as the package net does.
func (c *connection) ReadFrom(from io.Reader) (int64, error) {
	if limit, ok := from.(*io.LimitedReader); ok {
		if file, ok := limit.R.(syscall.Conn); ok {
			if _, err := file.SyscallConn(); err == nil {
				c.kernel++
			}
			return io.Copy(c.Body, from)
		}
	}
	c.other++
	return io.Copy(c.Body, from)
}

// The kernel gets a file in the form in which it can send it, which Caddy's write_idle by itself does not give it.
func TestFileWriterKernel(t *testing.T) {
	path, content := someFile(t, 3<<20)
	serve := func(t *testing.T, wrapped, bounded bool) *connection {
		t.Helper()
		c := &connection{ResponseRecorder: httptest.NewRecorder()}
		w, r := http.ResponseWriter(c), httptest.NewRequest(http.MethodGet, "/", nil)
		if bounded {
			w, r = writeIdle(w, r, time.Minute)
		} else {
			r = r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, new(http.Server)))
		}
		if wrapped {
			w = newFileWriter(w, r)
		}
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		http.ServeContent(w, r, "", time.Time{}, f)
		if !bytes.Equal(c.Body.Bytes(), content) {
			t.Errorf("%d bytes arrived, the first %d are right", c.Body.Len(), same(c.Body.Bytes(), content))
		}
		return c
	}
	if c := serve(t, false, true); c.kernel > 0 {
		t.Error("control: Caddy's write_idle has the kernel send by itself now")
	}
	for name, bounded := range map[string]bool{"write_idle": true, "lifted": false} {
		c := serve(t, true, bounded)
		if c.kernel != 4 || c.other > 0 { // 64 KiB, which tell that it can, then 1 MiB at a time
			t.Errorf("%s: the kernel sent %d parts, and %d were copied", name, c.kernel, c.other)
		}
		last := c.deadlines[len(c.deadlines)-1]
		if bounded && time.Until(last) < 30*time.Second || !bounded && !last.IsZero() {
			t.Errorf("%s: the deadline that is left is %v", name, last)
		}
	}
}

// What is bounded by write_timeout alone keeps that bound.
func TestFileWriterBounded(t *testing.T) {
	w := httptest.NewRecorder()
	guarded := func(s *http.Server) bool {
		r := httptest.NewRequestWithContext(context.WithValue(t.Context(), http.ServerContextKey, s), http.MethodGet, "/", nil)
		_, ok := newFileWriter(w, r).(*fileWriter)
		return ok
	}
	if !guarded(&http.Server{ReadHeaderTimeout: time.Minute}) {
		t.Error("control: nothing bounds it, and there is no guard")
	}
	if guarded(&http.Server{ReadHeaderTimeout: time.Minute, WriteTimeout: time.Hour}) {
		t.Error("write_timeout bounds it, and the guard would lengthen that")
	}
}

// What is not a file goes as ever, and nothing is left without a deadline, nor with one.
func TestFileWriterOther(t *testing.T) {
	c := &connection{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	w := newFileWriter(c, r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, new(http.Server))))
	n, err := io.Copy(w, io.LimitReader(bytes.NewReader(make([]byte, 200<<10)), 150<<10))
	if n != 150<<10 || err != nil || c.Body.Len() != 150<<10 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if !c.Flushed || len(c.deadlines) < 3 || !c.deadlines[len(c.deadlines)-1].IsZero() {
		t.Errorf("flushed %v, deadlines %v", c.Flushed, c.deadlines)
	}
}

// trickle is a connection that takes ten bytes, and then, after a while, a piece.
type trickle struct {
	*connection
	pause time.Duration
}

func (c *trickle) ReadFrom(from io.Reader) (int64, error) {
	limit, ok := from.(*io.LimitedReader)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	file, ok := limit.R.(syscall.Conn)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	if _, err := file.SyscallConn(); err != nil {
		return 0, err
	}
	n, err := io.CopyN(c.Body, from, min(limit.N, 10))
	return n, errors.Join(err, os.ErrDeadlineExceeded)
}

func (c *trickle) Write(p []byte) (int, error) {
	time.Sleep(c.pause)
	return c.connection.Write(p)
}

// Who goes on by less than the least rate is not waited for for ever, though they never stop; who keeps it is.
func TestFileWriterRate(t *testing.T) {
	path, content := someFile(t, 256<<10)
	for _, c := range []struct {
		pause time.Duration
		want  error
	}{
		{40 * time.Second, os.ErrDeadlineExceeded},
		{4 * time.Second, os.ErrDeadlineExceeded},
		{time.Second, nil}, // a kilobyte each second
	} {
		synctest.Test(t, func(t *testing.T) {
			to := &trickle{&connection{ResponseRecorder: httptest.NewRecorder()}, c.pause}
			w, r := writeIdle(to, httptest.NewRequest(http.MethodGet, "/", nil), time.Minute)
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			began := time.Now()
			n, err := io.CopyN(newFileWriter(w, r), f, int64(len(content)))
			if !errors.Is(err, c.want) || c.want == nil && n != int64(len(content)) || int64(to.Body.Len()) != n {
				t.Errorf("%s: %d bytes are said to be sent, and %d are: %v", c.pause, n, to.Body.Len(), err)
			}
			if took := time.Since(began); c.want != nil && took > 2*time.Minute {
				t.Errorf("%s: that took %s", c.pause, took)
			}
		})
	}
}
