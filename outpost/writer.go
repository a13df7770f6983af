package outpost

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
)

// responseWriter frees an application's response of what only the guard may say:
// identity headers, which something in front might believe, and cookies with our
// names, which would log a browser in as somebody else or out.
type responseWriter struct {
	http.ResponseWriter
	wrote bool
}

// clean takes them out of the headers, and at the end of the trailers, which a handler sets after its
// body.
func (w *responseWriter) clean() {
	h := w.Header()
	for name := range h {
		if identityHeader(strings.TrimPrefix(name, http.TrailerPrefix)) {
			delete(h, name)
		}
	}
	set, ok := h["Set-Cookie"]
	if !ok {
		return
	}
	var kept []string
	for _, line := range set {
		name, _, _ := strings.Cut(line, "=")
		name, _, _ = strings.Cut(name, ";")
		if !ownCookie(name) {
			kept = append(kept, line)
		}
	}
	if len(kept) == len(set) {
		return
	}
	if kept == nil {
		delete(h, "Set-Cookie")
		return
	}
	h["Set-Cookie"] = kept
}

// WriteHeader also takes informational statuses, of which there may be several.
func (w *responseWriter) WriteHeader(status int) {
	w.clean()
	w.wrote = w.wrote || status >= 200
	w.ResponseWriter.WriteHeader(status)
}

func (w *responseWriter) begin() {
	if !w.wrote {
		w.wrote = true
		w.clean()
	}
}

func (w *responseWriter) Write(p []byte) (int, error) {
	w.begin()
	return w.ResponseWriter.Write(p)
}

// ReadFrom lets a file or a connection be copied without passing through here.
func (w *responseWriter) ReadFrom(r io.Reader) (int64, error) {
	w.begin()
	if rf, ok := w.ResponseWriter.(io.ReaderFrom); ok {
		return rf.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{w.ResponseWriter}, r)
}

// FlushError is what http.ResponseController calls.
func (w *responseWriter) FlushError() error {
	w.begin()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush implements http.Flusher for handlers that look for it.
func (w *responseWriter) Flush() { _ = w.FlushError() }

// Hijack implements http.Hijacker for handlers that look for it.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.begin()
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// Unwrap serves http.ResponseController.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
