package login

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/postern-sso/postern/core"
)

// Deny writes the page for a person who may not open an application: as whom they are
// logged in, what the policies say to them, whom to ask and with which number, and how
// to go on as somebody else. A client that prefers JSON gets a problem document
// (RFC 9457).
func (h *Handler) Deny(w http.ResponseWriter, r *http.Request, d core.Denial) {
	h.init()
	w.Header().Add("Vary", "Accept")
	title := "You may not open " + d.Application
	if prefersJSON(r.Header.Get("Accept")) {
		body, err := json.Marshal(map[string]any{
			"type": "about:blank", "title": title, "status": http.StatusForbidden, "detail": "The user has no access to this application.",
			"messages": d.Messages, "decision": d.Decision, "request_id": requestID(r.Context()),
		})
		if err != nil {
			panic(err) // text and numbers
		}
		w.Header().Set("Content-Type", "application/problem+json")
		secure(w.Header(), core.Request(r.Context()).Scheme)
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write(body)
		return
	}
	v := h.view(r, title)
	v.Data = d
	v.Action = pathFlow + core.FlowInvalidation + "/"
	if back, ok := localPath(r, d.ReturnTo); ok {
		v.Action = withQuery(v.Action, "next", back)
	}
	s, _, err := h.current(r)
	switch {
	case err == nil:
		v.Token = h.formToken(w, r, formLogout, s.ID)
	case !errors.Is(err, core.ErrNotFound): // the page stands without the button
		h.log().ErrorContext(r.Context(), "find the session", "request", requestID(r.Context()), "error", err)
	}
	h.render(w, r, http.StatusForbidden, "denied", v)
}
