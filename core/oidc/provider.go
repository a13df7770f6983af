package oidc

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/policy"
)

// Provider is the OpenID Provider: an http.Handler for everything under
// /application/o/. All exported fields are required, and none may change once
// it serves. core.Request must be in each request's context.
type Provider struct {
	Store        Store
	Users        core.Users
	Applications core.Applications
	Sessions     Sessions
	Keys         *keys.Ring
	Master       *keys.Master
	Expressions  Expressions
	Policy       *policy.Engine
	Login        Login
	Events       core.Events
	// Now is when things expire; it must not go back (core.Clock). Wall is the machine's clock, for
	// what others read. Nil: Now.
	Now, Wall func() time.Time
	Log       *slog.Logger
	// Generation grows with each change of an application, a provider, a mapping or a
	// key pair. Nil: discovery and key sets are made anew each time.
	Generation func(t core.TenantID) uint64

	once      sync.Once
	mux       *http.ServeMux
	exchanges stripes
	strangers quota
	documents documents
	failures  failures
	minted    minted
	verified  verified
}

// quota bounds how many events a minute anybody may cause who has not proved who
// they are: the audit log must not be a way to fill the disk. It counts for each
// tenant, so that a flood at one keeps nothing out of another's log.
type quota struct {
	mu     sync.Mutex
	minute int64
	used   map[core.TenantID]int
}

const strangersPerMinute = 60

func (q *quota) take(t core.TenantID, now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if minute := now.Unix() / 60; minute != q.minute || q.used == nil {
		q.minute, q.used = minute, map[core.TenantID]int{}
	}
	q.used[t]++
	return q.used[t] <= strangersPerMinute
}

// stripes orders the exchanges of one code or token within this process: a
// replay that runs beside the rightful exchange waits for it and signs nothing. What makes a code good
// for one use is the store, on any number of nodes.
type stripes [64]sync.Mutex

func (s *stripes) lock(hash [32]byte) (unlock func()) {
	m := &s[hash[0]%uint8(len(s))]
	m.Lock()
	return m.Unlock
}

// prefix is where all paths of this package begin.
const prefix = "/application/o/"

// route is one line of the table: a path below prefix, with its trailing slash,
// and what answers there.
type route struct {
	path    string
	methods string
	handle  http.HandlerFunc
}

func (p *Provider) routes() []route {
	return []route{
		{"authorize/", "GET POST", p.authorize}, // no HEAD: it would issue a code
		{"form-post.js", "GET HEAD", p.formPostScript},
		{"form-post.css", "GET HEAD", p.formPostStyle},
		{"token/", "POST OPTIONS", p.token},
		{"userinfo/", "GET HEAD POST OPTIONS", p.userinfo},
		{"introspect/", "POST", p.introspect},
		{"revoke/", "POST OPTIONS", p.revoke},
		{"{slug}/", "GET HEAD", p.issuerRoot},
		{"{slug}/.well-known/openid-configuration", "GET HEAD OPTIONS", p.discovery},
		{"{slug}/jwks/", "GET HEAD OPTIONS", p.jwks},
		{"{slug}/end-session/", "GET POST", p.endSession},
	}
}

// ServeHTTP answers a request below /application/o/. Both forms of each path are
// taken, with and without a trailing slash.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	info := core.Request(r.Context())
	if info == nil || info.Tenant == nil {
		p.Log.ErrorContext(r.Context(), "oidc: a request came without its tenant", "path", r.URL.Path)
		http.Error(w, "This request did not come through the front door.", http.StatusInternalServerError)
		return
	}
	p.once.Do(p.buildMux)
	h := w.Header()
	h.Set("Cache-Control", "no-store")      // RFC 6749 §5.1
	h.Set("Referrer-Policy", "no-referrer") // RFC 9700 §4.2
	h.Set("X-Content-Type-Options", "nosniff")
	p.mux.ServeHTTP(w, r)
}

func (p *Provider) buildMux() {
	p.mux = http.NewServeMux()
	for _, route := range p.routes() {
		methods := strings.Fields(route.methods)
		allow := strings.Join(methods, ", ")
		handle := func(w http.ResponseWriter, r *http.Request) {
			if !slices.Contains(methods, r.Method) {
				w.Header().Set("Allow", allow)
				http.Error(w, "This address takes "+allow+".", http.StatusMethodNotAllowed)
				return
			}
			if r.Method == http.MethodPost {
				r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			}
			route.handle(w, r)
		}
		bare := prefix + strings.TrimSuffix(route.path, "/")
		p.mux.HandleFunc(bare, handle)
		p.mux.HandleFunc(bare+"/{$}", handle)
	}
	p.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		p.Login.Refuse(w, r, http.StatusNotFound, "Not found", "There is nothing at this address.")
	})
}

// recordStranger is record for what a request without any proof can cause.
func (p *Provider) recordStranger(ctx context.Context, e core.Event) {
	if p.strangers.take(core.Request(ctx).Tenant.ID, p.Now()) {
		p.record(ctx, e)
		return
	}
	p.Log.WarnContext(ctx, "oidc: an event was not recorded, as there were too many this minute", "action", e.Action, "message", e.Message, "request", core.Request(ctx).ID)
}

// record writes a line of the audit log. A log that cannot be written does not
// stop a login; it is an error in the server's own log.
func (p *Provider) record(ctx context.Context, e core.Event) {
	info := core.Request(ctx)
	if err := p.Events.Record(context.WithoutCancel(ctx), info.Tenant.ID, *p.event(ctx, e)); err != nil {
		p.Log.ErrorContext(ctx, "oidc: record event", "action", e.Action, "error", err, "request", info.ID)
	}
}

// event is e, of now and of this request's client.
func (p *Provider) event(ctx context.Context, e core.Event) *core.Event {
	e.Time = p.Now()
	if ip := core.Request(ctx).ClientIP; ip.IsValid() {
		e.Address = ip.String()
	}
	return &e
}
