package sqldb

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"hash/maphash"
	"slices"
	"sort"
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
	// rowSize is what a text takes beside its own bytes: itself, its place among names, a bit in each recent search.
	rowSize = 40 + 4 + maxRecent/8
	// partRows is how many texts are replaced when one is.
	partRows = 512
)

// texts are what all users of a tenant are found by, in the order of their numbers. To look
// through a hundred thousand of them in memory takes two milliseconds, and the database most of a hundred;
// where a search finds most of them, no index could tell how many much sooner. As the count
// of people they are as new as a line of the outbox, and never believed without the lines after it.
// They are never changed: newer ones are others, which share what is the same. A place is a number from 0 on,
// that of a user for as long as there are newer ones.
type texts struct {
	seq   int64 // of the line
	seed  maphash.Seed
	parts [][]text // of partRows each, but for the last
	names []int32  // places in the order of names, of those who are there
	size  int      // bytes of memory, or so; what was replaced counts on, as it is in one piece with others

	recent *recent
}

// recent are whom the latest searches found, by their words: for the next page, and after a change.
type recent struct {
	mu    sync.Mutex
	found map[string]hits
}

// text is what one user is found by.
type text struct {
	pk     int64
	id     uint64 // a hash of the user's ID, as a line of the outbox has no more than the ID of who was deleted
	name   int    // bytes of the folded name, with which folded begins; -1: nobody is there any more
	folded string // name, display name and address, with a blank between them, which no word holds
}

func (r text) holds(words []string) bool {
	for _, w := range words {
		if !strings.Contains(r.folded, w) {
			return false
		}
	}
	return r.name >= 0
}

func (r text) compare(o text) int { return cmp.Compare(r.pk, o.pk) }

func (t *texts) at(place int32) *text { return &t.parts[place/partRows][place%partRows] }

// places is how many there are, of those who are gone too.
func (t *texts) places() int32 {
	if len(t.parts) == 0 {
		return 0
	}
	return int32((len(t.parts)-1)*partRows + len(t.parts[len(t.parts)-1])) //nolint:gosec // as many as memory has room for
}

// place of a user's number, or the next one.
func (t *texts) place(pk int64) (at int32, is bool) {
	n := t.places()
	i := sort.Search(int(n), func(i int) bool { return t.at(int32(i)).pk >= pk }) //nolint:gosec // a place
	return int32(i), i < int(n) && t.at(int32(i)).pk == pk                        //nolint:gosec // a place
}

// byName compares two places' names.
func (t *texts) byName(a, b int32) int {
	x, y := t.at(a), t.at(b)
	return strings.Compare(x.folded[:x.name], y.folded[:y.name])
}

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
	t := &texts{seed: maphash.MakeSeed(), recent: &recent{found: map[string]hits{}}}
	if err := c.row(ctx, `SELECT value FROM counters WHERE name = 'outbox'`).Scan(&t.seq); err != nil {
		return nil, err
	}
	var rows []text
	err := c.each(ctx, func(s scanner) error {
		r, err := t.scan(s)
		rows = append(rows, r)
		if t.size += rowSize + len(r.folded); t.size > maxTexts {
			return errTexts
		}
		return err
	}, `SELECT `+textColumns+` FROM users u`)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(rows, text.compare)
	// In one piece, in the order in which they are looked through.
	var all strings.Builder
	all.Grow(t.size - rowSize*len(rows))
	for i := range rows {
		all.WriteString(rows[i].folded)
	}
	rest := all.String()
	t.names = make([]int32, len(rows))
	for i := range rows {
		n := len(rows[i].folded)
		rows[i].folded, rest = rest[:n], rest[n:]
		t.names[i] = int32(i)
	}
	for part := range slices.Chunk(rows, partRows) {
		t.parts = append(t.parts, part)
	}
	slices.SortFunc(t.names, t.byName)
	return t, nil
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
func (t *texts) find(words []string) hits {
	key := strings.Join(words, " ")
	t.recent.mu.Lock()
	found, again := t.recent.found[key]
	t.recent.mu.Unlock()
	if again {
		return found
	}
	found.bits = make([]uint64, t.places()/64+1)
	for p, part := range t.parts {
		for i := range part {
			if part[i].holds(words) {
				found.set(int32(p*partRows+i), true)
			}
		}
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
func (t *texts) page(q api.Query, found hits) (numbers []int64, ok bool) {
	limit, offset := bounds(q)
	n := int64(found.n)
	from := min(offset, n)
	to := min(from+limit, n)
	field, down := "pk", false
	if len(q.Order) > 0 {
		field, down = strings.CutPrefix(q.Order[0], "-")
	}
	if down {
		from, to = n-to, n-from
	}
	switch field {
	case "username":
		for _, at := range t.names {
			if to == 0 {
				break
			}
			if !found.has(at) {
				continue
			}
			if from == 0 {
				numbers = append(numbers, t.at(at).pk)
			}
			from, to = max(from-1, 0), to-1
		}
	case "pk", "id":
		for at := range found.places(int(from)) {
			if from++; from > to {
				break
			}
			numbers = append(numbers, t.at(at).pk)
		}
	default:
		return nil, false
	}
	if down {
		slices.Reverse(numbers)
	}
	return numbers, true
}

// numbers are those of all who were found.
func (t *texts) numbers(found hits) []int64 {
	out := make([]int64, 0, found.n)
	for at := range found.places(0) {
		out = append(out, t.at(at).pk)
	}
	return out
}
