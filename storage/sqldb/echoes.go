package sqldb

import (
	"maps"

	"github.com/postern-sso/postern/core"
)

// line is one of a tenant's outbox.
type line struct {
	core.Change
	at int64
}

// echoes are the lines of a tenant that this node wrote, by their numbers, until its follower has read them. What
// they are about may be in this node's memory; after a failover without synchronous replication the database never
// heard of them, and where no other line has their place yet, nothing that is read tells so.
type echoes map[int64]line

// wrote notes what was committed. It is called before anybody hears of it: what was read in between is dropped then,
// and so a line that the follower has come past needs no note.
func (f *follower) wrote(t core.TenantID, changes []core.Change, at int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.places[t]
	if !f.began || !ok {
		return
	}
	for _, c := range changes {
		if c.Seq <= p.seq {
			continue
		}
		if f.echoes[t] == nil {
			f.echoes[t] = echoes{}
		}
		f.echoes[t][c.Seq] = line{c, at}
	}
}

// last is the newest line's number, zero where there is none.
func (e echoes) last() (seq int64) {
	for n := range e {
		seq = max(seq, n)
	}
	return seq
}

// heardAgain takes lines off the notes that were read, and reports whether all are those that were written.
func (f *follower) heardAgain(t core.TenantID, lines []line) (same bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	same = true
	for _, l := range lines {
		if wrote, mine := f.echoes[t][l.Seq]; mine {
			same = same && wrote == l
			delete(f.echoes[t], l.Seq)
		}
	}
	return same
}

// lost takes all lines up to a number off the notes: who heard of their loss reads everything again.
func (f *follower) lost(t core.TenantID, upTo int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.echoes[t].end(upTo)
}

// end forgets the lines up to a number.
func (e echoes) end(upTo int64) {
	maps.DeleteFunc(e, func(seq int64, _ line) bool { return seq <= upTo })
}
