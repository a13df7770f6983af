package api

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The page sizes where the settings say nothing else: what a caller gets who asks for none, and
// the most.
const (
	pageSize    = 100
	maxPageSize = 500
)

// maxSearch and maxFilter bound what is searched for and what a parameter may be,
// in bytes.
const (
	maxSearch = 1000
	maxFilter = 1000
)

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

// shape is what a parameter of the kind looks like.
func (k filter) shape() shape {
	switch k {
	case byBool:
		return booleanShape()
	case byInt:
		return integerShape()
	case byInts:
		return listShape(integerShape())
	case byTexts:
		return listShape(textShape())
	case byUUID:
		return uuidShape()
	case byUUIDs:
		return listShape(uuidShape())
	case byTime:
		return timeShape()
	}
	return textShape()
}

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

// readParameters reads those of the route. Unknown ones are ignored, as Django
// does; a known one with a value that it cannot take is refused, because a list
// that ignores it is wider than what was asked for. An empty one is none.
func (c *call) readParameters() error {
	c.params = map[string][]string{}
	values := c.r.URL.Query()
	errs := invalid{}
	for _, p := range c.route.params {
		given := slices.DeleteFunc(slices.Clone(values[p.name]), func(s string) bool { return s == "" })
		if len(given) == 0 {
			continue
		}
		if !p.kind.many() {
			given = given[len(given)-1:] // the last one counts, as in Django
		}
		for i, s := range given {
			v, err := p.kind.parse(s)
			if p.choices != nil && !slices.Contains(p.choices, v) {
				err = fmt.Sprintf("%.40q is not one of: %s.", s, strings.Join(p.choices, ", "))
			}
			if err != "" {
				errs[p.name] = append(errs[p.name], err)
				continue
			}
			given[i] = v
		}
		c.params[p.name] = given
	}
	if s := values.Get("search"); c.route.listing != nil && (len(s) > maxSearch || !utf8.ValidString(s)) {
		errs["search"] = []string{fmt.Sprintf("Search for at most %d characters of UTF-8.", maxSearch)}
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}

// param is a parameter's value, or the preset of its description.
func (c *call) param(name string) string {
	if given := c.params[name]; len(given) > 0 {
		return given[0]
	}
	for _, p := range c.route.params {
		if p.name == name {
			return p.preset
		}
	}
	return ""
}

// query is what a list asks the store. An unknown order is ignored, as Django
// does.
func (c *call) query() (Query, page, error) {
	l, q := c.route.listing, Query{Where: map[string][]string{}}
	values := c.r.URL.Query()
	for name := range l.filters {
		if given := c.params[name]; given != nil {
			q.Where[name] = given
		}
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
	if q.Search = strings.TrimSpace(values.Get("search")); strings.Contains(q.Search, "\x00") {
		return q, page{}, invalid{"search": {"Null characters are not allowed."}} // without them it would find others
	}
	p := page{number: 1, size: c.pageSize(values)}
	if p.size > pageSize {
		if err := c.long(); err != nil {
			return q, p, err
		}
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

// pageSize is how many rows a page has: as many as were asked for, within what the settings say.
func (c *call) pageSize(values url.Values) int {
	settings := c.look().Settings
	most := min(cmp.Or(settings.MaxPageSize, maxPageSize), maxPageSize)
	if n, err := strconv.Atoi(values.Get("page_size")); err == nil && n > 0 {
		return min(n, most)
	}
	return min(cmp.Or(settings.PageSize, pageSize), most)
}

func (k filter) many() bool { return k == byTexts || k == byInts || k == byUUIDs }

// parse brings a value into the form that the store takes, or tells what is wrong.
func (k filter) parse(s string) (value, err string) {
	if len(s) > maxFilter || strings.ContainsRune(s, 0) || !utf8.ValidString(s) {
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
