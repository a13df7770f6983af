package login

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed static
var staticFiles embed.FS

// assets are the embedded files under names that change with their content, so
// that browsers keep them for ever.
type assets struct {
	byFile map[string]*asset
}

type asset struct {
	kind string
	hash string
	body []byte
	gzip []byte
}

func newAssets() *assets {
	files, err := staticFiles.ReadDir("static")
	if err != nil {
		panic(err) // the files are part of the program
	}
	a := &assets{map[string]*asset{}}
	for _, f := range files {
		body, err := staticFiles.ReadFile("static/" + f.Name())
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(body)
		a.byFile[f.Name()] = &asset{kind: assetType(f.Name()), hash: hex.EncodeToString(sum[:6]), body: body, gzip: compress(body)}
	}
	return a
}

func assetType(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".txt":
		return "text/plain; charset=utf-8"
	}
	return mime.TypeByExtension(path.Ext(name))
}

func compress(body []byte) []byte {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		panic(err) // only for a level that does not exist
	}
	if _, err := z.Write(body); err != nil {
		panic(err) // a buffer takes all
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// path is the address of a file: name.<hash>.ext.
func (a *assets) path(file string) string {
	ext := path.Ext(file)
	return pathStatic + strings.TrimSuffix(file, ext) + "." + a.byFile[file].hash + ext
}

// find returns the file that an address names, and whether its content is the one
// that the address promised. During an upgrade pages of the other version
// get the file as it is here.
func (a *assets) find(name string) (f *asset, exact bool) {
	if f, ok := a.byFile[name]; ok {
		return f, false
	}
	ext := path.Ext(name)
	stem := strings.TrimSuffix(name, ext)
	hash := strings.TrimPrefix(path.Ext(stem), ".")
	f = a.byFile[strings.TrimSuffix(stem, "."+hash)+ext]
	return f, f != nil && f.hash == hash
}

func (h *Handler) serveAsset(w http.ResponseWriter, r *http.Request, name string) {
	if !h.allow(w, r, http.MethodGet) {
		return
	}
	if name == "favicon.ico" {
		h.redirect(w, r, string(h.view(r, "").Favicon))
		return
	}
	if strings.HasPrefix(name, sheetName) && strings.HasSuffix(name, ".css") {
		h.serveSheet(w, r, name)
		return
	}
	f, exact := h.assets.find(name)
	if f == nil {
		h.notFound(w, r)
		return
	}
	header := w.Header()
	header.Set("Content-Type", f.kind)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Vary", "Accept-Encoding")
	// An SVG that is opened by itself runs nothing.
	header.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; sandbox")
	header.Set("Cache-Control", "no-cache")
	if exact {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body := f.body
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		header.Set("Content-Encoding", "gzip")
		body = f.gzip
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}
