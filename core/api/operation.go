package api

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
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
	// download is the media type of what is sent instead where the query asks for a
	// download.
	download string
}

// parameter is one of a query.
type parameter struct {
	name   string
	kind   filter
	preset string // what is taken where the query does not say
	text   string
}

// about begins the description of a route, which answers 204 unless more is said.
func about(summary string) operation {
	return operation{summary: summary, status: http.StatusNoContent}
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

// downloads says that download=true sends a file of a media type.
func (o operation) downloads(media string) operation {
	o.download = media
	return o.by(parameter{name: "download", kind: byBool, preset: "false", text: "Send it as a file."})
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
	case r.access < public || r.access > superusers || r.serve == nil:
		panic(fmt.Sprintf("api: %s does not say who may use it", name))
	case r.summary == "":
		panic(fmt.Sprintf("api: %s does not say what it does: describe it with about(…)", name))
	case strings.Count(r.pattern, "{") > 1 || strings.Contains(r.pattern, "{}"):
		panic(fmt.Sprintf("api: %s: one segment may vary, and it has a name", name))
	case r.body != nil && (r.method == http.MethodGet || r.method == http.MethodDelete):
		panic(fmt.Sprintf("api: %s reads no body", name))
	}
}
