package sqldb

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/postern-sso/postern/core"
)

// Anybody may start an authorization request: what one takes, in bytes, and how
// many wait at once is bounded. One address may have an eighth of the room that is left,
// and the more wait the less: whoever fills it needs ever more addresses, and leaves room
// for each that has none waiting.
const (
	maxAuthRequest  = 64 << 10
	maxAuthRequests = 10000
	addressShare    = 8
	minAuthRequests = 20 // of one address, while there is room at all
)

// room estimates how many authorization requests of a tenant wait: they are counted
// once for many that are saved.
type room struct {
	mu      sync.Mutex
	waiting int
	saved   int // since they were counted
	counted time.Time
}

// Counted again after so many were saved or after so long, whichever is first. Each node
// may save as many more than there is room for.
const (
	countedEvery = 200
	countedFor   = time.Minute
	fullFor      = time.Second
)

// take reserves a place, and tells how many were taken before. count is asked where the last
// answer is too old.
func (r *room) take(now time.Time, count func() (int, error)) (before int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := countedFor
	if r.waiting >= maxAuthRequests {
		kept = fullFor
	}
	if age := now.Sub(r.counted); r.counted.IsZero() || r.saved >= countedEvery || age < 0 || age >= kept {
		n, err := count()
		if err != nil {
			return 0, err
		}
		r.waiting, r.saved, r.counted = n, 0, now
	}
	if before = r.waiting; before < maxAuthRequests {
		r.waiting++
		r.saved++
	}
	return before, nil
}

// requester is whom an authorization request is counted for: the address, or of IPv6 the 64 bits
// that one connection has for itself. Empty outside of a request.
func requester(ctx context.Context) string {
	info := core.Request(ctx)
	if info == nil || !info.ClientIP.IsValid() {
		return ""
	}
	a := info.ClientIP.Unmap().WithZone("")
	if a.Is4() {
		return a.String()
	}
	return netip.PrefixFrom(a, 64).Masked().String()
}

// SaveAuthRequest keeps an authorization request until it expires. Where too many
// wait, in all or of the address that the context's request comes from, or one is too
// long, it is refused.
func (db *DB) SaveAuthRequest(ctx context.Context, t core.TenantID, id string, data []byte, expires time.Time) error {
	if len(data) > maxAuthRequest {
		return fmt.Errorf("save authorization request: %d bytes are more than %d", len(data), maxAuthRequest)
	}
	if data == nil {
		data = []byte{}
	}
	now := db.now()
	var waiting, own int
	waiting, err := db.room(t).take(now, func() (n int, err error) {
		err = db.read(ctx, t, sessions, "count authorization requests", func(q *conn) error {
			return q.row(ctx, `SELECT count(*) FROM auth_requests WHERE expires > $1`, micros(now)).Scan(&n)
		})
		return n, err
	})
	if err != nil {
		return err
	}
	if waiting >= maxAuthRequests {
		return fmt.Errorf("save authorization request: %d wait already", waiting)
	}
	address, share := requester(ctx), max(minAuthRequests, (maxAuthRequests-waiting)/addressShare)
	return db.write(ctx, t, sessions, "save authorization request", func(x *tx) error {
		if address != "" {
			err := x.row(ctx, `SELECT count(*) FROM auth_requests WHERE address = $1 AND expires > $2`, address, micros(now)).Scan(&own)
			if err != nil {
				return err
			}
			if own >= share {
				return fmt.Errorf("%d of %s wait already", own, address)
			}
		}
		return x.exec(ctx, `INSERT INTO auth_requests (id, data, expires, address) VALUES ($1, $2, $3, $4)
			ON CONFLICT (id) DO UPDATE SET data = excluded.data, expires = excluded.expires`, id, data, micros(expires), address)
	})
}

func (db *DB) room(t core.TenantID) *room {
	r, _ := db.rooms.LoadOrStore(t, new(room))
	return r.(*room)
}

// AuthRequest returns core.ErrNotFound where there is none or it has expired.
func (db *DB) AuthRequest(ctx context.Context, t core.TenantID, id string) (data []byte, err error) {
	err = db.read(ctx, t, sessions, "read authorization request", func(q *conn) error {
		return q.row(ctx, `SELECT data FROM auth_requests WHERE id = $1 AND expires > $2`, id, micros(db.now())).Scan(&data)
	})
	return data, err
}
