package outpost

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

const (
	recheck = 500 * time.Millisecond
	// maxDoubt is how long a stream goes on while no store can tell.
	maxDoubt = time.Minute
)

// staysOpen reports whether a request may stay open long after it was decided: a
// websocket, or a stream of events.
func staysOpen(r *http.Request) bool {
	return upgrades(r) || strings.Contains(strings.ToLower(r.Header.Get("Accept")), "text/event-stream")
}

// still returns a function that decides again, from memory where it can, whether the
// person of a login may use a target. An open stream is not use of a session: one
// that rests too long ends, whatever flows.
func (o *Outpost) still(q Request, s *tenantState, tg *target, who *login) func(context.Context) (bool, error) {
	info, t, user := q.Info, q.Info.Tenant.ID, who.person.user.ID
	var ids []core.SessionID
	if who.session != nil {
		ids = []core.SessionID{who.session.ID, who.session.Parent}
	}
	return func(ctx context.Context) (bool, error) {
		if o.fresh() != nil {
			return false, nil // as a new request would be refused
		}
		if who.credential != nil {
			if _, wait, err := o.byHeader(ctx, s, tg, *who.credential); err != nil || wait > 0 {
				return false, unlessDenied(err)
			}
		}
		for _, id := range ids {
			if id == "" {
				continue
			}
			if _, err := o.Sessions.SessionByID(ctx, t, id); err != nil {
				return false, err
			}
		}
		p, err := o.person(ctx, t, o.Cache.tenant(t), user)
		if err != nil {
			return false, err
		}
		id, decision, why, err := o.verdict(ctx, info, tg, p)
		if err == nil && id == nil {
			o.refused(ctx, info, tg, p.user, decision, why)
		}
		return id != nil, err
	}
}

// watch ends an open request soon after its session, its user or its right to the
// application has ended. It returns when the request does.
func (o *Outpost) watch(ctx context.Context, end context.CancelFunc, still func(context.Context) (bool, error)) {
	every := o.Recheck
	if every <= 0 {
		every = recheck
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	sure := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			ok, err := still(ctx)
			switch {
			case ok:
				sure = now
			case err == nil || errors.Is(err, core.ErrNotFound):
				end()
				return
			case ctx.Err() != nil:
				return
			case now.Sub(sure) > maxDoubt:
				o.Log.ErrorContext(ctx, "an open stream ends: nothing could tell for a minute whether it may go on", "error", err)
				end()
				return
			}
		}
	}
}
