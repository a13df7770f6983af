package outpost

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/postern-sso/postern/core"
)

// Serve guards one request, of which the edge states info. Where it may go on,
// next is called once, with the identity (nil: nobody's, on a path that needs no
// login), and its answer is freed of what only the guard may say. Anything else is
// answered here; a store that fails and a panic are a 503, and never a way in.
func (o *Outpost) Serve(w http.ResponseWriter, r *http.Request, info *core.RequestInfo, g *Guard, next func(http.ResponseWriter, *http.Request, *Identity)) {
	Strip(r)
	if info == nil || info.Tenant == nil {
		o.Log.ErrorContext(r.Context(), "the edge has not stated who is addressed")
		o.write(w, r, &core.RequestInfo{Tenant: &core.Tenant{}}, unavailable(""))
		return
	}
	// A request is copied for its context only where something reads it from there: not where it goes on.
	ctx := core.WithRequest(r.Context(), info)
	if g.Own != nil && g.Portal != nil {
		_, query, _ := strings.Cut(info.URI, "?")
		if p, ok := plainPath(info.URI); ok && g.Own(p, query) {
			g.Portal.ServeHTTP(w, r.WithContext(ctx))
			return
		}
	}
	d := o.decide(ctx, r, info, g)
	if o.Observe != nil {
		o.Observe(d.outcome())
	}
	if !d.Allow {
		o.write(w, r.WithContext(ctx), info, d)
		return
	}
	stripCookies(r.Header)
	if d.unsent {
		r.Header.Del("Authorization")
	}
	if d.Identity != nil {
		d.Identity.apply(r.Header)
	}
	if d.still != nil {
		open, cancel := context.WithCancel(ctx)
		defer cancel()
		go o.watch(open, cancel, d.still)
		r = r.WithContext(open)
	}
	rw := &responseWriter{ResponseWriter: w}
	defer rw.clean()
	next(rw, r, d.Identity)
}

// decide is Check with every failure turned into a 503.
func (o *Outpost) decide(ctx context.Context, r *http.Request, info *core.RequestInfo, g *Guard) (d Decision) {
	defer func() {
		if v := recover(); v != nil {
			o.Log.ErrorContext(ctx, "check panicked", "panic", fmt.Sprint(v), "stack", string(debug.Stack()), "request", info.ID)
			d = unavailable(info.ID)
		}
	}()
	d, err := o.Check(ctx, Request{HTTP: r, Info: info, Guard: g})
	if err != nil {
		level := o.Log.ErrorContext
		if errors.Is(err, ctx.Err()) {
			level = o.Log.DebugContext // the client has gone
		}
		level(ctx, "check", "error", err, "request", info.ID)
		return unavailable(info.ID)
	}
	return d
}

func (d *Decision) outcome() string {
	switch {
	case d.Allow && d.Identity != nil:
		return "allow"
	case d.Allow:
		return "anonymous"
	case d.Status == http.StatusServiceUnavailable:
		return "error"
	case d.Redirect != "" || d.Status == http.StatusUnauthorized:
		return "login"
	}
	return "refuse"
}

func unavailable(id string) Decision {
	d := refuse(http.StatusServiceUnavailable, "unavailable", "Not available right now", "Whether you may open this page cannot be decided at the moment. Try again in a few seconds.")
	d.Refusal.ID = id
	return d
}

// write sends what Check decided. Nothing of it may be kept by a cache: it holds for one
// person and this moment.
func (o *Outpost) write(w http.ResponseWriter, r *http.Request, info *core.RequestInfo, d Decision) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	maps.Copy(h, d.Header)
	for _, c := range d.Cookies {
		h.Add("Set-Cookie", c.String())
	}
	switch {
	case d.Redirect != "":
		h.Set("Location", d.Redirect)
		w.WriteHeader(d.Status)
	case d.Refusal == nil:
		w.WriteHeader(d.Status)
	case interactive(r):
		if d.Status == http.StatusServiceUnavailable {
			h.Set("Retry-After", "5")
		}
		o.page(w, r, info, d)
	default:
		if d.Status == http.StatusServiceUnavailable {
			h.Set("Retry-After", "5")
		}
		h.Set("Content-Type", "application/json")
		h.Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(d.Status)
		body := map[string]any{"error": d.Refusal.Code, "message": d.Refusal.Message}
		if len(d.Refusal.Notice) > 0 {
			body["notice"] = d.Refusal.Notice
		}
		if d.Refusal.ID != "" {
			body["id"] = d.Refusal.ID
		}
		if d.Refusal.Link != "" && !d.Refusal.Post {
			body["link"] = d.Refusal.Link
		}
		if r.Method == http.MethodHead {
			return
		}
		if err := json.NewEncoder(w).Encode(body); err != nil {
			o.Log.DebugContext(r.Context(), "write refusal", "error", err)
		}
	}
}
