package login

import (
	"context"
	"net/http"
	"time"

	"github.com/postern-sso/postern/core"
)

// Hold takes a slot of the Hasher until release is called.
func (h *Hasher) Hold() (release func()) {
	if err := h.take(context.Background(), core.DefaultTenant); err != nil {
		panic(err)
	}
	return func() { h.slots.Leave(core.DefaultTenant) }
}

// LocalPath is localPath.
func LocalPath(r *http.Request, next string) (string, bool) { return localPath(r, next) }

// Everybody is the key that all failures of a tenant count under, and how many are free.
func Everybody(now time.Time) (key string, free int) {
	r := everybody(now)
	return r.key, r.free
}
