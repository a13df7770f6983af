package login

import "context"

// Hold takes a slot of the Hasher until release is called.
func (h *Hasher) Hold() (release func()) {
	h.init()
	release, err := h.acquire(context.Background())
	if err != nil {
		panic(err)
	}
	return release
}
