package caddymodule

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// Without Caddy's write_idle, whoever stops reading a file loses the connection; whoever reads has the file, and
// the connection afterwards.
func TestStall(t *testing.T) {
	const size = 64 << 20 // more than the kernel takes in advance
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g, ok := unstalled(w, r).(*stallGuard)
		if !ok {
			t.Error("there is no guard")
			return
		}
		f, err := os.Open(path)
		if err != nil {
			t.Error(err)
			return
		}
		defer f.Close()
		if r.URL.Path == "/stall" {
			g.patience = 200 * time.Millisecond
		}
		_, err = g.ReadFrom(&io.LimitedReader{R: f, N: size})
		ended <- err
	}))
	defer s.Close()
	open := func(path string) (net.Conn, *bufio.Reader) {
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err == nil {
			_, err = io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
		}
		if err != nil {
			t.Fatal(err)
		}
		return c, bufio.NewReader(c)
	}
	stalled, _ := open("/stall")
	defer stalled.Close()
	select {
	case err := <-ended:
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("who stalls: %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("who stalls keeps the connection")
	}
	c, from := open("/")
	defer c.Close()
	for range 2 {
		a, err := http.ReadResponse(from, nil)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, a.Body)
		if n != size || err != nil || <-ended != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Error(err)
		}
	}
}

// A server of Caddy's that bounds answers already is left alone.
func TestStallBounded(t *testing.T) {
	w := httptest.NewRecorder()
	guarded := func(ctx context.Context) bool {
		_, ok := unstalled(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil)).(*stallGuard)
		return ok
	}
	bare := context.WithValue(t.Context(), http.ServerContextKey, &http.Server{ReadHeaderTimeout: time.Minute})
	if !guarded(bare) {
		t.Error("control: nothing bounds it, and there is no guard")
	}
	if guarded(context.WithValue(t.Context(), http.ServerContextKey, &http.Server{ReadHeaderTimeout: time.Minute, WriteTimeout: time.Hour})) {
		t.Error("write_timeout bounds it, and the guard would lengthen that")
	}
	if guarded(caddyhttp.ContextWithIdleTimeouts(bare, nil, new(caddyhttp.IdleTimeoutWriter))) {
		t.Error("write_idle bounds it already")
	}
}

// deadlines notes the last one.
type deadlines struct {
	*httptest.ResponseRecorder
	set  int
	last time.Time
}

func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.set++
	d.last = t
	return nil
}

// The connection's next answer may take its time.
func TestStallOver(t *testing.T) {
	w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
	g := &stallGuard{&caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, http.NewResponseController(w), filePatience}
	n, err := g.ReadFrom(bytes.NewReader(make([]byte, 2*filePart+1)))
	if n != 2*filePart+1 || err != nil || w.Body.Len() != 2*filePart+1 {
		t.Errorf("%d bytes, %v", n, err)
	}
	if w.set != 4 || !w.last.IsZero() || !w.Flushed {
		t.Errorf("%d deadlines, the last of them %v; flushed %v", w.set, w.last, w.Flushed)
	}
}
