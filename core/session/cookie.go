package session

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

// keySize is the length in bytes of the random key in the cookie.
const keySize = 32

// CookieName is the name of the session cookie. Over https its prefix makes the
// browser refuse one that another host set (RFC 6265bis §4.1.3.2).
func CookieName(scheme string) string {
	if scheme == "https" {
		return "__Host-authentik_session"
	}
	return "authentik_session"
}

// setCookie sets a cookie that ends with the browser; the store knows when the
// session ends.
func setCookie(w http.ResponseWriter, scheme, key string) {
	http.SetCookie(w, cookie(scheme, key))
}

func clearCookie(w http.ResponseWriter, scheme string) {
	c := cookie(scheme, "") //nolint:gosec // as there
	c.MaxAge = -1
	http.SetCookie(w, c)
}

func cookie(scheme, value string) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // Secure follows the scheme: over http the browser would not keep it
		Name:     CookieName(scheme),
		Value:    value,
		Path:     "/",
		Secure:   scheme == "https",
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
	}
}

// cookieKey returns the key that r carries. Two cookies of the name are none: one
// of them was set by somebody else, and there is no telling which.
func cookieKey(r *http.Request, scheme string) (string, bool) {
	all := r.CookiesNamed(CookieName(scheme))
	if len(all) != 1 {
		return "", false
	}
	return all[0].Value, validKey(all[0].Value)
}

// validKey keeps what cannot be a key away from the store.
func validKey(key string) bool {
	if len(key) != base64.RawURLEncoding.EncodedLen(keySize) {
		return false
	}
	for _, c := range []byte(key) { // every request comes here, and decoding it takes thrice as long
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	// The 43rd character holds 4 bits of the 256, and 2 that are zero.
	return strings.IndexByte("AEIMQUYcgkosw048", key[len(key)-1]) >= 0
}

// newID returns a UUIDv7 (RFC 9562 §5.7).
func newID(now time.Time) core.SessionID {
	var b [16]byte
	rand.Read(b[:]) // never returns an error (Go 1.24)
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(b[:6], ms[2:])
	b[6] = b[6]&0x0f | 0x70
	b[8] = b[8]&0x3f | 0x80
	return core.SessionID(fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16]))
}
