package outpost

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

const (
	// pendingPrefix begins the names of the cookies of logins under way. The rest is
	// when it ends, 8 hexadecimal digits of Unix seconds, "_", and 16 of the
	// SHA-256 of its state: so that a name alone says which is the oldest.
	pendingPrefix = "authentik_proxy_login_"
	// pendingLife is how long a login may take.
	pendingLife = 30 * time.Minute
	// maxPending tabs of one browser may wait for a login at the same time.
	maxPending = 8
	// maxBack is the longest URL that is kept exactly: an authorization request
	// takes a way back of 2,048 bytes, and a cookie holds 4,096.
	maxBack = 2000
)

func pendingName(info *core.RequestInfo, p *core.Pending) string {
	return fmt.Sprintf("%s%08x_%s", pendingBegins(info), p.Expires.Unix(), stateTag(p.State))
}

// pendingBegins is how their names begin by the request's scheme.
func pendingBegins(info *core.RequestInfo) string {
	if info.Scheme == "https" {
		return hostPrefix + pendingPrefix
	}
	return pendingPrefix
}

func stateTag(state string) string {
	sum := sha256.Sum256([]byte(state))
	return hex.EncodeToString(sum[:8])
}

// pendingPlace binds the cookie to one application at one origin: a state of another
// is no state here.
func pendingPlace(info *core.RequestInfo, tg *target) string {
	return "outpost/pending/" + string(tg.app.ID) + " " + info.Origin()
}

// begin makes the cookies of a new attempt: its own and, where there are too
// many, the removal of the oldest.
func (o *Outpost) pendingCookies(info *core.RequestInfo, tg *target, h http.Header, p *core.Pending) ([]*http.Cookie, error) {
	text, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("seal the login under way: %w", err)
	}
	sealed := o.Master.Seal(info.Tenant.ID, "outpost", pendingPlace(info, tg), text)
	secure := info.Scheme == "https"
	c := newCookie(pendingName(info, p), base64.RawURLEncoding.EncodeToString(sealed), secure) //nolint:gosec // newCookie sets the attributes
	c.MaxAge = int(pendingLife / time.Second)
	cookies := []*http.Cookie{c}

	var old []string
	begins := pendingBegins(info)
	eachCookie(h, func(name, _ string) bool {
		if strings.HasPrefix(name, begins) && !slices.Contains(old, name) {
			old = append(old, name)
		}
		return len(old) < 64
	})
	slices.Sort(old)
	for len(old) > maxPending-1 {
		cookies = append(cookies, newCookie(old[0], "", secure))
		old = old[1:]
	}
	return cookies, nil
}

// pending finds the attempt that a state belongs to, among this browser's.
func (o *Outpost) pending(info *core.RequestInfo, tg *target, h http.Header, state string) (p core.Pending, name string, ok bool) {
	tag, begins := "_"+stateTag(state), pendingBegins(info)
	eachCookie(h, func(n, value string) bool {
		if !strings.HasPrefix(n, begins) || !strings.HasSuffix(n, tag) {
			return true
		}
		sealed, err := base64.RawURLEncoding.DecodeString(value)
		if err != nil {
			return true
		}
		text, err := o.Master.Open(info.Tenant.ID, "outpost", pendingPlace(info, tg), sealed)
		if err != nil {
			return true
		}
		var got core.Pending
		if json.Unmarshal(text, &got) != nil || got.State != state || !o.Now().Before(got.Expires) || n != pendingName(info, &got) {
			return true
		}
		p, name, ok = got, n, true
		return false
	})
	return p, name, ok
}
