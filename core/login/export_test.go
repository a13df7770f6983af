package login

import (
	"context"
	"net/http"
	"time"
)

// Hold takes a slot of the Hasher until release is called.
func (h *Hasher) Hold() (release func()) {
	h.init()
	release, err := h.acquire(context.Background())
	if err != nil {
		panic(err)
	}
	return release
}

// LocalPath is localPath.
func LocalPath(r *http.Request, next string) (string, bool) { return localPath(r, next) }

// Everybody is the key that all failures of a tenant count under, and how many are free.
func Everybody(now time.Time) (key string, free int) {
	r := everybody(now)
	return r.key, r.free
}
