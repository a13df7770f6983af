package api

import (
	"context"
	"log/slog"
	"mime/multipart"
	"net/http"
	"sync"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
	"github.com/postern-sso/postern/core/policy"
)

// Sessions finds and ends browsers' logins.
type Sessions interface {
	// Current returns core.ErrNotFound where the request carries none.
	Current(r *http.Request) (*core.Session, error)
	// EndUser ends all of a user's sessions but keep (empty: none is kept).
	EndUser(ctx context.Context, t core.TenantID, u core.UserID, keep core.SessionID) error
	// SessionByID finds a live one, core.ErrNotFound where it is none.
	SessionByID(ctx context.Context, t core.TenantID, id core.SessionID) (*core.Session, error)
	// EndSession ends one and those of guarded applications that hang from it.
	EndSession(ctx context.Context, t core.TenantID, id core.SessionID) error
}

// Grants are what clients were granted in a login.
type Grants interface {
	// RevokeSession ends them, with their codes, access and refresh tokens.
	RevokeSession(ctx context.Context, t core.TenantID, id core.SessionID) error
}

// Passwords gives people new passwords.
type Passwords interface {
	// SetPassword hashes and keeps a password, and ends what the old one opened:
	// the user's sessions but keep, and the links that were sent. What may not be a
	// password is a *core.FieldError of the field "password".
	SetPassword(ctx context.Context, t core.TenantID, u *core.User, password string, keep core.SessionID) error
}

// Expressions checks the source of a property mapping.
type Expressions interface {
	// Check returns an error for people, which names the line.
	Check(src string) error
}

// Claims tells what a mapping adds to claims_supported.
type Claims interface {
	// Claims are the top-level keys that the mapping gives for no user.
	Claims(ctx context.Context, t core.TenantID, m *core.PropertyMapping) []string
}

// Preview tells what a client would learn of a user.
type Preview interface {
	// Preview returns the claims with the scopes, or where they are nil with all that
	// the client may have; app is nil for a provider that no application uses. It tells each
	// mapping that failed, too.
	Preview(ctx context.Context, client *core.Client, app *core.Application, user *core.User, scopes []string) (map[string]any, []core.MappingFailure, error)
}

// AccessTokens knows the access tokens of the OpenID Provider.
type AccessTokens interface {
	// UserOfToken is whose it is. One that is not good, or that has not the scope, is
	// core.ErrDenied.
	UserOfToken(ctx context.Context, token, scope string) (*core.User, error)
}

// Recovery makes single-use links with which a user sets a new password.
type Recovery interface {
	RecoveryLink(ctx context.Context, t *core.Tenant, user core.UserID, validity time.Duration) (string, error)
}

// Handler answers /api/v3/. Store, Now and Log are required; what an optional
// field serves is refused with a sentence while the field is nil.
type Handler struct {
	Store Store
	// Sessions lets browsers in, and ends the sessions of who is no longer active;
	// without it only tokens are taken.
	Sessions    Sessions
	Logins      SessionStore // core/authenticated_sessions/, with Sessions and Grants
	Grants      Grants
	Passwords   Passwords   // set_password
	Expressions Expressions // property mappings and policies
	Evaluations Evaluations // policies/all/<uuid>/test/
	Claims      Claims      // without it, mappings add nothing to claims_supported
	Preview     Preview     // preview_user
	Evaluator   Evaluator   // propertymappings/all/<uuid>/test/
	// AccessTokens lets in who has an access token of the scope core.ScopeAPI; without
	// it none is taken.
	AccessTokens AccessTokens
	Recovery     Recovery // recovery
	Policy       *policy.Engine
	// TenantsKey opens the tenants API, and nothing else does: no API token, no session,
	// no superuser. It opens nothing else. Empty: the tenants API is as if it were not
	// there.
	TenantsKey core.Secret
	// KeyLead is how long a key that replaces another is published before it signs.
	// Default: keys.DefaultLead.
	KeyLead time.Duration
	// Files are kept there, and fetched by URLs that Signer makes. Both or neither.
	Files  media.Store
	Signer *media.Signer
	// Events is the audit log; nil: Store.
	Events  core.Events
	Now     func() time.Time
	Log     *slog.Logger
	Version string // of the product, as /admin/version/ shows it

	build sync.Once
	table table
	turns *core.Turns // of what takes long
	forms *core.Turns // of what is uploaded
	// refuseAfter is the constant, but where a test says otherwise.
	refuseAfter time.Duration
	schema      published
}

// Prefix is the path below which the API lies.
const Prefix = "/api/v3/"

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.build.Do(h.init)
	header := w.Header()
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Vary", "Authorization, Cookie")

	answer, err := h.answer(w, r)
	if err != nil {
		h.refuse(w, r, err)
		return
	}
	answer.write(w, r)
}

func (h *Handler) init() {
	h.table, h.turns, h.forms = newTable(h.routes()), newTurns(), core.NewTurns(maxForms, maxForms).AtMost(maxForms/2)
	h.refuseAfter = refuseAfter
}

// answer does all but write: who reads slowly keeps nobody waiting.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request) (reply, error) {
	info := core.Request(r.Context())
	if info == nil || info.Tenant == nil {
		return reply{}, errNoTenant
	}
	methods, key := h.table.find(r.URL.Path)
	if methods == nil || h.hidden(methods) {
		return reply{}, &problem{status: http.StatusNotFound, detail: "Not found."}
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	if method == http.MethodOptions {
		w.Header().Set("Allow", methods.allow())
		return reply{status: http.StatusNoContent}, nil
	}
	rt, ok := methods[method]
	if !ok {
		w.Header().Set("Allow", methods.allow())
		return reply{}, &problem{status: http.StatusMethodNotAllowed, detail: "Method " + quoteMethod(r.Method) + " not allowed."}
	}
	c := &call{Handler: h, r: r, info: info, t: info.Tenant.ID, key: key, route: &rt}
	defer c.leave()
	if err := c.crowded(); err != nil {
		return reply{}, err
	}
	if err := c.authenticate(); err != nil {
		return reply{}, err
	}
	if err := c.permit(&rt); err != nil {
		return reply{}, err
	}
	if err := c.readParameters(); err != nil {
		return reply{}, err
	}
	if method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch {
		read := c.readBody
		if rt.form {
			defer c.forgetForm()
			read = c.readForm
		}
		if err := read(w); err != nil {
			return reply{}, err
		}
		c.body.only(rt.body)
	}
	answer, err := rt.serve(c)
	if err == nil {
		answer.body = rt.answer.keep(answer.body, false)
		answer.encode()
	}
	return answer, err
}

// call is one request on its way through the package.
type call struct {
	*Handler
	r    *http.Request
	info *core.RequestInfo
	t    core.TenantID
	key  string // what the path names: a PK, slug or identifier; empty where it names none

	route  *route
	params map[string][]string // of the query: those that the route describes

	user    *core.User // nil: nobody is logged in
	session *core.Session
	groups  []core.Group // the user's, direct and inherited
	super   bool
	rights  core.Rights
	single  core.Permission // the route's right, where it is given on single objects: see permit
	// delegation is what the store holds writes to; nil for a superuser.
	delegation *core.Delegation

	body    *fields
	upload  *multipart.FileHeader // the file of a form, if any
	partial bool                  // PATCH
	hasForm bool                  // see readForm
	turnAt  time.Time             // when it got its turn; zero: it has none: see long
	// looked are what was looked up for this answer.
	looked struct {
		users     looked[core.UserID, core.User]
		groups    looked[core.GroupID, core.Group]
		roles     looked[core.RoleID, core.Role]
		policies  looked[core.PolicyID, core.ExpressionPolicy]
		providers looked[core.ProviderID, core.Provider]
		assigned  looked[core.ProviderID, core.Application] // by provider
		bound     looked[core.PolicyID, int]                // how many bindings
		members   map[core.GroupID][]core.User
		children  map[core.GroupID][]core.Group
		tenants   map[core.TenantID]string // UUIDs
	}
}

func (c *call) ctx() context.Context { return c.r.Context() }
