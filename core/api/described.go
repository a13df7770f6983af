package api

import (
	"net/http"
	"slices"
	"strings"
)

// described is one kind of object as the document describes it, and its calls.
type described struct {
	model, app, verbose, key string
	listing                  listing
	members                  []member
	hidden                   []string
	params                   []parameter
	read                     func(f *fields) // a body, into an object that is thrown away
}

// handler answers one call.
type handler func(c *call) (reply, error)

// readRoutes are the two that show.
func (d described) readRoutes(path string, who access, list, one handler) []route {
	return []route{
		{http.MethodGet, path, d.who(who, "view"), list, d.listed().ofObjects()},
		{http.MethodGet, path + "{" + d.key + "}/", d.who(who, "view"), one, d.shown().ofObjects()},
	}
}

// writeRoutes are the four that change something.
func (d described) writeRoutes(path string, who access, create, update, remove handler) []route {
	one, name := path+"{"+d.key+"}/", article(d.verbose)
	return []route{
		{http.MethodPost, path, d.who(who, "add"), create, about("Create "+name).takes(d.model+"Request", d.read).makes(d.shape())},
		{http.MethodPut, one, d.who(who, "change"), update, about("Change "+name).takes(d.model+"Request", d.read).gives(d.shape()).ofObjects()},
		{http.MethodPatch, one, d.who(who, "change"), update, about("Change some fields of "+name).takes("Patched"+d.model+"Request", d.read).partly().gives(d.shape()).ofObjects()},
		{http.MethodDelete, one, d.who(who, "delete"), remove, about("Delete " + name).ofObjects()},
	}
}

// who may use a verb.
func (d described) who(who access, verb string) access {
	if who == byRight {
		return permitted(verb, d.app, d.model)
	}
	return who
}

// listed and shown describe the two that show.
func (d described) listed() operation {
	return about("List "+plural(d.verbose)).by(d.params...).lists(d.shape(), d.listing)
}

func (d described) shown() operation {
	return about("Show " + article(d.verbose)).by(d.params...).gives(d.shape())
}

// shape is the object in an answer: its own members, and what a body has.
func (d described) shape() shape {
	out := objectShape(d.model, slices.Clone(d.members)...)
	body := bodyShape("", d.read)
	named := func(name string) func(member) bool { return func(m member) bool { return m.name == name } }
	for i := range out.members {
		out.members[i].readOnly = !slices.ContainsFunc(body.members, named(out.members[i].name))
	}
	for _, m := range body.members {
		if !slices.Contains(d.hidden, m.name) && !slices.ContainsFunc(d.members, named(m.name)) {
			out.members = append(out.members, m.answered())
		}
	}
	return out
}

// answered is a body's member as an answer has it: always there, and as long as it
// is. What is no text and not set is null.
func (m member) answered() member {
	s := m.shape
	s.max, s.filled, s.preset = 0, false, nil
	s.nullable = s.nullable && (s.kind != "string" || s.format == "uuid" || s.format == "date-time")
	return always(m.name, s)
}

// plural is a name for many.
func plural(name string) string {
	if stem, found := strings.CutSuffix(name, "cy"); found {
		return stem + "cies"
	}
	return name + "s"
}

// article puts "a" or "an" before a name.
func article(name string) string {
	if strings.ContainsRune("AEIO", rune(name[0])) {
		return "an " + name
	}
	return "a " + name
}
