package sqldb

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

const (
	// maxPeopleLines bounds the lines of the outbox that are read instead of all users.
	maxPeopleLines = 1000
	// placeEvery is how far places are from one another at least.
	placeEvery = 1000
)

// people is what this process remembers of how many users a tenant has, and where some pages of
// them begin, as to count rows is to read all of an index. It is as new as a line of the outbox,
// and those after that line tell what became of it: so it is never believed, but brought up to date.
type people struct {
	mu     sync.Mutex
	known  bool
	seq    int64 // of the line
	count  int
	round  int                   // how often users were removed, or all was read anew
	places map[int64]peoplePlace // by how many thousands of users are before

	texts     *texts // nil: not in memory
	reading   bool   // somebody is
	tooMany   bool   // they were, a while ago
	forgotten int    // how often
	idle      *time.Timer
}

// peoplePlace: before is how many users have a smaller number than pk. It holds until one of
// those is removed, as numbers grow.
type peoplePlace struct{ before, pk int64 }

// people are those of a tenant that somebody is inside of.
func (db *DB) people(t core.TenantID) *people {
	db.mu.Lock()
	defer db.mu.Unlock()
	if s := db.tenants[t]; s != nil {
		return &s.people
	}
	return new(people) // it was forgotten meanwhile
}

// forget reads all anew the next time.
func (p *people) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.known, p.places, p.texts, p.tooMany = false, nil, nil, false
	p.round++
	p.forgotten++
}

// countPeople counts all users. The round is for note.
func (c *conn) countPeople(ctx context.Context, p *people) (n, round int, err error) {
	p.mu.Lock()
	known, seq, n, began := p.known, p.seq, p.count, p.round
	p.mu.Unlock()
	removed := true
	if known {
		var last, lines int64
		var created, deleted int
		err := c.row(ctx, `SELECT c.value, count(o.seq), coalesce(sum(CASE WHEN o.kind = 'user' AND o.op = 'create' THEN 1 ELSE 0 END), 0),
				coalesce(sum(CASE WHEN o.kind = 'user' AND o.op = 'delete' THEN 1 ELSE 0 END), 0)
			FROM counters c LEFT JOIN outbox o ON o.seq > $1 AND o.seq <= $2 WHERE c.name = 'outbox' GROUP BY c.value`,
			seq, seq+maxPeopleLines).Scan(&last, &lines, &created, &deleted)
		if err != nil {
			return 0, 0, err
		}
		known = last-seq == lines // none was swept, and they were not too many
		seq, n, removed = last, n+created-deleted, deleted > 0
	}
	if !known {
		err := c.row(ctx, `SELECT c.value, (SELECT count(*) FROM users) FROM counters c WHERE c.name = 'outbox'`).Scan(&seq, &n)
		if err != nil {
			return 0, 0, err
		}
		removed = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.round != began || p.known && p.seq > seq {
		// It was forgotten meanwhile, and this is of before; or somebody knows more: a place that is found now may be none.
		return n, p.round - 1, nil
	}
	p.known, p.seq, p.count = true, seq, n
	if removed {
		p.places = nil
		p.round++
	}
	return n, p.round, nil
}

// near is the last known place before a page.
func (p *people) near(offset int64) peoplePlace {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.places) > 0 {
		for k := offset / placeEvery; k >= 0; k-- {
			if at, ok := p.places[k]; ok && at.before <= offset {
				return at
			}
		}
	}
	return peoplePlace{pk: math.MinInt64}
}

// note remembers a place, unless users were removed since the round began.
func (p *people) note(round int, at peoplePlace) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, has := p.places[at.before/placeEvery]; has || p.round != round || at.before < placeEvery {
		return
	}
	if p.places == nil {
		p.places = map[int64]peoplePlace{}
	}
	p.places[at.before/placeEvery] = at
}

// everybody reports whether a query is for a page of all users.
func everybody(q api.Query) bool {
	return len(q.Where) == 0 && q.Only == nil && core.Fold(q.Search) == ""
}

// byNumber reports whether a list is in the order of users' numbers.
func byNumber(q api.Query) bool {
	return len(q.Order) == 0 || q.Order[0] == "pk" || q.Order[0] == "id"
}

// pageOfPeople reads a page of all users, from the nearest place whose number is known. What it
// passes over it reads in the index alone.
func (c *conn) pageOfPeople(ctx context.Context, q api.Query) (out []core.User, total int, err error) {
	p := c.db.people(c.tenant)
	total, round, err := c.countPeople(ctx, p)
	if err != nil {
		return nil, 0, err
	}
	limit, offset := bounds(q)
	if offset >= int64(total) {
		return nil, total, nil
	}
	at := p.near(offset)
	out, err = c.users(ctx, `SELECT `+userColumns+` FROM users u WHERE u.pk IN (SELECT s.pk FROM users s WHERE s.pk >= $1 ORDER BY s.pk LIMIT $2 OFFSET $3)
		ORDER BY u.pk`, at.pk, limit, offset-at.before)
	if err == nil && len(out) > 0 {
		p.note(round, peoplePlace{before: offset, pk: out[0].PK})
	}
	return out, total, err
}
