package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-sso/postern/core"
)

// callView is an operation of the document as a page shows it. It is the same for
// every reader.
type callView struct {
	ID, Method, Path, Tag string
	Summary, Description  string
	Inputs                []input // path and query
	Tables                []sheet // parameters and body
	Objects               []sheet // what they are made of
	Answers               []answerLine
	text                  string // what a search looks at
	body                  string // an example, as JSON
	form                  bool   // it is a form with a file
}

// input is a field of the form that sends an operation.
type input struct {
	Name     string
	In       string
	Required bool
	Choices  []string
	Value    string
}

// sheet is a table of members or parameters.
type sheet struct {
	ID, Title string
	Rows      []row
}

type row struct {
	Name  string
	Type  []typeText
	Notes string
}

// typeText is a type in words; Anchor is the table that explains it.
type typeText struct{ Text, Anchor string }

type answerLine struct {
	Status, Text string
	Shape        *typeText
}

// callViews are all operations, by path and then by method in the order of REST.
func callViews(d *document) []*callView {
	var out []*callView
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for _, method := range []string{"get", "post", "put", "patch", "delete"} {
			if c, ok := d.Paths[path][method]; ok {
				out = append(out, viewCall(d, method, path, c))
			}
		}
	}
	slices.SortStableFunc(out, func(a, b *callView) int { return strings.Compare(a.Tag, b.Tag) })
	return out
}

func viewCall(d *document, method, path string, c documentCall) *callView {
	v := &callView{
		ID: c.OperationID, Method: strings.ToUpper(method), Path: path, Tag: c.Tags[0],
		Summary: strings.TrimSuffix(c.Summary, "."), Description: c.Description,
	}
	words := []string{v.ID, v.Method, v.Path, v.Tag, v.Summary}
	var objects []string // names of components, in the order in which they are met
	params := sheet{ID: "parameters", Title: "Parameters"}
	for _, p := range c.Parameters {
		words = append(words, p.Name)
		notes := p.Description
		if p.In == "path" {
			notes = strings.TrimSpace("In the path. " + notes)
		}
		params.Rows = append(params.Rows, d.row(p.Name, p.Schema, p.Required, notes, &objects))
		in := input{Name: p.Name, In: p.In, Required: p.Required}
		if p.Schema.Type == "boolean" {
			in.Choices = []string{"true", "false"}
		}
		for _, choice := range p.Schema.Enum {
			in.Choices = append(in.Choices, fmt.Sprint(choice))
		}
		v.Inputs = append(v.Inputs, in)
	}
	if len(params.Rows) > 0 {
		v.Tables = append(v.Tables, params)
	}
	if c.RequestBody != nil {
		content, isJSON := c.RequestBody.Content[jsonType]
		if !isJSON {
			content = c.RequestBody.Content[formType]
		}
		name := componentName(content["schema"])
		body := d.Components.Schemas[name]
		t := d.sheet(name, &objects)
		t.ID, t.Title = "body", "Body: "+name
		v.Tables = append(v.Tables, t)
		words = append(words, slices.Sorted(maps.Keys(body.Properties))...)
		if isJSON {
			v.body = indented(d.example(body, true))
		} else {
			v.form = true
		}
	}
	for _, status := range slices.Sorted(maps.Keys(c.Responses)) {
		v.Answers = append(v.Answers, d.answerLine(status, c.Responses[status], &objects))
	}
	for i := 0; i < len(objects); i++ { // a table may add more
		v.Objects = append(v.Objects, d.sheet(objects[i], &objects))
	}
	v.text = core.Fold(strings.Join(words, " "))
	return v
}

func (d *document) answerLine(status string, b *documentBody, objects *[]string) answerLine {
	if b.Ref != "" {
		shared := d.Components.Responses[componentOf(b.Ref)]
		b = &shared
	}
	line := answerLine{Status: status, Text: b.Description}
	if content, ok := b.Content[jsonType]; ok {
		t := describeType(content["schema"], objects)
		line.Shape = &t
	}
	return line
}

// sheet explains a component.
func (d *document) sheet(name string, objects *[]string) sheet {
	s, isBody := d.Components.Schemas[name], strings.HasSuffix(name, "Request")
	t := sheet{ID: name, Title: name}
	for _, member := range slices.Sorted(maps.Keys(s.Properties)) {
		required := slices.Contains(s.Required, member)
		r := d.row(member, s.Properties[member], required && isBody, "", objects)
		if !required && !isBody {
			r.Notes = strings.TrimSpace("Not always there. " + r.Notes)
		}
		t.Rows = append(t.Rows, r)
	}
	return t
}

func (d *document) row(name string, s *schemaPart, required bool, notes string, objects *[]string) row {
	r := row{Name: name, Type: []typeText{describeType(s, objects)}}
	words := []string{}
	switch {
	case s.ReadOnly:
		words = append(words, "Read only.")
	case required:
		words = append(words, "Required.")
	}
	if notes == "" {
		notes = s.Description
	}
	words = append(words, notes)
	if s.Default != nil {
		words = append(words, "If it is left out: "+strings.Trim(indented(s.Default), `"`)+".")
	}
	if s.MaxLength > 0 {
		words = append(words, "At most "+strconv.Itoa(s.MaxLength)+" characters.")
	}
	if s.Maximum != nil {
		words = append(words, "At most "+strconv.Itoa(*s.Maximum)+".")
	}
	r.Notes = strings.Join(slices.DeleteFunc(words, func(s string) bool { return s == "" }), " ")
	return r
}

// describeType puts a type into words, and notes the component that it names.
func describeType(s *schemaPart, objects *[]string) typeText {
	t := typeText{Text: s.Type}
	switch name := componentName(s); {
	case name != "":
		t = typeText{name, name}
		if !slices.Contains(*objects, name) {
			*objects = append(*objects, name)
		}
	case s.Enum != nil:
		choices := []string{}
		for _, choice := range s.Enum {
			if choice != nil {
				choices = append(choices, fmt.Sprint(choice))
			}
		}
		t.Text = "one of: " + strings.Join(choices, ", ")
	case s.Type == "array":
		item := describeType(s.Items, objects)
		t = typeText{"list of " + item.Text, item.Anchor}
	case s.Type == "":
		t.Text = "anything"
	case s.Format != "":
		t.Text = s.Type + " (" + s.Format + ")"
	}
	if s.Nullable {
		t.Text += ", or null"
	}
	return t
}

// componentName is the component that a part stands for, "" for none.
func componentName(s *schemaPart) string {
	if len(s.AllOf) == 1 {
		s = s.AllOf[0]
	}
	return componentOf(s.Ref)
}

func componentOf(ref string) string { return ref[strings.LastIndex(ref, "/")+1:] }

// example is a value that fits a part; of an object what must be there, or its
// first member.
func (d *document) example(s *schemaPart, top bool) any {
	if name := componentName(s); name != "" {
		return d.example(d.Components.Schemas[name], false)
	}
	switch {
	case s.Default != nil:
		return s.Default
	case s.Enum != nil:
		return s.Enum[0]
	}
	switch s.Type {
	case "object":
		out := object{}
		names := s.Required
		if len(names) == 0 && top {
			names = slices.Sorted(maps.Keys(s.Properties))
			names = names[:min(1, len(names))]
		}
		for _, name := range names {
			out[name] = d.example(s.Properties[name], false)
		}
		return out
	case "array":
		return []any{d.example(s.Items, false)}
	case "boolean":
		return true
	case "integer", "number":
		return 1
	}
	switch s.Format {
	case "uuid":
		return "0191e3c5-0000-7000-8000-000000000000"
	case "date-time":
		return "2027-01-31T12:00:00Z"
	case "email":
		return "ann@example.com"
	case "uri":
		return "https://app.example.com"
	}
	return "example"
}

func indented(v any) string {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return ""
	}
	return string(data)
}
