package api

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// operation is what the document says of a route. Requests are held to its
// parameters, and answers to its shape.
type operation struct {
	summary string
	params  []parameter
	listing *listing // of a list
	body    *shape   // nil: none is read
	status  int      // of success
	answer  *shape   // nil: none is sent
	media   []string // other media types that are sent
	objects bool     // its right may be given on single objects
	form    bool     // the body is a form with a file
	name    string   // "": as id makes it
	// ready refuses a form before it is read. Nil: it does not.
	ready func(*call) error
}

// parameter is one of a query.
type parameter struct {
	name   string
	kind   filter
	preset string // what is taken where the query does not say
	text   string
	// choices are all that it may be; nil: not limited.
	choices []string
	// least and most are bounds of a number, for the document.
	least, most *int
}

// flag is a parameter that is true or false.
func flag(name string, preset bool, text string) parameter {
	return parameter{name: name, kind: byBool, preset: strconv.FormatBool(preset), text: text}
}

// shape is what the parameter looks like.
func (p *parameter) shape() shape {
	s := p.kind.shape()
	s.choices, s.text = p.choices, ""
	switch {
	case p.preset == "":
	case p.kind == byBool:
		s.preset = p.preset == "true"
	case p.kind == byInt:
		s.preset, _ = strconv.Atoi(p.preset)
	default:
		s.preset = p.preset
	}
	return s
}

// parameters are all of a route, also those that every list has, by name.
func (r *route) parameters() []parameter {
	out := slices.Clone(r.params)
	if l := r.listing; l != nil {
		one, most := 1, maxPageSize
		out = append(out,
			parameter{name: "page", kind: byInt, preset: "1", least: &one, text: "Which page, from 1."},
			parameter{name: "page_size", kind: byInt, preset: strconv.Itoa(pageSize), least: &one, most: &most, text: "How many rows a page has. More than the maximum is the maximum."},
			parameter{name: "search", kind: byText, text: "Words that each row must have."},
			parameter{name: "ordering", kind: byText, text: "Names with commas between them, a minus sign before one for descending order: " + strings.Join(l.order, ", ") + "."},
		)
	}
	slices.SortFunc(out, func(a, b parameter) int { return strings.Compare(a.name, b.name) })
	return out
}

// about begins the description of a route, which answers 204 unless more is said.
func about(summary string) operation {
	return operation{summary: summary, status: http.StatusNoContent}
}

// ofObjects says that the right may be given on single objects, for which the handler asks.
func (o operation) ofObjects() operation {
	o.objects = true
	return o
}

// by adds parameters of the query. A handler reads no others.
func (o operation) by(params ...parameter) operation {
	o.params = append(slices.Clone(o.params), params...)
	return o
}

// takes says what the body is, by what reads it.
func (o operation) takes(name string, read func(*fields)) operation {
	s := bodyShape(name, read)
	o.body = &s
	return o
}

// gives says what the answer is.
func (o operation) gives(s shape) operation {
	o.status, o.answer = http.StatusOK, &s
	return o
}

// makes says what was created.
func (o operation) makes(s shape) operation {
	o.status, o.answer = http.StatusCreated, &s
	return o
}

// lists says what the rows of a list are, and how it is narrowed and ordered.
func (o operation) lists(row shape, l listing) operation {
	for _, name := range slices.Sorted(maps.Keys(l.filters)) {
		o.params = append(o.params, parameter{name: name, kind: l.filters[name]})
	}
	o.listing = &l
	return o.gives(pageShape(row))
}

// partly says that the body may leave out anything.
func (o operation) partly() operation {
	s := *o.body
	s.members = slices.Clone(s.members)
	for i := range s.members {
		s.members[i].optional, s.members[i].shape.preset = true, nil
	}
	o.body = &s
	return o
}

// sends says which media types are sent, beside JSON where that was said.
func (o operation) sends(media ...string) operation {
	o.status, o.media = http.StatusOK, media
	return o
}

// downloads says that download=true sends a file of a media type.
func (o operation) downloads(media string) operation {
	return o.sends(media).by(flag("download", false, "Send it as a file."))
}

// pageShape is one page of a list.
func pageShape(row shape) shape {
	var numbers []member
	for _, name := range []string{"next", "previous", "count", "current", "total_pages", "start_index", "end_index"} {
		numbers = append(numbers, always(name, shape{kind: "number"}))
	}
	return objectShape("Paginated"+row.name+"List",
		always("pagination", objectShape("Pagination", numbers...)),
		always("results", listShape(row)),
		always("autocomplete", dictShape()),
	)
}

// id is the operation's name, made of method and path as drf-spectacular makes it,
// so that generated clients have the names they know.
func (r *route) id() string {
	if r.name != "" {
		return r.name
	}
	var words []string
	for segment := range strings.SplitSeq(strings.Trim(r.pattern, "/"), "/") {
		if segment != "" && segment[0] != '{' {
			words = append(words, strings.ReplaceAll(segment, "-", "_"))
		}
	}
	if len(words) == 0 {
		words = append(words, "index")
	}
	switch {
	case r.listing != nil:
		words = append(words, "list")
	case r.method == http.MethodGet:
		words = append(words, "retrieve")
	case r.method == http.MethodPost:
		words = append(words, "create")
	case r.method == http.MethodPut:
		words = append(words, "update")
	case r.method == http.MethodPatch:
		words = append(words, "partial", "update")
	case r.method == http.MethodDelete:
		words = append(words, "destroy")
	}
	return strings.Join(words, "_")
}

// tag is the first word of the path, under which operations are grouped.
func (r *route) tag() string {
	first, _, _ := strings.Cut(r.pattern, "/")
	if first == "" {
		return "schema"
	}
	return first
}

// key is the name of the path's parameter, "" for none.
func (r *route) key() string {
	_, rest, found := strings.Cut(r.pattern, "{")
	if !found {
		return ""
	}
	name, _, _ := strings.Cut(rest, "}")
	return name
}

// keyShape is what stands in the path, told by the parameter's name.
func keyShape(name string) shape {
	switch {
	case name == "id":
		return integerShape()
	case strings.HasSuffix(name, "uuid"):
		return uuidShape()
	}
	return textShape()
}

// path is the pattern as it is looked up: "{}" for the segment that varies.
func (r *route) path() string {
	if key := r.key(); key != "" {
		return strings.Replace(r.pattern, "{"+key+"}", "{}", 1)
	}
	return r.pattern
}

// check panics on a route that says too little or contradicts itself: the table is
// part of the program.
func (r *route) check() {
	name := r.method + " " + r.pattern
	switch {
	case !r.access.known() || r.serve == nil:
		panic(fmt.Sprintf("api: %s does not say who may use it", name))
	case r.summary == "":
		panic(fmt.Sprintf("api: %s does not say what it does: describe it with about(…)", name))
	case strings.Count(r.pattern, "{") > 1 || strings.Contains(r.pattern, "{}"):
		panic(fmt.Sprintf("api: %s: one segment may vary, and it has a name", name))
	case r.body != nil && (r.method == http.MethodGet || r.method == http.MethodDelete):
		panic(fmt.Sprintf("api: %s reads no body", name))
	}
}
