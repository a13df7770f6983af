package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/postern-sso/postern/core"
)

// The error codes of RFC 6749 §4.1.2.1 and §5.2, RFC 6750 §3.1 and OpenID
// Connect Core §3.1.2.6 that this package answers with.
const (
	codeInvalidRequest          = "invalid_request"
	codeInvalidClient           = "invalid_client"
	codeInvalidGrant            = "invalid_grant"
	codeInvalidScope            = "invalid_scope"
	codeInvalidToken            = "invalid_token"
	codeInsufficientScope       = "insufficient_scope"
	codeUnsupportedGrantType    = "unsupported_grant_type"
	codeUnsupportedResponseType = "unsupported_response_type"
	codeAccessDenied            = "access_denied"
	codeLoginRequired           = "login_required"
	codeConsentRequired         = "consent_required"
	codeRequestNotSupported     = "request_not_supported"
	codeRequestURINotSupported  = "request_uri_not_supported"
	codeServerError             = "server_error"
	codeUnavailable             = "temporarily_unavailable"
)

// retryAfter is what a client is asked to wait while a store is away, in seconds (RFC
// 9110 §10.2.3).
const retryAfter = "5"

// Error is a protocol error: what a client is told. Err, where set, is the cause,
// and goes only to the log.
type Error struct {
	Code        string
	Description string // for the client's developer; plain ASCII (RFC 6749 §5.2)
	Status      int    // of a direct answer; 400 where zero
	Basic       bool   // the client tried HTTP Basic: the answer names that scheme
	Err         error
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Description, e.Err)
	}
	return e.Code + ": " + e.Description
}

func (e *Error) Unwrap() error { return e.Err }

func invalidRequest(format string, args ...any) *Error {
	return &Error{Code: codeInvalidRequest, Description: fmt.Sprintf(format, args...)}
}

// invalidGrant does not say which of the checks failed in more detail than
// helps a developer: whoever holds a stolen code learns nothing from it.
func invalidGrant(description string) *Error {
	return &Error{Code: codeInvalidGrant, Description: description}
}

// refusal is an error that is shown to the person as a page and never sent to a
// redirect URI, because none is trusted yet (RFC 6749 §4.1.2.1).
type refusal struct {
	status         int
	title, message string
}

func (r *refusal) Error() string { return r.title + ": " + r.message }

// protocolError turns any error into what a client may see. A cause that is not a
// protocol error is logged with the request's ID, and only the ID is shown.
func (p *Provider) protocolError(ctx context.Context, doing string, err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	id := core.Request(ctx).ID
	p.Log.ErrorContext(ctx, "oidc: "+doing, "error", err, "request", id)
	if errors.Is(err, core.ErrUnavailable) {
		return &Error{
			Code: codeUnavailable, Status: http.StatusServiceUnavailable, Err: err,
			Description: "The server cannot answer at the moment. Try again in a few seconds. The request ID is " + id + ".",
		}
	}
	return &Error{
		Code: codeServerError, Status: http.StatusInternalServerError, Err: err,
		Description: "The server could not answer. The request ID is " + id + ".",
	}
}

// writeError answers with an error of RFC 6749 §5.2 in JSON. It is the only
// place where one is written.
func (p *Provider) writeError(w http.ResponseWriter, r *http.Request, doing string, err error) {
	e := p.protocolError(r.Context(), doing, err)
	status := e.Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	if e.Code == codeInvalidClient && e.Basic {
		status = http.StatusUnauthorized // RFC 6749 §5.2
		w.Header().Set("WWW-Authenticate", `Basic realm="client", charset="UTF-8"`)
	}
	p.writeJSON(w, r, status, struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
		RequestID   string `json:"request_id,omitempty"`
	}{e.Code, e.Description, core.Request(r.Context()).ID})
}

// writeJSON answers with v.
func (p *Provider) writeJSON(w http.ResponseWriter, r *http.Request, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		p.Log.ErrorContext(r.Context(), "oidc: encode the answer", "error", err, "request", core.Request(r.Context()).ID)
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	p.writeBody(w, r, status, body)
}

// writeBody answers with JSON. Responses that carry a token must not be stored by
// any cache (RFC 6749 §5.1).
func (p *Provider) writeBody(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Pragma", "no-cache")
	w.WriteHeader(status)
	if _, err := w.Write(body); err != nil { //nolint:gosec // it is JSON, and says so
		p.Log.DebugContext(r.Context(), "oidc: write the answer", "error", err)
	}
}

// refuse shows err as a page.
func (p *Provider) refuse(w http.ResponseWriter, r *http.Request, doing string, err error) {
	var shown *refusal
	if errors.As(err, &shown) {
		p.Login.Refuse(w, r, shown.status, shown.title, shown.message)
		return
	}
	id := core.Request(r.Context()).ID
	p.Log.ErrorContext(r.Context(), "oidc: "+doing, "error", err, "request", id)
	if errors.Is(err, core.ErrUnavailable) {
		w.Header().Set("Retry-After", retryAfter)
		p.Login.Refuse(w, r, http.StatusServiceUnavailable, "Not available right now",
			"Nobody can log in at the moment. Try again in a few seconds; if it goes on, tell your administrator the request ID "+id+".")
		return
	}
	p.Login.Refuse(w, r, http.StatusInternalServerError, "Something went wrong",
		"The server could not answer this request. Try again in a moment; if it happens again, tell your administrator the request ID "+id+".")
}
