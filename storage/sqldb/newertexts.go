package sqldb

import (
	"context"
	"hash/maphash"
	"slices"
	"strings"
)

// maxTextLines bounds the lines of the outbox that are looked through instead of reading all texts, and
// maxTextUsers the lines about users among them.
const maxTextLines, maxTextUsers = 20_000, 1000

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
	if users == 0 {
		newer := *t
		newer.seq = last
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
	if err != nil {
		return nil, err
	}
	return t.changed(last, changed), nil
}

// changed are t with some users' texts, by hash, as they are at a line. There are none where they would take too
// much, or users are others than their numbers say.
func (t *texts) changed(seq int64, changed map[uint64]*text) *texts {
	newer := *t
	newer.seq = seq
	newer.parts = slices.Clone(t.parts)
	places, own := t.places(), map[int32]bool{}
	set := func(at int32, r text) {
		part := at / partRows
		if !own[part] {
			own[part] = true
			newer.parts[part] = slices.Clone(newer.parts[part])
		}
		newer.parts[part][at%partRows] = r
		newer.size += len(r.folded)
	}
	var touched, named []int32 // places that are others, and those of them whose names have another place
	var moved hits             // from where they were among the names
	var added []text
	gone := map[uint64]bool{}
	for id, c := range changed {
		if c == nil {
			gone[id] = true
			continue
		}
		at, is := t.place(c.pk)
		if !is {
			added = append(added, *c)
			continue
		}
		old := t.at(at)
		if old.id != id || old.name < 0 {
			return nil
		}
		if old.folded == c.folded && old.name == c.name {
			continue // most changes are to nothing that is searched
		}
		if old.folded[:old.name] != c.folded[:c.name] {
			moved.set(at, true)
			named = append(named, at)
		}
		set(at, *c)
		touched = append(touched, at)
	}
	for at := int32(0); len(gone) > 0 && at < places; at++ {
		if old := t.at(at); gone[old.id] && old.name >= 0 {
			moved.set(at, true)
			delete(gone, old.id)
			set(at, text{pk: old.pk, id: old.id, name: -1})
			touched = append(touched, at)
		}
	}
	slices.SortFunc(added, text.compare)
	if len(added) > 0 && places > 0 && added[0].pk < t.at(places-1).pk {
		return nil // somebody who is in between
	}
	for _, r := range added {
		if places%partRows == 0 {
			own[places/partRows] = true
			newer.parts = append(newer.parts, make([]text, 0, partRows))
		}
		last := &newer.parts[places/partRows]
		if !own[places/partRows] {
			own[places/partRows] = true
			*last = append(make([]text, 0, partRows), *last...)
		}
		*last = append(*last, r)
		newer.size += rowSize + len(r.folded)
		touched, named = append(touched, places), append(named, places)
		places++
	}
	if newer.size > maxTexts {
		return nil
	}
	if moved.n+len(named) > 0 {
		newer.rename(moved, named)
	}
	if len(touched) > 0 {
		newer.recent = t.recent.again(&newer, touched)
	}
	return &newer
}

// rename takes the places that moved out of the order of names, and puts some into it.
func (t *texts) rename(moved hits, named []int32) {
	slices.SortFunc(named, t.byName)
	stay := t.names
	if moved.n > 0 {
		stay = make([]int32, 0, len(t.names))
		for _, at := range t.names {
			if !moved.has(at) {
				stay = append(stay, at)
			}
		}
	}
	t.names = make([]int32, 0, len(stay)+len(named))
	for _, n := range named {
		before, _ := slices.BinarySearchFunc(stay, n, t.byName)
		t.names = append(append(t.names, stay[:before]...), n)
		stay = stay[before:]
	}
	t.names = append(t.names, stay...)
}

// again has the recent searches look once more at some places.
func (r *recent) again(t *texts, places []int32) *recent {
	r.mu.Lock()
	defer r.mu.Unlock()
	newer := &recent{found: make(map[string]hits, maxRecent)}
	for key, h := range r.found {
		h.bits = append(make([]uint64, 0, t.places()/64+1), h.bits...)
		for _, at := range places {
			h.set(at, t.at(at).holds(strings.Fields(key)))
		}
		newer.found[key] = h
	}
	return newer
}
