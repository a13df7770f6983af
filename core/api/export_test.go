package api

import (
	"context"
	"net/http"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
)

// Operation is one line of the route table.
type Operation struct {
	Method, Pattern, Access string
	ID, Path                string // in the document
	Parameters              []string
}

// Operations lists the routes of the table.
func (h *Handler) Operations() []Operation {
	var out []Operation
	for _, r := range h.routes() {
		var params []string
		for _, p := range r.parameters() {
			params = append(params, p.name)
		}
		out = append(out, Operation{r.method, r.path(), string(r.access), r.id(), r.pattern, params})
	}
	return out
}

// Turns are those of what takes long.
func (h *Handler) Turns() *core.Turns {
	h.build.Do(h.init)
	return h.turns
}

// Forms are the turns of what is uploaded.
func (h *Handler) Forms() *core.Turns {
	h.build.Do(h.init)
	return h.forms
}

// RefuseAfter sets how long those are kept who are refused.
func (h *Handler) RefuseAfter(d time.Duration) {
	h.build.Do(h.init)
	h.refuseAfter = d
}

// Long runs f as a request does what takes long.
func (h *Handler) Long(r *http.Request, t core.TenantID, f func()) error {
	h.build.Do(h.init)
	c := &call{Handler: h, r: r, t: t}
	defer c.leave()
	err := c.long()
	if err == nil {
		f()
	}
	return err
}

// Room refuses an upload of so many bytes that is beyond what a tenant may keep.
func Room(store media.Store, t core.TenantID, size int64) error {
	return room(context.Background(), store, t, size)
}

// Document is the published document, as JSON.
func (h *Handler) Document() []byte {
	h.build.Do(h.init)
	return h.published().json
}

// Permissions lists every right there is.
func Permissions() []core.Permission {
	var out []core.Permission
	for _, p := range permissions() {
		out = append(out, p.Permission)
	}
	return out
}

// Weaken gives a route another access: what a mistake in the table would do.
func (h *Handler) Weaken(method, pattern, to string) {
	routes := h.routes()
	for i := range routes {
		if routes[i].method == method && routes[i].path() == pattern {
			routes[i].access = access(to)
		}
	}
	h.build.Do(h.init)
	h.table = newTable(routes)
}

// BuildUntold describes a body that is read in a way that nobody describes.
func BuildUntold() {
	about("Something new").takes("NewRequest", func(f *fields) { f.items("list", rule{}) })
}

// BuildUndescribed builds a table with a route that says not what it does.
func BuildUndescribed() { newTable([]route{{"GET", "new/", public, version, operation{}}}) }

// BuildUnset builds a table with a route that says not who may use it.
func BuildUnset() { newTable([]route{{"GET", "new/", "", version, about("Something new")}}) }
