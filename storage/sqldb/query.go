package sqldb

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

// match says how a filter compares.
type match int

const (
	asText   match = iota // equal, byte by byte
	asFolded              // equal after core.Fold
	asLower               // equal but for the case of ASCII letters
	asPrefix              // begins with
	asBool
	asInt
	asTime
	asBefore
	asAfter
	asPairs // a JSON object: each of its top-level keys must be there and equal
	isNull
)

// filter is one field that a list can be narrowed by. sql has one %s: the
// parameters of the values.
type filter struct {
	match match
	sql   string
}

// resource is all that a list may be asked for: field names of the API on the
// left, SQL on the right. A name that is not here never reaches the database.
type resource struct {
	filter func(name string) (filter, bool)
	order  func(name string) (string, bool)
	search []string // folded columns
	pk     string
}

// Bounds of a list.
const (
	defaultLimit   = 100
	maxLimit       = 1000
	maxValues      = 500 // of one filter
	maxSearchWords = 10
)

// builder collects parameters.
type builder struct{ args []any }

func (b *builder) add(v any) string {
	b.args = append(b.args, v)
	return "$" + strconv.Itoa(len(b.args))
}

// list makes the clauses of a query, from WHERE to OFFSET. first are the
// parameters that the query before them uses, always the condition on them.
func (r *resource) list(q api.Query, always string, first ...any) (clauses string, args []any, err error) {
	b := &builder{args: first}
	where := make([]string, 0, len(q.Where)+2)
	if always != "" {
		where = append(where, always)
	}
	for name, values := range q.Where {
		f, ok := r.filter(name)
		if !ok {
			return "", nil, &core.FieldError{Field: name, Message: "Unknown filter."}
		}
		cond, err := f.condition(b, name, values)
		if err != nil {
			return "", nil, err
		}
		where = append(where, cond)
	}
	if q.Only != nil {
		cond, err := r.only(b, q.Only)
		if err != nil {
			return "", nil, err
		}
		where = append(where, cond)
	}
	words := strings.Fields(core.Fold(q.Search))
	if len(words) > maxSearchWords {
		return "", nil, &core.FieldError{Field: "search", Message: fmt.Sprintf("Search for at most %d words.", maxSearchWords)}
	}
	for _, w := range words {
		if !validText(w) {
			where = append(where, "1 = 0")
			continue
		}
		p := b.add("%" + escapeLike(w) + "%")
		any := make([]string, len(r.search))
		for i, col := range r.search {
			any[i] = col + " LIKE " + p + " ESCAPE '!'"
		}
		where = append(where, "("+strings.Join(any, " OR ")+")")
	}
	order, err := r.orderBy(q.Order)
	if err != nil {
		return "", nil, err
	}
	if len(where) > 0 {
		clauses = " WHERE " + strings.Join(where, " AND ")
	}
	limit, offset := bounds(q)
	clauses += " ORDER BY " + order + " LIMIT " + b.add(limit) + " OFFSET " + b.add(offset)
	return clauses, b.args, nil
}

// bounds are which rows of a list a page has.
func bounds(q api.Query) (limit, offset int64) {
	limit = int64(min(q.Limit, maxLimit))
	if limit <= 0 {
		limit = defaultLimit
	}
	return limit, int64(max(0, q.Offset))
}

// only is the condition that a row is one of those named: of none, where nothing is.
func (r *resource) only(b *builder, keys []string) (string, error) {
	f, ok := r.filter("pk")
	if !ok {
		return "", errors.New("this list cannot be limited to some objects")
	}
	conds := []string{"1 = 0"}
	for part := range slices.Chunk(keys, maxValues) {
		cond, err := f.condition(b, "pk", part)
		if err != nil {
			return "", err
		}
		conds = append(conds, cond)
	}
	return "(" + strings.Join(conds, " OR ") + ")", nil
}

func (r *resource) orderBy(names []string) (string, error) {
	var by []string
	for _, name := range names {
		field, down := strings.CutPrefix(name, "-")
		col, ok := r.order(field)
		if !ok {
			return "", &core.FieldError{Field: "ordering", Message: fmt.Sprintf("%q is not a field to order by.", field)}
		}
		if down {
			col += " DESC"
		}
		by = append(by, col)
	}
	return strings.Join(append(by, r.pk), ", "), nil
}

// condition is the SQL of one filter; any of the values is enough.
func (f filter) condition(b *builder, name string, values []string) (string, error) {
	if len(values) > maxValues {
		return "", &core.FieldError{Field: name, Message: fmt.Sprintf("Give at most %d values.", maxValues)}
	}
	var params []string
	for _, v := range values {
		if !validText(v) {
			continue // no row holds it
		}
		var arg any
		var err error
		switch f.match {
		case asText, asPrefix:
			arg = v
		case asFolded:
			arg = core.Fold(v)
		case asLower:
			arg = lowerASCII(v)
		case asBool, isNull:
			if arg, err = parseBool(v); err != nil {
				return "", &core.FieldError{Field: name, Message: "Write true or false."}
			}
		case asInt:
			if arg, err = strconv.ParseInt(v, 10, 64); err != nil {
				return "", &core.FieldError{Field: name, Message: "Enter a whole number."}
			}
		case asTime, asBefore, asAfter:
			t, err := time.Parse(time.RFC3339Nano, v)
			if err != nil {
				return "", &core.FieldError{Field: name, Message: "Enter a date and time as in 2026-01-31T12:00:00Z."}
			}
			arg = micros(t)
		case asPairs:
			pairs, err := attributePairs(v)
			if err != nil {
				return "", &core.FieldError{Field: name, Message: "Value must be a JSON object."}
			}
			conds := []string{"1 = 1"}
			for _, p := range pairs {
				conds = append(conds, fmt.Sprintf(f.sql, b.add(p)))
			}
			params = append(params, "("+strings.Join(conds, " AND ")+")")
			continue
		}
		params = append(params, b.add(arg))
	}
	if len(params) == 0 {
		return "1 = 0", nil
	}
	switch f.match {
	case asPairs:
		return "(" + strings.Join(params, " OR ") + ")", nil
	case asPrefix, asBefore, asAfter, isNull:
		each := make([]string, len(params))
		for i, p := range params {
			each[i] = fmt.Sprintf(f.sql, p)
		}
		return "(" + strings.Join(each, " OR ") + ")", nil
	}
	return fmt.Sprintf(f.sql, strings.Join(params, ", ")), nil
}

// The usual filters on one column.
func equals(col string) filter { return filter{asText, col + " IN (%s)"} }
func folded(col string) filter { return filter{asFolded, col + " IN (%s)"} }
func lower(col string) filter  { return filter{asLower, "lower(" + col + ") IN (%s)"} }
func number(col string) filter { return filter{asInt, col + " IN (%s)"} }
func truth(cond string) filter { return filter{asBool, "(" + cond + ") IN (%s)"} }
func null(cond string) filter  { return filter{isNull, "((" + cond + ") = %s)"} }

// moment are the filters on one column of times, by the lookup after "__".
func moment(col, lookup string) (filter, bool) {
	switch lookup {
	case "":
		return filter{asTime, col + " IN (%s)"}, true
	case "lt":
		return filter{asBefore, "(" + col + " <> 0 AND " + col + " < %s)"}, true
	case "gt":
		return filter{asAfter, col + " > %s"}, true
	case "isnull":
		return null(col + " = 0"), true
	}
	return filter{}, false
}

// searchText is the column that a search looks at: each field folded, on a line
// of its own. A word holds no line end, so none is found across two fields.
func searchText(fields ...string) string {
	for i, f := range fields {
		fields[i] = core.Fold(f)
	}
	return strings.Join(fields, "\n")
}

// parseBool reads a boolean as Django's forms do.
func parseBool(v string) (bool, error) {
	switch strings.ToLower(v) {
	case "true", "1", "on", "yes":
		return true, nil
	case "false", "0", "off", "no":
		return false, nil
	}
	return false, strconv.ErrSyntax
}

// lowerASCII is SQLite's lower(): only A to Z.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}

// escapeLike makes a text stand for itself in LIKE … ESCAPE '!'.
func escapeLike(s string) string {
	return strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(s)
}

// in makes a list of parameters for IN, counting on from those before.
func in[T any](b *builder, values []T) string {
	params := make([]string, len(values))
	for i, v := range values {
		params[i] = b.add(v)
	}
	return strings.Join(params, ", ")
}
