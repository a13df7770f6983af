package media

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

// oldPrefix begins the paths that authentik had before 2025.12.
const oldPrefix = "/media/"

// Handler serves files to who has a signed URL, and to nobody else: below /files/media/<tenant>/ and
// /media/<tenant>/, at the hosts of that tenant. All fields are required.
type Handler struct {
	Store  Store
	Signer *Signer
	// Own reports whether a host, without a port, is one of the tenant's own: pages there may
	// read files, too.
	Own func(ctx context.Context, t *core.Tenant, host string) bool
	Now func() time.Time
	Log *slog.Logger
}

// Handles reports whether a path with its query is one of files. Applications have a folder /media/ as
// well: of that only the tenants' own folders are, and of those what is signed.
func Handles(path, query string) bool {
	_, _, ok := split(path)
	if !ok || strings.HasPrefix(path, PathPrefix) {
		return ok
	}
	values, _ := url.ParseQuery(query) // ServeHTTP reads no more of it, either
	return values.Has("token")
}

// split takes a path apart.
func split(path string) (t core.TenantID, name string, ok bool) {
	rest, ok := strings.CutPrefix(path, PathPrefix)
	if !ok {
		rest, ok = strings.CutPrefix(path, oldPrefix)
		if folder, _, _ := strings.Cut(rest, "/"); !core.TenantID(folder).Valid() {
			return "", "", false
		}
	}
	folder, name, _ := strings.Cut(rest, "/")
	return core.TenantID(folder), name, ok
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "405 method not allowed")
		return
	}
	const absent = "404 page not found"
	t := core.Request(r.Context()).Tenant
	folder, name, _ := split(r.URL.Path)
	o, until, err := h.Signer.Verify(t, name, r.URL.Query().Get("token"))
	if err != nil || folder != t.ID {
		refuse(w, http.StatusNotFound, absent)
		return
	}
	f, err := h.Store.Open(r.Context(), t.ID, name)
	if err == nil {
		err = h.serve(w, r, f, o, until)
	}
	switch {
	case errors.Is(err, core.ErrNotFound):
		refuse(w, http.StatusNotFound, absent)
	case err != nil && r.Context().Err() == nil:
		h.Log.ErrorContext(r.Context(), "read a media file", "name", name, "error", err)
		w.Header().Set("Retry-After", "5")
		refuse(w, http.StatusServiceUnavailable, "Not available right now. Try again in a few seconds.")
	}
}

// serve writes a file, or returns what was wrong before the first byte.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, f *File, o Options, until time.Time) (err error) {
	defer func() { err = errors.Join(err, f.Close()) }()
	begin := make([]byte, sniffed)
	n, err := io.ReadFull(f, begin)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	kind := TypeOf(f.Name, begin[:n])
	header := w.Header()
	secure(header)
	header.Set("Content-Type", kind)
	// An SVG may hold script. An img does not run it, and nobody is led to open it by itself.
	shown := "inline"
	if o.Download || kind == octets || kind == typeSVG {
		shown = "attachment"
	}
	header.Set("Content-Disposition", fmt.Sprintf("%s; filename=%q", shown, path.Base(f.Name)))
	header.Set("ETag", `"`+f.Tag+`"`)
	header.Set("Cache-Control", "private, max-age="+strconv.Itoa(max(0, int(until.Sub(h.Now())/time.Second))))
	header.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origin != "" && h.own(r, origin) {
		header.Set("Access-Control-Allow-Origin", origin)
	}
	// The file itself, for the kernel to send where it can.
	http.ServeContent(w, r, "", f.Modified, f.ReadSeekCloser)
	return nil
}

// own reports whether a page of an origin (RFC 6454 §7) is the tenant's.
func (h *Handler) own(r *http.Request, origin string) bool {
	info := core.Request(r.Context())
	if origin == info.Origin() {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "https" && u.Scheme != info.Scheme {
		return false
	}
	host, _, err := core.NormalizeHost(u.Host)
	return err == nil && h.Own(r.Context(), info.Tenant, host)
}

// secure sets what no answer goes without: nothing that is served here does anything.
func secure(header http.Header) {
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox")
	header.Set("Referrer-Policy", "no-referrer") // the URL is a secret
}

// refuse answers without a file. All that is not to be had has one answer, whyever.
func refuse(w http.ResponseWriter, status int, message string) {
	header := w.Header()
	secure(header)
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, message+"\n") // the client may have gone
}
