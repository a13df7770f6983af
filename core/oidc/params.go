package oidc

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"sort"
	"strings"
)

// maxBody bounds a form. An ID token in id_token_hint or a client assertion is
// the largest thing in one.
const maxBody = 64 << 10

// The longest values that are taken, in bytes.
const (
	maxParams      = 64
	maxClientID    = 255
	maxRedirectURI = 2048
	maxState       = 8192
	maxToken       = 32 << 10
	maxParam       = 2048 // every other
)

func limitOf(name string) int {
	switch name {
	case "client_id":
		return maxClientID
	case "state":
		return maxState
	case "id_token_hint", "token", "access_token", "request", "client_assertion":
		return maxToken
	}
	return maxParam
}

// params are the parameters of a request. One that is empty counts as omitted,
// and one that is given twice is an error (RFC 6749 §3.1).
type params struct {
	values url.Values
	// faulty holds what is wrong, by parameter name, so that a request can still
	// be answered at its redirect URI when that one is sound.
	faulty map[string]*Error
}

func newParams(values url.Values) params {
	p := params{values: values, faulty: map[string]*Error{}}
	if len(values) > maxParams {
		p.faulty[""] = invalidRequest("The request has more than %d parameters.", maxParams)
	}
	for name, all := range values {
		switch {
		case name == "resource": // may be repeated (RFC 8707 §2)
		case len(all) > 1:
			p.faulty[name] = invalidRequest("The parameter %s is given more than once.", printable(name))
		case len(all[0]) > limitOf(name):
			p.faulty[name] = invalidRequest("The parameter %s is longer than %d bytes.", printable(name), limitOf(name))
		}
	}
	return p
}

// get is "" for a parameter that is absent or faulty.
func (p params) get(name string) string {
	if p.faulty[name] != nil {
		return ""
	}
	return p.values.Get(name)
}

// err is the first fault by name, or nil.
func (p params) err() error {
	names := make([]string, 0, len(p.faulty))
	for name := range p.faulty {
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil
	}
	sort.Strings(names)
	return p.faulty[names[0]]
}

// form reads the body of a POST. Only the body counts: a code or a secret in
// the query would be in every log on the way (RFC 6749 §2.3.1).
func form(r *http.Request) (params, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return params{}, invalidRequest("The body must be of type application/x-www-form-urlencoded.")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		var limit *http.MaxBytesError
		if errors.As(err, &limit) {
			return params{}, invalidRequest("The body is longer than %d bytes.", maxBody)
		}
		return params{}, invalidRequest("The body could not be read.")
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return params{}, invalidRequest("The body cannot be read as a form.")
	}
	return newParams(values), nil
}

// printable makes a parameter's name fit for error_description, which takes a
// part of ASCII only (RFC 6749 §5.2).
func printable(s string) string {
	if len(s) > 64 {
		s = s[:64]
	}
	return strings.Map(func(c rune) rune {
		if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return '?'
		}
		return c
	}, s)
}
