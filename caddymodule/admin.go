package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/postern-sso/postern/core"
)

func init() {
	caddy.RegisterModule(new(adminAPI))
}

// adminAPI is what `caddy postern` speaks to, beside Caddy's own admin API and as
// open or closed as that is:
//
//	GET  /postern/health          200 {"status":"ok"}, or 503
//	GET  /postern/users           every user
//	POST /postern/users           {"username", "name", "email", "groups", "password"}
//	POST /postern/users/<action>  {"username", …}: see people.actions
//	GET  /postern/groups          every group
//	POST /postern/groups          {"name", "superuser"}
//	POST /postern/decisions/explain  {"id"}
//	POST /postern/backup          {"passphrase", "without_sessions"}: the file
//	POST /postern/dump            {}: all tables as text
//	GET  /postern/keys            every key pair
//	POST /postern/keys/<action>   {"name", …}: see keyring.actions
//	GET  /postern/tenants         every tenant
//	POST /postern/tenants         {"schema_name", "name", "domains"}
//	POST /postern/tenants/<action>  {"schema_name", …}: see tenantry.actions
//
// Users, groups, decisions and keys are those of ?tenant=<schema name>, or of the default tenant.
//
// Every POST has to be application/json: a page in a browser cannot send that to
// another origin without being asked.
type adminAPI struct {
	ctx caddy.Context
}

// CaddyModule returns the Caddy module information.
func (*adminAPI) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "admin.api.postern", New: func() caddy.Module { return new(adminAPI) }}
}

// Provision keeps the context: the app is asked for when a request comes.
func (a *adminAPI) Provision(ctx caddy.Context) error {
	a.ctx = ctx
	return nil
}

// Routes lists what Caddy's admin endpoint passes on.
func (a *adminAPI) Routes() []caddy.AdminRoute {
	return []caddy.AdminRoute{{Pattern: "/postern/", Handler: caddy.AdminHandlerFunc(a.serve)}}
}

func (a *adminAPI) serve(w http.ResponseWriter, r *http.Request) error {
	mod, err := a.ctx.AppIfConfigured("postern")
	if err != nil {
		return refuseAdmin(http.StatusNotFound, "this server's configuration has no postern")
	}
	app, ok := mod.(*App)
	if !ok {
		return refuseAdmin(http.StatusInternalServerError, "the app named postern is another")
	}
	if err := app.open(); err != nil {
		return refuseAdmin(http.StatusServiceUnavailable, err.Error())
	}
	path := strings.Trim(strings.TrimPrefix(r.URL.Path, "/postern/"), "/")
	if path == "health" {
		if err := app.core.health(r.Context()); err != nil {
			return refuseAdmin(http.StatusServiceUnavailable, err.Error())
		}
		return answerAdmin(w, map[string]string{"status": "ok"})
	}
	if stream, ok := streams()[path]; ok {
		body, err := readAdmin(w, r)
		if err != nil {
			return err
		}
		return stream(r.Context(), app, w, body)
	}
	tenant, err := app.core.named(r.Context(), r.URL.Query().Get("tenant"))
	if err != nil {
		return adminError(err)
	}
	if path == "users" || path == "groups" || path == "keys" || path == "tenants" {
		if r.Method == http.MethodGet {
			path += "/list"
		} else {
			path += "/create"
		}
	}
	run, ok := app.core.actions(tenant)[path]
	if !ok {
		return refuseAdmin(http.StatusNotFound, "there is nothing at this address")
	}
	if strings.HasSuffix(path, "/list") {
		if r.Method != http.MethodGet {
			return refuseAdmin(http.StatusMethodNotAllowed, "this address takes GET")
		}
		all, err := run(r.Context(), nil)
		if err != nil {
			return adminError(err)
		}
		return answerAdmin(w, all)
	}
	body, err := readAdmin(w, r)
	if err != nil {
		return err
	}
	out, err := run(r.Context(), body)
	if err != nil {
		return adminError(err)
	}
	return answerAdmin(w, out)
}

// readAdmin reads what a POST asks for.
func readAdmin(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.Method != http.MethodPost {
		return nil, refuseAdmin(http.StatusMethodNotAllowed, "this address takes POST")
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, refuseAdmin(http.StatusUnsupportedMediaType, "the request has to be application/json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		return nil, refuseAdmin(http.StatusBadRequest, "the request cannot be read: "+err.Error())
	}
	return body, nil
}

func answerAdmin(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(v)
}

func refuseAdmin(status int, message string) error {
	return caddy.APIError{HTTPStatus: status, Err: errors.New(message)}
}

// adminError gives an error its status. The reader is the operator: the cause is
// told.
func adminError(err error) error {
	status := http.StatusInternalServerError
	var field *core.FieldError
	switch {
	case errors.As(err, &field):
		status = http.StatusBadRequest
	case errors.Is(err, core.ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, core.ErrExists), errors.Is(err, core.ErrStale):
		status = http.StatusConflict
	case errors.Is(err, context.Canceled):
		status = http.StatusServiceUnavailable
	}
	return caddy.APIError{HTTPStatus: status, Err: fmt.Errorf("postern: %w", err)}
}

var (
	_ caddy.Provisioner = (*adminAPI)(nil)
	_ caddy.AdminRouter = (*adminAPI)(nil)
)
