package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/postern-sso/postern/core"
)

// object is a JSON object of an answer.
type object = map[string]any

// reply is what a handler answers with.
type reply struct {
	status int
	body   any // JSON; nil: none
	// raw is sent instead of body, as the media type, and as a file where it has a
	// name.
	raw             []byte
	media, fileName string
	header          map[string]string
}

func ok(body any) (reply, error)      { return reply{status: http.StatusOK, body: body}, nil }
func created(body any) (reply, error) { return reply{status: http.StatusCreated, body: body}, nil }
func done() (reply, error)            { return reply{status: http.StatusNoContent}, nil }

// encode makes the bytes of a body.
func (a *reply) encode() {
	if a.media != "" || a.body == nil {
		return
	}
	data, err := json.Marshal(a.body)
	if err != nil {
		// Every body is built here of plain values.
		panic(fmt.Sprintf("api: encode answer: %v", err))
	}
	a.body, a.raw, a.media = nil, data, "application/json"
}

func (a reply) write(w http.ResponseWriter, r *http.Request) {
	a.encode()
	header := w.Header()
	for name, value := range a.header {
		header.Set(name, value)
	}
	if a.fileName != "" {
		header.Set("Content-Disposition", "attachment; filename="+strconv.Quote(a.fileName))
	}
	if a.media != "" {
		header.Set("Content-Type", a.media)
	}
	if a.raw != nil {
		header.Set("Content-Length", strconv.Itoa(len(a.raw)))
	}
	w.WriteHeader(a.status)
	if r.Method != http.MethodHead {
		w.Write(a.raw) //nolint:errcheck,gosec // the client went away; nobody is left to tell
	}
}

// problem is a refusal of the request as a whole: {"detail": "…"}.
type problem struct {
	status int
	detail string
}

func (p *problem) Error() string { return p.detail }

// invalid is a refusal of fields: {"<field>": ["…"]}.
type invalid map[string][]string

func (v invalid) Error() string { return fmt.Sprintf("%d fields refused", len(v)) }

var (
	errNoTenant     = errors.New("request without a tenant: the edge did not state it")
	errAnonymous    = &problem{http.StatusForbidden, "Authentication credentials were not provided."}
	errToken        = &problem{http.StatusForbidden, "Token invalid/expired"}
	errScheme       = &problem{http.StatusForbidden, "Unsupported authentication type"}
	errPermission   = &problem{http.StatusForbidden, "You do not have permission to perform this action."}
	errBeyond       = &problem{http.StatusForbidden, "You do not have permission to perform this action: it is about rights that you do not have yourself."}
	errCrossOrigin  = &problem{http.StatusForbidden, "CSRF Failed: this change does not come from a page of this origin."}
	errPage         = &problem{http.StatusNotFound, "Invalid page."}
	errFileTooLarge = &problem{http.StatusRequestEntityTooLarge, "The file is larger than 25 MB."}
	errTooLarge     = &problem{http.StatusRequestEntityTooLarge, "The request body is larger than 1 MiB."}
)

// noSuch is the refusal for an object that is absent, or not for this user.
func noSuch(model string) error {
	return &problem{http.StatusNotFound, "No " + model + " matches the given query."}
}

// found turns a store's core.ErrNotFound into noSuch(model): not where it is a
// reference of the object that is missing, since a client takes a 404 as the end of
// the object itself.
func found(err error, model string) error {
	if field := (*core.FieldError)(nil); errors.Is(err, core.ErrNotFound) && !errors.As(err, &field) {
		return noSuch(model)
	}
	return err
}

// refuse writes what went wrong.
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var (
		p     *problem
		v     invalid
		field *core.FieldError
	)
	switch {
	case errors.As(err, &p):
		reply{status: p.status, body: object{"detail": p.detail}}.write(w, r)
	case errors.As(err, &v):
		reply{status: http.StatusBadRequest, body: v}.write(w, r)
	case errors.As(err, &field) && errors.Is(err, core.ErrUnavailable):
		w.Header().Set("Retry-After", "5")
		h.Log.ErrorContext(r.Context(), "API request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		reply{status: http.StatusServiceUnavailable, body: object{"detail": field.Error()}}.write(w, r)
	case errors.As(err, &field):
		reply{status: http.StatusBadRequest, body: invalid{field.Field: {field.Message}}}.write(w, r)
	case errors.Is(err, core.ErrDenied):
		reply{status: http.StatusForbidden, body: object{"detail": errBeyond.detail}}.write(w, r)
	case errors.Is(err, core.ErrInUse):
		reply{status: http.StatusConflict, body: object{"detail": "It is still in use. Remove what refers to it first."}}.write(w, r)
	case errors.Is(err, core.ErrUnavailable):
		w.Header().Set("Retry-After", "5")
		h.Log.ErrorContext(r.Context(), "API request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		reply{status: http.StatusServiceUnavailable, body: object{"detail": "What it is kept in cannot be reached at the moment. Try again in a few seconds."}}.write(w, r)
	case errors.Is(err, core.ErrBusy):
		w.Header().Set("Retry-After", "5")
		reply{status: http.StatusServiceUnavailable, body: object{"detail": "Too much is under way at the moment. Try again in a few seconds."}}.write(w, r)
	default:
		id := ""
		if info := core.Request(r.Context()); info != nil {
			id = info.ID
		}
		h.Log.ErrorContext(r.Context(), "API request failed", "request_id", id, "method", r.Method, "path", r.URL.Path, "error", err)
		reply{status: http.StatusInternalServerError, body: object{
			"detail":     "Something went wrong on our side. The log has the cause under this request ID.",
			"request_id": id,
		}}.write(w, r)
	}
}
