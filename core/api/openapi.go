package api

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-sso/postern/core/session"
)

// What an OpenAPI document is made of (OpenAPI 3.0.3 §4.7), as far as we need it.
type (
	document struct {
		OpenAPI    string                             `json:"openapi"`
		Info       documentInfo                       `json:"info"`
		Servers    []map[string]string                `json:"servers"`
		Paths      map[string]map[string]documentCall `json:"paths"`
		Components documentParts                      `json:"components"`
	}
	documentInfo struct {
		Title       string `json:"title"`
		Version     string `json:"version"`
		Description string `json:"description"`
	}
	documentParts struct {
		Schemas         map[string]*schemaPart  `json:"schemas"`
		Responses       map[string]documentBody `json:"responses"`
		SecuritySchemes map[string]object       `json:"securitySchemes"`
	}
	documentCall struct {
		OperationID string                   `json:"operationId"`
		Summary     string                   `json:"summary"`
		Description string                   `json:"description"`
		Parameters  []documentParameter      `json:"parameters,omitempty"`
		Tags        []string                 `json:"tags"`
		RequestBody *documentBody            `json:"requestBody,omitempty"`
		Security    []map[string][]string    `json:"security"`
		Responses   map[string]*documentBody `json:"responses"`
	}
	documentParameter struct {
		Name        string      `json:"name"`
		In          string      `json:"in"`
		Description string      `json:"description,omitempty"`
		Required    bool        `json:"required,omitempty"`
		Schema      *schemaPart `json:"schema"`
	}
	documentBody struct {
		Ref         string                            `json:"$ref,omitempty"`
		Description string                            `json:"description,omitempty"`
		Required    bool                              `json:"required,omitempty"`
		Content     map[string]map[string]*schemaPart `json:"content,omitempty"`
		Headers     map[string]map[string]*schemaPart `json:"headers,omitempty"`
	}
	schemaPart struct {
		Ref         string                 `json:"$ref,omitempty"`
		Type        string                 `json:"type,omitempty"`
		Format      string                 `json:"format,omitempty"`
		AllOf       []*schemaPart          `json:"allOf,omitempty"`
		Description string                 `json:"description,omitempty"`
		Properties  map[string]*schemaPart `json:"properties,omitempty"`
		Required    []string               `json:"required,omitempty"`
		Additional  *schemaPart            `json:"additionalProperties,omitempty"`
		Items       *schemaPart            `json:"items,omitempty"`
		Enum        []any                  `json:"enum,omitempty"`
		Pattern     string                 `json:"pattern,omitempty"`
		Minimum     *int                   `json:"minimum,omitempty"`
		Maximum     *int                   `json:"maximum,omitempty"`
		MinLength   int                    `json:"minLength,omitempty"`
		MaxLength   int                    `json:"maxLength,omitempty"`
		MaxItems    int                    `json:"maxItems,omitempty"`
		Default     any                    `json:"default,omitempty"`
		Nullable    bool                   `json:"nullable,omitempty"`
		ReadOnly    bool                   `json:"readOnly,omitempty"`
	}
)

const jsonType = "application/json"

// describe writes the document of a table.
func describe(t table, version string) *document {
	d := &document{
		OpenAPI: "3.0.3",
		Info: documentInfo{
			Title: "Postern", Version: version,
			Description: "Single sign-on at the edge. The API has the shape of version 3 of authentik's.",
		},
		Servers: []map[string]string{{"url": strings.TrimSuffix(Prefix, "/")}},
		Paths:   map[string]map[string]documentCall{},
		Components: documentParts{
			Schemas:   map[string]*schemaPart{},
			Responses: map[string]documentBody{},
			SecuritySchemes: map[string]object{
				"authentik": {"type": "http", "scheme": "bearer", "description": "The key of an API token."},
				"tenants":   {"type": "http", "scheme": "bearer", "description": "The key of the tenants API, which opens nothing else."},
				"session": {
					"type": "apiKey", "in": "cookie", "name": session.CookieName("https"),
					"description": "The browser's login; over http the name is " + session.CookieName("http") + ". A change must come from a page of the same origin, or have the header X-authentik-CSRF.",
				},
			},
		},
	}
	d.errors()
	for _, methods := range t {
		for _, r := range methods {
			path := "/" + r.pattern
			if d.Paths[path] == nil {
				d.Paths[path] = map[string]documentCall{}
			}
			d.Paths[path][strings.ToLower(r.method)] = d.call(&r)
		}
	}
	return d
}

func (d *document) call(r *route) documentCall {
	c := documentCall{
		OperationID: r.id(), Summary: r.summary + ".", Description: "For: " + string(r.access) + ".",
		Tags: []string{r.tag()}, Responses: map[string]*documentBody{},
		Security: []map[string][]string{{"authentik": {}}, {"session": {}}},
	}
	if r.access == tenantsKey {
		c.Security = []map[string][]string{{"tenants": {}}}
		c.Description = "For: who has the key of the tenants API, and nobody else. It is switched on by `tenants { api_key <key> }` in the Caddyfile; until then the answer is 404."
	}
	if r.access == public {
		c.Security = append(c.Security, map[string][]string{})
	}
	if key := r.key(); key != "" {
		c.Parameters = append(c.Parameters, documentParameter{Name: key, In: "path", Required: true, Schema: d.schema(keyShape(key))})
	}
	c.Parameters = append(c.Parameters, d.query(r)...)
	if r.body != nil {
		c.RequestBody = &documentBody{
			Required: slices.ContainsFunc(r.body.members, func(m member) bool { return !m.optional }),
			Content:  map[string]map[string]*schemaPart{r.bodyType(): {"schema": d.schema(*r.body)}},
		}
	}
	success := &documentBody{Description: "Done.", Content: map[string]map[string]*schemaPart{}}
	if r.answer != nil {
		success.Description = "The answer."
		success.Content[jsonType] = map[string]*schemaPart{"schema": d.schema(*r.answer)}
	}
	for _, media := range r.media {
		kind := textShape()
		if strings.HasSuffix(media, "+json") {
			kind = dictShape()
		}
		success.Content[media] = map[string]*schemaPart{"schema": d.schema(kind)}
	}
	c.Responses[strconv.Itoa(r.status)] = success
	for _, status := range r.refusals() {
		c.Responses[strconv.Itoa(status)] = &documentBody{Ref: "#/components/responses/" + refusalName(status)}
	}
	return c
}

// refusals are the statuses with which a route may refuse.
func (r *route) refusals() []int {
	out := []int{http.StatusForbidden, http.StatusInternalServerError, http.StatusServiceUnavailable}
	if r.body != nil || len(r.params) > 0 || r.listing != nil {
		out = append(out, http.StatusBadRequest)
	}
	if r.body != nil {
		out = append(out, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType)
	}
	if r.key() != "" || r.listing != nil {
		out = append(out, http.StatusNotFound)
	}
	if r.method == http.MethodDelete {
		out = append(out, http.StatusConflict)
	}
	return out
}

func refusalName(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "ValidationErrorResponse"
	case http.StatusForbidden:
		return "GenericErrorResponse"
	}
	return strings.ReplaceAll(http.StatusText(status), " ", "") + "Response"
}

// errors are the components of refusals.
func (d *document) errors() {
	generic := d.schema(objectShape("GenericError", always("detail", textShape()), sometimes("code", textShape()),
		sometimes("request_id", textShape().known("Under which the log has the cause."))))
	messages := &schemaPart{Type: "array", Items: &schemaPart{Type: "string"}}
	d.Components.Schemas["ValidationError"] = &schemaPart{
		Type: "object", Description: "What is wrong with each field.", Additional: messages,
		Properties: map[string]*schemaPart{
			"non_field_errors": messages, "code": {Type: "string"},
			"detail": {Type: "string", Description: "What is wrong with the request as a whole."},
		},
	}
	for status, text := range map[int]string{
		http.StatusForbidden:             "Not logged in, or not allowed to.",
		http.StatusNotFound:              "There is no such object or page, or the caller may not see it.",
		http.StatusConflict:              "Something else refers to the object.",
		http.StatusRequestEntityTooLarge: "The body is larger than 1 MiB, or the file than 25 MB.",
		http.StatusUnsupportedMediaType:  "The body is not JSON, or no form where a file is sent, or does not say that it is.",
		http.StatusInternalServerError:   "Something went wrong in the server.",
		http.StatusServiceUnavailable:    "Too much is under way. Try again after the seconds that Retry-After says.",
	} {
		d.Components.Responses[refusalName(status)] = documentBody{Description: text, Content: map[string]map[string]*schemaPart{jsonType: {"schema": generic}}}
	}
	d.Components.Responses[refusalName(http.StatusBadRequest)] = documentBody{
		Description: "The request has something that cannot be taken.",
		Content:     map[string]map[string]*schemaPart{jsonType: {"schema": {Ref: "#/components/schemas/ValidationError"}}},
	}
}

// query are a route's parameters of the query, by name.
func (d *document) query(r *route) []documentParameter {
	var out []documentParameter
	for _, p := range r.parameters() {
		s := d.schema(p.shape())
		s.Minimum, s.Maximum = p.least, p.most
		out = append(out, documentParameter{Name: p.name, In: "query", Description: p.text, Schema: s})
	}
	return out
}

// schema is a shape in the document; what has a name becomes a component.
func (d *document) schema(s shape) *schemaPart {
	if s.name == "" {
		return d.inPlace(s)
	}
	own := s
	own.nullable, own.text = false, ""
	part := d.inPlace(own)
	if old, twice := d.Components.Schemas[s.name]; twice && !reflect.DeepEqual(old, part) {
		panic(fmt.Sprintf("api: two shapes are called %s", s.name))
	}
	d.Components.Schemas[s.name] = part
	ref := &schemaPart{Ref: "#/components/schemas/" + s.name}
	if s.nullable || s.text != "" {
		return &schemaPart{AllOf: []*schemaPart{ref}, Nullable: s.nullable, Description: s.text}
	}
	return ref
}

func (d *document) inPlace(s shape) *schemaPart {
	part := &schemaPart{
		Type: s.kind, Format: s.format, Pattern: s.pattern, Description: s.text, Default: s.preset, Nullable: s.nullable,
	}
	for _, choice := range s.choices {
		part.Enum = append(part.Enum, choice)
	}
	if s.choices != nil && s.nullable {
		part.Enum = append(part.Enum, nil)
	}
	if s.filled && s.choices == nil {
		part.MinLength = 1
	}
	switch s.kind {
	case "string":
		part.MaxLength = s.max
	case "array":
		part.MaxItems, part.Items = s.max, d.schema(*s.items)
	case "object":
		if s.members == nil {
			part.Additional = &schemaPart{}
			break
		}
		part.Properties = map[string]*schemaPart{}
		for _, m := range s.members {
			p := d.schema(m.shape)
			if m.readOnly {
				p = readOnly(p)
			}
			part.Properties[m.name] = p
			if !m.optional {
				part.Required = append(part.Required, m.name)
			}
		}
		slices.Sort(part.Required)
	}
	return part
}

// readOnly marks a part; a reference takes nothing beside it (OpenAPI 3.0.3 §4.7.23).
func readOnly(p *schemaPart) *schemaPart {
	if p.Ref != "" {
		p = &schemaPart{AllOf: []*schemaPart{p}}
	}
	p.ReadOnly = true
	return p
}
