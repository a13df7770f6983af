package login

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

const (
	// deviceLife is how long a browser is remembered after its last login.
	deviceLife = 180 * 24 * time.Hour
	// deviceUsers is how many people one browser is remembered for.
	deviceUsers = 8
)

// device is the sealed cookie of a browser that people logged in with. It opens
// nothing: it gives its browser a counter of failures of its own.
type device struct {
	ID string
	// Users maps whom it knows to the time of the password that was given: a
	// new password makes it forget.
	Users   map[core.UserID]int64
	Expires time.Time
}

func (h *Handler) device(r *http.Request) (d device) {
	if !h.open(core.Request(r.Context()).Tenant.ID, "device", "", readCookie(r, cookieDevice), &d) || !h.now().Before(d.Expires) {
		return device{}
	}
	return d
}

// knows returns the device's ID if u logged in with it before, else "".
func (d *device) knows(u *core.User) string {
	if u == nil {
		return ""
	}
	if changed, ok := d.Users[u.ID]; !ok || changed != u.PasswordChanged.UnixMicro() {
		return ""
	}
	return d.ID
}

func (h *Handler) rememberDevice(w http.ResponseWriter, r *http.Request, u *core.User) {
	info := core.Request(r.Context())
	d := h.device(r)
	if d.ID == "" {
		d = device{ID: core.RandomToken(16), Users: map[core.UserID]int64{}}
	}
	for _, known := d.Users[u.ID]; !known && len(d.Users) >= deviceUsers; {
		ids := slices.SortedFunc(maps.Keys(d.Users), func(a, b core.UserID) int { return strings.Compare(string(a), string(b)) })
		delete(d.Users, ids[0])
	}
	d.Users[u.ID] = u.PasswordChanged.UnixMicro()
	d.Expires = h.now().Add(deviceLife)
	setCookie(w, info.Scheme, cookieDevice, h.seal(info.Tenant.ID, "device", "", d), deviceLife)
}
