package sqldb

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

const (
	// maxTexts bounds what one tenant's texts take of memory, in bytes: those of 250,000 users or so.
	maxTexts = 32 << 20
	// maxAllTexts bounds what all tenants' take when those of one more are read.
	maxAllTexts = 64 << 20
	// textsWait bounds how long they are read.
	textsWait = 30 * time.Second
	// textsIdle is for how long they are kept after the last search.
	textsIdle = 5 * time.Minute
	// maxRecent bounds the searches that are remembered.
	maxRecent = 8
	// rowSize is what a text takes beside its own bytes: itself, and four bytes in each recent search.
	rowSize = 40 + 4*maxRecent
	// maxTextLines bounds the lines of the outbox that are looked through instead of reading all texts, and
	// maxTextUsers the lines about users among them.
	maxTextLines, maxTextUsers = 20_000, 1000
)

// texts are what all users of a tenant are found by, in the order of their names. To look
// through a hundred thousand of them in memory takes two milliseconds, and the database most of a hundred;
// where a search finds most of them, no index could tell how many much sooner. As the count
// of people they are as new as a line of the outbox, and never believed without the lines after it.
// They are never changed: newer ones are others.
type texts struct {
	seq  int64 // of the line
	seed maphash.Seed
	rows []text
	size int // bytes of memory, or so

	recent *recent
}

// recent are whom the latest searches found, by their words, for the next page.
type recent struct {
	mu    sync.Mutex
	found map[string][]int32
}

// text is what one user is found by.
type text struct {
	pk     int64
	id     uint64 // a hash of the user's ID, as a line of the outbox has no more than the ID of who was deleted
	name   int    // bytes of the folded name, with which folded begins: the order
	folded string // name, display name and address, with a blank between them, which no word holds
}

func (t text) compare(o text) int { return strings.Compare(t.folded[:t.name], o.folded[:o.name]) }

func sortTexts(rows []text) { slices.SortFunc(rows, text.compare) }

// textColumns are read by scan: to put them together is slower in the database.
const textColumns = `u.id, u.pk, u.username_fold, u.name_fold, u.email_fold`

func (t *texts) scan(s scanner) (r text, err error) {
	var id, name, display, email sql.RawBytes
	if err := s.Scan(&id, &r.pk, &name, &display, &email); err != nil {
		return r, err
	}
	r.id, r.name = maphash.Bytes(t.seed, id), len(name)
	r.folded = string(bytes.Join([][]byte{name, display, email}, []byte{' '}))
	return r, nil
}

// errTexts: they would take more memory than they may.
var errTexts = errors.New("too many texts")

// readTexts reads all. They may be newer than the line that they say: what is after it is read
// once more then.
func (c *conn) readTexts(ctx context.Context) (*texts, error) {
	t := &texts{seed: maphash.MakeSeed(), recent: &recent{found: map[string][]int32{}}}
	if err := c.row(ctx, `SELECT value FROM counters WHERE name = 'outbox'`).Scan(&t.seq); err != nil {
		return nil, err
	}
	err := c.each(ctx, func(s scanner) error {
		r, err := t.scan(s)
		t.rows = append(t.rows, r)
		if t.size += rowSize + len(r.folded); t.size > maxTexts {
			return errTexts
		}
		return err
	}, `SELECT `+textColumns+` FROM users u`)
	if err != nil {
		return nil, err
	}
	sortTexts(t.rows)
	// In one piece, in the order in which they are looked through.
	var all strings.Builder
	all.Grow(t.size - rowSize*len(t.rows))
	for i := range t.rows {
		all.WriteString(t.rows[i].folded)
	}
	rest := all.String()
	for i := range t.rows {
		n := len(t.rows[i].folded)
		t.rows[i].folded, rest = rest[:n], rest[n:]
	}
	return t, nil
}

// newerTexts are t with what became of users since. There are none where too much did, or where the
// lines are not those after t's.
func (c *conn) newerTexts(ctx context.Context, t *texts) (*texts, error) {
	var last, lines, users int64
	err := c.row(ctx, `SELECT c.value, count(o.seq), coalesce(sum(CASE WHEN o.kind = 'user' THEN 1 ELSE 0 END), 0)
		FROM counters c LEFT JOIN outbox o ON o.seq > $1 AND o.seq <= $2 WHERE c.name = 'outbox' GROUP BY c.value`,
		t.seq, t.seq+maxTextLines).Scan(&last, &lines, &users)
	if err != nil || last-t.seq != lines || users > maxTextUsers {
		return nil, err
	}
	if lines == 0 {
		return t, nil
	}
	newer := *t
	newer.seq = last
	if users == 0 {
		return &newer, nil
	}
	changed := map[uint64]*text{} // nil for those who are gone
	var ids []string
	err = c.each(ctx, func(s scanner) error {
		var id string
		err := s.Scan(&id)
		ids = append(ids, id)
		changed[maphash.String(t.seed, id)] = nil
		return err
	}, `SELECT object_id FROM outbox WHERE seq > $1 AND seq <= $2 AND kind = 'user'`, t.seq, last)
	if err != nil || int64(len(ids)) != users {
		return nil, err
	}
	b := new(builder)
	err = c.each(ctx, func(s scanner) error {
		r, err := t.scan(s)
		changed[r.id] = &r
		return err
	}, `SELECT `+textColumns+` FROM users u WHERE u.id IN (`+in(b, ids)+`)`, b.args...)
	if err == nil {
		err = newer.change(changed)
	}
	if errors.Is(err, errTexts) {
		return nil, nil
	}
	return &newer, err
}

// change replaces the rows of some, by hash, in rows of its own.
func (t *texts) change(changed map[uint64]*text) error {
	var gone []int
	for i := range t.rows {
		r := &t.rows[i]
		c, is := changed[r.id]
		switch {
		case !is:
		case c != nil && c.pk == r.pk && c.folded == r.folded && c.name == r.name: // most changes are to nothing that is searched
			delete(changed, r.id)
		default:
			gone = append(gone, i)
			t.size -= rowSize + len(r.folded)
		}
	}
	var added []text
	for _, c := range changed {
		if c != nil {
			added = append(added, *c)
			t.size += rowSize + len(c.folded)
		}
	}
	if t.size > maxTexts {
		return errTexts
	}
	if len(gone) == 0 && len(added) == 0 {
		return nil
	}
	sortTexts(added)
	old, done := t.rows, 0
	t.rows, t.recent = make([]text, 0, len(old)+len(added)), &recent{found: map[string][]int32{}}
	upTo := func(at int) {
		for len(gone) > 0 && gone[0] < at {
			t.rows = append(t.rows, old[done:gone[0]]...)
			done, gone = gone[0]+1, gone[1:]
		}
		t.rows = append(t.rows, old[done:at]...)
		done = at
	}
	for _, a := range added {
		at, _ := slices.BinarySearchFunc(old, a, text.compare)
		upTo(at)
		t.rows = append(t.rows, a)
	}
	upTo(len(old))
	return nil
}

// textsOf are those of the tenant, brought up to date, where they are in memory.
func (c *conn) textsOf(ctx context.Context, p *people) (*texts, error) {
	p.mu.Lock()
	t, began := p.texts, p.forgotten
	p.mu.Unlock()
	if t == nil {
		return nil, nil
	}
	newer, err := c.newerTexts(ctx, t)
	switch {
	case err != nil:
		return nil, err
	case newer != nil:
		p.keep(began, newer, c.db.textsIdle)
	default:
		p.mu.Lock()
		if p.texts == t {
			p.texts = nil
		}
		p.mu.Unlock()
	}
	return newer, nil
}

// readTexts has those of a tenant read in the background, as that takes longer than to search without: unless
// they are there, somebody is just reading them, or they are too many.
func (db *DB) readTexts(t core.TenantID, p *people) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.texts != nil || p.tooMany || p.reading {
		return
	}
	p.reading = true
	began := p.forgotten
	db.background.Go(func() {
		db.texting.Lock()
		defer db.texting.Unlock()
		ctx, cancel := context.WithTimeout(db.open, textsWait)
		defer cancel()
		var all *texts
		var err error
		if db.textsSize()+maxTexts <= db.textsRoom {
			err = db.read(ctx, t, directory, "read users' texts", func(c *conn) (err error) {
				all, err = c.readTexts(ctx)
				return err
			})
		} else {
			err = errTexts
		}
		if err != nil && !errors.Is(err, errTexts) && !errors.Is(err, core.ErrNotFound) && db.open.Err() == nil {
			db.log.WarnContext(ctx, "searches of users are slow until their texts are read", "tenant", t, "error", err)
		}
		p.mu.Lock()
		p.reading = false
		p.mu.Unlock()
		if err == nil || errors.Is(err, errTexts) {
			p.keep(began, all, db.textsIdle)
		}
	})
}

// keep has texts in memory for a while, or only that they were too many, unless all was forgotten since it
// began, or newer ones are there.
func (p *people) keep(began int, t *texts, idle time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.forgotten != began || t != nil && p.texts != nil && p.texts.seq > t.seq {
		return
	}
	p.texts, p.tooMany = t, t == nil
	if p.idle == nil {
		p.idle = time.AfterFunc(idle, p.rest)
	} else {
		p.idle.Reset(idle)
	}
}

// rest drops what nobody has asked for.
func (p *people) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.texts, p.tooMany = nil, false
}

// textsSize is what all tenants' texts take of memory.
func (db *DB) textsSize() (size int) {
	db.mu.Lock()
	defer db.mu.Unlock()
	for _, s := range db.tenants {
		s.people.mu.Lock()
		if t := s.people.texts; t != nil {
			size += t.size
		}
		s.people.mu.Unlock()
	}
	return size
}

// find gives the places of those in whose text all words are. Nobody may change what it gives.
func (t *texts) find(words []string) []int32 {
	key := strings.Join(words, " ")
	t.recent.mu.Lock()
	found, again := t.recent.found[key]
	t.recent.mu.Unlock()
	if again {
		return found
	}
rows:
	for i := range t.rows {
		for _, w := range words {
			if !strings.Contains(t.rows[i].folded, w) {
				continue rows
			}
		}
		found = append(found, int32(i))
	}
	t.recent.mu.Lock()
	defer t.recent.mu.Unlock()
	if len(t.recent.found) >= maxRecent {
		clear(t.recent.found)
	}
	t.recent.found[key] = found
	return found
}

// page are those of all who were found whom a query's page shows, by number; false where it asks for
// an order that is not known here.
func (t *texts) page(q api.Query, found []int32) ([]int64, bool) {
	limit, offset := bounds(q)
	n := int64(len(found))
	from := min(offset, n)
	to := min(from+limit, n)
	by := "pk"
	if len(q.Order) > 0 {
		by = q.Order[0]
	}
	switch by {
	case "username":
		return t.numbers(found[from:to]), true
	case "-username":
		return t.numbers(found[n-to : n-from]), true
	case "pk", "id", "-pk", "-id":
		all := t.numbers(found)
		if slices.Sort(all); by[0] == '-' {
			slices.Reverse(all)
		}
		return all[from:to], true
	}
	return nil, false
}

// numbers are those of the users at some places.
func (t *texts) numbers(places []int32) []int64 {
	out := make([]int64, len(places))
	for i, at := range places {
		out[i] = t.rows[at].pk
	}
	return out
}
