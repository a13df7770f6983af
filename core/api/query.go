package api

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The page sizes: what a caller gets who asks for none, and the most.
const (
	pageSize    = 100
	maxPageSize = 500
)

// maxSearch bounds what is searched for, in bytes.
const maxSearch = 1000

// filter is the kind of value a query parameter takes.
type filter int

const (
	byText filter = iota + 1
	byTexts
	byBool
	byInt
	byInts
	byUUID
	byUUIDs
	byTime
	// refused: known to authentik, and not to us. Ignoring it would answer with
	// more than was asked for.
	refused
)

// listing says what a list can be narrowed and ordered by, with the API's names,
// which the store knows too.
type listing struct {
	filters map[string]filter
	order   []string
	// preset is the order of a list for which none was asked.
	preset []string
}

// page is which part of a list was asked for.
type page struct {
	number int // from 1
	size   int
}

// query reads a list's parameters. An unknown parameter and an unknown order are
// ignored, as Django does; a known filter with a value that it cannot take is
// refused, because a list that ignores it is wider than what was asked for. An
// empty filter is none.
func (c *call) query(l listing) (Query, page, error) {
	q := Query{Where: map[string][]string{}}
	values := c.r.URL.Query()
	errs := invalid{}
	for name, kind := range l.filters {
		given := slices.DeleteFunc(slices.Clone(values[name]), func(s string) bool { return s == "" })
		if len(given) == 0 {
			continue
		}
		if !kind.many() {
			given = given[len(given)-1:] // the last one counts, as in Django
		}
		for i, s := range given {
			v, err := kind.parse(s)
			if err != "" {
				errs[name] = append(errs[name], err)
				continue
			}
			given[i] = v
		}
		q.Where[name] = given
	}
	if len(values.Get("search")) > maxSearch {
		errs["search"] = []string{fmt.Sprintf("Search for at most %d characters.", maxSearch)}
	}
	if len(errs) > 0 {
		return q, page{}, errs
	}
	for name := range strings.SplitSeq(values.Get("ordering"), ",") {
		name = strings.TrimSpace(name)
		if slices.Contains(l.order, strings.TrimPrefix(name, "-")) && !slices.Contains(q.Order, name) {
			q.Order = append(q.Order, name)
		}
	}
	if len(q.Order) == 0 {
		q.Order = slices.Clone(l.preset)
	}
	q.Search = strings.TrimSpace(strings.ReplaceAll(values.Get("search"), "\x00", ""))
	p := page{number: 1, size: pageSize}
	if n, err := strconv.Atoi(values.Get("page_size")); err == nil && n > 0 {
		p.size = min(n, maxPageSize)
	}
	if s := values.Get("page"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > 1<<30 {
			return q, p, errPage
		}
		p.number = n
	}
	q.Offset, q.Limit = (p.number-1)*p.size, p.size
	return q, p, nil
}

func (k filter) many() bool { return k == byTexts || k == byInts || k == byUUIDs }

// parse brings a value into the form that the store takes, or tells what is wrong.
func (k filter) parse(s string) (value, err string) {
	if len(s) > 1000 || strings.ContainsRune(s, 0) {
		return "", "Enter a valid value."
	}
	switch k {
	case byBool:
		switch strings.ToLower(s) {
		case "true", "1":
			return "true", ""
		case "false", "0":
			return "false", ""
		}
		return "", fmt.Sprintf("%q is not a valid boolean: write true or false.", s)
	case byInt, byInts:
		n, bad := strconv.ParseInt(strings.TrimSpace(s), 10, 32)
		if bad != nil {
			return "", fmt.Sprintf("%q is not a number.", s)
		}
		return strconv.FormatInt(n, 10), ""
	case byUUID, byUUIDs:
		id, valid := uuid(s)
		if !valid {
			return "", fmt.Sprintf("%q is not a valid UUID.", s)
		}
		return id, ""
	case byTime:
		t, bad := time.Parse(time.RFC3339Nano, s)
		if bad != nil {
			return "", fmt.Sprintf("%q is not a time: write for example 2026-01-31T12:00:00Z.", s)
		}
		return t.UTC().Format(time.RFC3339Nano), ""
	case refused:
		return "", "Filtering by this is not supported."
	}
	return s, ""
}

// envelope is the answer of a list: one page of count rows.
func envelope(p page, count int, results []any) (reply, error) {
	if p.number > 1 && (p.number-1)*p.size >= count {
		return reply{}, errPage
	}
	total := max(1, (count+p.size-1)/p.size)
	next, previous, start := 0, p.number-1, 0
	if p.number < total {
		next = p.number + 1
	}
	if count > 0 {
		start = (p.number-1)*p.size + 1
	}
	return ok(object{
		"pagination": object{
			"next": next, "previous": previous, "count": count, "current": p.number,
			"total_pages": total, "start_index": start, "end_index": min(p.number*p.size, count),
		},
		"results":      list(results),
		"autocomplete": object{},
	})
}

// cut is the page of a list that is here as a whole.
func cut[T any](all []T, p page) []T {
	start := min((p.number-1)*p.size, len(all))
	return all[start:min(start+p.size, len(all))]
}

// every reads a list as a whole, for what must be narrowed or cut here.
func every[T any](q Query, read func(Query) ([]T, int, error)) ([]T, error) {
	var out []T
	q.Limit = maxPageSize
	for q.Offset = 0; ; q.Offset += q.Limit {
		rows, count, err := read(q)
		if err != nil {
			return nil, err
		}
		if out = append(out, rows...); len(rows) == 0 || len(out) >= count {
			return out, nil
		}
	}
}
