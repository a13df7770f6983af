package login

import (
	"context"
	"net/http"
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
