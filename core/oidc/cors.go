package oidc

import (
	"net/http"

	"github.com/postern-sso/postern/core"
)

// preflight answers OPTIONS (Fetch standard, CORS-preflight). It is the same for
// every origin, since a preflight does not say which client asks: whether a page
// may read the answer is decided by allowOrigins on the request itself. None of
// these endpoints looks at a cookie.
func (p *Provider) preflight(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodOptions {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origin != "" && origin != "null" {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Allow-Methods", "GET, POST, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
		h.Set("Access-Control-Max-Age", "600")
	}
	w.WriteHeader(http.StatusOK)
	return true
}

// allowOrigins lets pages of the client's own origins read the answer: those of
// its redirect URIs.
func allowOrigins(w http.ResponseWriter, r *http.Request, client *core.Client) {
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" {
		return
	}
	for _, uri := range client.RedirectURIs {
		if originOf(uri) == origin {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Allow-Credentials", "true")
			return
		}
	}
}
