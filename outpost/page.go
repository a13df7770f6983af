package outpost

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"

	"github.com/postern-sso/postern/core"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText)) //nolint:gochecknoglobals // a template

// page shows a refusal to a person. It loads nothing and runs nothing.
func (o *Outpost) page(w http.ResponseWriter, r *http.Request, info *core.RequestInfo, d Decision) {
	nonce := core.RandomToken(16)
	var body bytes.Buffer
	err := pageTemplate.Execute(&body, map[string]any{"Brand": info.Look(r.Context()).Title, "Nonce": nonce, "R": d.Refusal})
	if err != nil {
		o.Log.ErrorContext(r.Context(), "render page", "error", err, "request", info.ID)
		body.Reset()
		body.WriteString(template.HTMLEscapeString(d.Refusal.Title))
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'nonce-"+nonce+"'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	w.WriteHeader(d.Status)
	if r.Method == http.MethodHead {
		return
	}
	if _, err := w.Write(body.Bytes()); err != nil {
		o.Log.DebugContext(r.Context(), "write page", "error", err)
	}
}
