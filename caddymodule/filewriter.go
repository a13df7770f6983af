package caddymodule

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"
)

const (
	// filePatience is how long a client may take nothing of a file, where Caddy does not say: its own default.
	filePatience = time.Minute
	// fileHaste is how long the kernel may be at it until it is looked whether the client reads at all.
	fileHaste = 20 * time.Millisecond
	// filePart is how much it is given at once at most.
	filePart = 1 << 20
	// fileRate is how many bytes a second a client has to take on the average of filePatience: the slowest phones
	// do, and who reads a byte now and then to keep a connection does not.
	fileRate = 512
)

// fileWriter has the kernel send a file over a plain connection, which Caddy's `write_idle` keeps it from: that
// limits the file, which is limited already, and the kernel sends one within one limit alone. Whoever stops
// reading, or goes on by too little, loses the connection, also where that is lifted; meanwhile nothing is held for
// them but the connection, where net/http would keep a buffer for each.
type fileWriter struct {
	*caddyhttp.ResponseWriterWrapper
	idle  *caddyhttp.IdleTimeoutWriter
	ctx   context.Context //nolint:containedctx // of the one request that is answered
	haste time.Duration
	rate  float64 // bytes a second
	own   bool    // idle is ours, and its deadlines end with the file
}

// newFileWriter is for one answer.
func newFileWriter(w http.ResponseWriter, r *http.Request) http.ResponseWriter {
	if _, idle := caddyhttp.IdleTimeoutsFromContext(r.Context()); idle != nil {
		return &fileWriter{&caddyhttp.ResponseWriterWrapper{ResponseWriter: w}, idle, r.Context(), fileHaste, fileRate, false}
	}
	if s, ok := r.Context().Value(http.ServerContextKey).(*http.Server); !ok || s.WriteTimeout > 0 {
		return w // that bounds it, and would be lengthened
	}
	idle := &caddyhttp.IdleTimeoutWriter{
		ResponseWriterWrapper: &caddyhttp.ResponseWriterWrapper{ResponseWriter: w},
		Ctrl:                  http.NewResponseController(w),
		Deadline:              caddyhttp.IdleDeadline{Timeout: filePatience},
		Logger:                zap.NewNop(),
		ClearBetweenWrites:    r.ProtoMajor == 2,
	}
	return &fileWriter{&caddyhttp.ResponseWriterWrapper{ResponseWriter: idle}, idle, r.Context(), fileHaste, fileRate, true}
}

// ReadFrom sends a file, or anything else as ever.
func (w *fileWriter) ReadFrom(from io.Reader) (n int64, err error) {
	if w.own {
		defer func() {
			if err == nil {
				err = http.NewResponseController(w).Flush() // what is left would else go out without a deadline
			}
			_ = w.idle.Ctrl.SetWriteDeadline(time.Time{}) // the connection's next answer may pause
		}()
	}
	limits, ok := from.(*io.LimitedReader)
	if !ok {
		limits = &io.LimitedReader{R: from, N: math.MaxInt64}
	}
	file, ok := limits.R.(*os.File)
	if !ok {
		return w.ResponseWriterWrapper.ReadFrom(from)
	}
	began, err := file.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	below := &kernelWriter{ResponseWriterWrapper: w.idle.ResponseWriterWrapper, haste: w.haste}
	ctrl, chunk := w.idle.Ctrl, w.idle.MaxChunk
	w.idle.ResponseWriterWrapper, w.idle.Ctrl = &caddyhttp.ResponseWriterWrapper{ResponseWriter: below}, http.NewResponseController(below)
	defer func() {
		w.idle.ResponseWriterWrapper, w.idle.Ctrl, w.idle.MaxChunk = below.ResponseWriterWrapper, ctrl, chunk
	}()
	if limits.N > unsent {
		boundConnection(w.ctx)
	}
	since, before := time.Now(), int64(0)
	for limits.N > 0 {
		part := min(limits.N, caddyhttp.DefaultMaxWriteChunk)
		if below.kernel { // haste has a deadline end with a part that is being taken, however large
			part = min(limits.N, filePart)
			w.idle.MaxChunk = math.MaxInt
		}
		sent, err := w.ResponseWriterWrapper.ReadFrom(&io.LimitedReader{R: file, N: part})
		n += sent
		limits.N -= sent
		if below.hasty && errors.Is(err, os.ErrDeadlineExceeded) {
			sent, err = w.wait(file, began+n, min(limits.N, 1024))
			n += sent
			limits.N -= sent
			part = sent
			if took := time.Since(since); err == nil && took > w.idle.Deadline.Timeout {
				if float64(n-before) < w.rate*took.Seconds() {
					err = os.ErrDeadlineExceeded
				}
				since, before = time.Now(), n
			}
		}
		if err != nil || sent < part || part == 0 {
			return n, err
		}
	}
	return n, nil
}

// wait sends the next few bytes, which is done when the client has taken of what was sent before. Meanwhile they
// are all that is held.
func (w *fileWriter) wait(file *os.File, at, size int64) (int64, error) {
	piece := make([]byte, size)
	n, err := file.ReadAt(piece, at)
	if err != nil && !errors.Is(err, io.EOF) || n == 0 {
		return 0, err
	}
	if _, err = file.Seek(at+int64(n), io.SeekStart); err == nil {
		n, err = w.Write(piece[:n])
	}
	if err == nil {
		err = http.NewResponseController(w.ResponseWriterWrapper).Flush()
	}
	return int64(n), err
}

// kernelWriter stands below Caddy's deadlines, next to the connection.
type kernelWriter struct {
	*caddyhttp.ResponseWriterWrapper
	haste    time.Duration
	deadline time.Time // that holds
	kernel   bool      // it does send files
	hasty    bool      // the last deadline was haste's
}

// SetWriteDeadline notes a deadline.
func (w *kernelWriter) SetWriteDeadline(t time.Time) error {
	w.deadline, w.hasty = t, false
	return http.NewResponseController(w.ResponseWriter).SetWriteDeadline(t)
}

// ReadFrom has a file within a limit within another be one within one limit.
func (w *kernelWriter) ReadFrom(from io.Reader) (n int64, err error) {
	outer, ok := from.(*io.LimitedReader)
	if !ok {
		return w.ResponseWriterWrapper.ReadFrom(from)
	}
	inner, ok := outer.R.(*io.LimitedReader)
	if !ok {
		return w.ResponseWriterWrapper.ReadFrom(from)
	}
	file, ok := inner.R.(*os.File)
	if !ok {
		return w.ResponseWriterWrapper.ReadFrom(from)
	}
	one := &io.LimitedReader{R: &kernelFile{file, w}, N: min(outer.N, inner.N)}
	if one.N > 0 {
		n, err = w.ResponseWriterWrapper.ReadFrom(one)
	}
	outer.N -= n
	inner.N -= n
	if w.hasty {
		_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(w.deadline)
	}
	return n, err
}

// kernelFile is a file that the kernel is about to send when it is asked for what Read would be too slow for.
type kernelFile struct {
	file *os.File
	to   *kernelWriter
}

func (f *kernelFile) Read(p []byte) (int, error) { return f.file.Read(p) }

// SyscallConn gives the kernel the file.
func (f *kernelFile) SyscallConn() (syscall.RawConn, error) {
	w := f.to
	w.kernel = true
	if soon := time.Now().Add(w.haste); w.deadline.After(soon) {
		w.hasty = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(soon) == nil
	}
	return f.file.SyscallConn()
}

var (
	_ io.ReaderFrom = (*fileWriter)(nil)
	_ io.ReaderFrom = (*kernelWriter)(nil)
	_ syscall.Conn  = (*kernelFile)(nil)
)
