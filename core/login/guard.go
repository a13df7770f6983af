package login

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/postern-sso/postern/core"
)

const (
	// maxForm bounds the body of a form in bytes.
	maxForm = 64 << 10
	// formLife is how long a form that is open may be sent.
	formLife = 24 * time.Hour
	// maxSealed bounds what is opened, in characters.
	maxSealed = 32 << 10
)

// sameOrigin reports whether a POST comes from a page of this host. Browsers
// say so themselves, in Sec-Fetch-Site or Origin; what sends neither is no
// browser, and has the form token to show. An Origin of "null" is a page that
// hides where it is from.
func sameOrigin(r *http.Request) bool {
	switch values := r.Header.Values("Sec-Fetch-Site"); {
	case len(values) == 0:
	case len(values) == 1 && (values[0] == "same-origin" || values[0] == "none"):
	default:
		return false
	}
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	u, err := url.Parse(origins[0])
	if err != nil || len(origins) != 1 || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	name, port, err := core.NormalizeHost(u.Host)
	if err != nil {
		return false
	}
	if u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443" {
		port = ""
	}
	return core.JoinHost(name, port) == core.Request(r.Context()).Host
}

func (h *Handler) refuseForeign(w http.ResponseWriter, r *http.Request) {
	h.log().WarnContext(r.Context(), "form from another site", "request", requestID(r.Context()), "path", r.URL.Path,
		"origin", r.Header.Get("Origin"), "sec_fetch_site", r.Header.Get("Sec-Fetch-Site"))
	h.Refuse(w, r, http.StatusForbidden, "This did not come from here", "Another site sent this form. Nothing was done. Open the page yourself and try again.")
}

// errForm: a form's token is absent, too old, or was made for another browser,
// session or form.
var errForm = errors.New("form token does not fit")

type formToken struct {
	Cookie  []byte // SHA-256 of the browser's cookie
	Expires time.Time
}

// formToken returns the hidden input that binds a form to this browser, this
// tenant and, where there is one, this session. It sets the cookie it is bound to
// where the browser has none.
func (h *Handler) formToken(w http.ResponseWriter, r *http.Request, form string, s core.SessionID) string {
	info := core.Request(r.Context())
	cookie := browserCookie(r)
	if cookie == "" {
		cookie = core.RandomToken(32)
		setCookie(w, info.Scheme, cookieCSRF, cookie, 0)
	}
	sum := sha256.Sum256([]byte(cookie))
	return h.seal(info.Tenant.ID, "form", form+"\x00"+string(s), formToken{sum[:], h.now().Add(formLife)})
}

// readForm returns the inputs of a form that was sent, if its token fits.
// errForm: it does not; another error: it could not be read, and the answer is
// written.
func (h *Handler) readForm(w http.ResponseWriter, r *http.Request, form string, s core.SessionID) (url.Values, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		h.Refuse(w, r, http.StatusUnsupportedMediaType, "This form was sent in a way we do not read", "Send it as application/x-www-form-urlencoded.")
		return nil, core.ErrAnswered
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			h.Refuse(w, r, http.StatusRequestEntityTooLarge, "This form is too long", "Go back, shorten what you wrote and try again.")
		} else {
			h.Refuse(w, r, http.StatusBadRequest, "This form could not be read", "Go back and try again.")
		}
		return nil, core.ErrAnswered
	}
	var token formToken
	info := core.Request(r.Context())
	sum := sha256.Sum256([]byte(browserCookie(r)))
	if browserCookie(r) == "" ||
		!h.open(info.Tenant.ID, "form", form+"\x00"+string(s), r.PostForm.Get("token"), &token) ||
		subtle.ConstantTimeCompare(token.Cookie, sum[:]) != 1 ||
		!h.now().Before(token.Expires) {
		return r.PostForm, errForm
	}
	return r.PostForm, nil
}

// seal makes text that only this tenant's pages can read, for one purpose and
// place, fit for a URL.
func (h *Handler) seal(t core.TenantID, purpose, place string, v any) string {
	plain, err := json.Marshal(v)
	if err != nil {
		panic(err) // only for types that this package does not seal
	}
	return base64.RawURLEncoding.EncodeToString(h.Master.Seal(t, "login/"+purpose, place, plain))
}

// open is the inverse of seal; false for all that seal did not make.
func (h *Handler) open(t core.TenantID, purpose, place, sealed string, v any) bool {
	if sealed == "" || len(sealed) > maxSealed {
		return false
	}
	raw, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return false
	}
	plain, err := h.Master.Open(t, "login/"+purpose, place, raw)
	return err == nil && json.Unmarshal(plain, v) == nil
}

const (
	cookieCSRF   = "authentik_csrf"
	cookieDevice = "authentik_device"
)

func browserCookie(r *http.Request) string {
	v := readCookie(r, cookieCSRF)
	if len(v) != base64.RawURLEncoding.EncodedLen(32) {
		return ""
	}
	return v
}

func cookieName(scheme, name string) string {
	if scheme == "https" {
		return "__Host-" + name
	}
	return name
}

func readCookie(r *http.Request, name string) string {
	all := r.CookiesNamed(cookieName(core.Request(r.Context()).Scheme, name))
	if len(all) != 1 {
		return ""
	}
	return all[0].Value
}

func setCookie(w http.ResponseWriter, scheme, name, value string, age time.Duration) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure follows the scheme: over http the browser would not keep it
		Name: cookieName(scheme, name), Value: value, Path: "/", MaxAge: int(age / time.Second),
		Secure: scheme == "https", HttpOnly: true, SameSite: http.SameSiteLaxMode,
	})
}
