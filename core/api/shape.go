package api

import "slices"

// shape is what a JSON value looks like. The published document is written from
// shapes, and answers are cut to them (keep): what is not described is not sent.
// The zero shape is any value.
type shape struct {
	name     string // of its component in the document; empty: described where it is used
	kind     string // OpenAPI's type; empty: any
	format   string
	pattern  string
	choices  []string
	text     string // what there is to know beside
	nullable bool
	filled   bool // a string that is not empty
	max      int  // characters of a string, or items of a list; 0: not limited
	preset   any  // what is taken where the member is absent
	members  []member
	items    *shape
}

// member is one member of an object.
type member struct {
	name  string
	shape shape
	// optional: an answer may go without it, a body need not have it.
	optional bool
	// secret: not within a list.
	secret bool
	// readOnly: a body that has it is not read for it.
	readOnly bool
}

func textShape() shape    { return shape{kind: "string"} }
func uuidShape() shape    { return shape{kind: "string", format: "uuid"} }
func timeShape() shape    { return shape{kind: "string", format: "date-time"} }
func integerShape() shape { return shape{kind: "integer"} }
func numberShape() shape  { return shape{kind: "number", format: "double"} }
func booleanShape() shape { return shape{kind: "boolean"} }

// dictShape is an object whose members nobody knows beforehand.
func dictShape() shape { return shape{kind: "object"} }

func choiceShape(of ...string) shape { return shape{kind: "string", choices: of} }

func listShape(of shape) shape { return shape{kind: "array", items: &of} }

// objectShape is a component of the document.
func objectShape(name string, members ...member) shape {
	return shape{name: name, kind: "object", members: members}
}

// orNull is the shape, or null.
func (s shape) orNull() shape {
	s.nullable = true
	return s
}

// or says what is taken where nothing is said.
func (s shape) or(preset any) shape {
	if preset != "" {
		s.preset = preset
	}
	return s
}

// atMost limits how many items a list has.
func (s shape) atMost(n int) shape {
	s.max = n
	return s
}

// known says what there is to know about the value.
func (s shape) known(text string) shape {
	s.text = text
	return s
}

// always is a member that every answer has.
func always(name string, s shape) member { return member{name: name, shape: s} }

// sometimes is a member that an answer may go without.
func sometimes(name string, s shape) member { return member{name: name, shape: s, optional: true} }

// secret is a member that is shown where a single object is asked for.
func secret(name string, s shape) member {
	return member{name: name, shape: s, optional: true, secret: true}
}

// texts are members that are strings.
func texts(names ...string) []member {
	out := make([]member, len(names))
	for i, name := range names {
		out[i] = always(name, textShape())
	}
	return out
}

// without is the shape without some members.
func (s shape) without(names ...string) shape {
	s.members = slices.DeleteFunc(slices.Clone(s.members), func(m member) bool { return slices.Contains(names, m.name) })
	return s
}

// with is the shape with more members; one of the same name is replaced.
func (s shape) with(more ...member) shape {
	s.members = slices.Clone(s.members)
	for _, m := range more {
		if i := slices.IndexFunc(s.members, func(o member) bool { return o.name == m.name }); i >= 0 {
			s.members[i] = m
		} else {
			s.members = append(s.members, m)
		}
	}
	return s
}

// keep is v without what the shape does not describe and, within a list, without
// secrets. Without a shape nothing is kept.
func (s *shape) keep(v any, listed bool) any {
	if s == nil {
		return nil
	}
	switch v := v.(type) {
	case object:
		if s.kind != "object" || s.members == nil {
			return v
		}
		out := make(object, len(s.members))
		for i := range s.members {
			m := &s.members[i]
			if value, ok := v[m.name]; ok && (!m.secret || !listed) {
				out[m.name] = m.shape.keep(value, listed)
			}
		}
		return out
	case []object:
		out := make([]any, len(v))
		for i := range v {
			out[i] = s.keepItem(v[i])
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = s.keepItem(v[i])
		}
		return out
	}
	return v
}

func (s *shape) keepItem(v any) any {
	if s.items == nil {
		return v
	}
	return s.items.keep(v, true)
}
