// Package apitest holds requests and answers of the REST API to its published
// document, as judged by kin-openapi, which nobody here wrote. It is for tests.
package apitest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
)

// Contract is a document, and what it promises.
type Contract struct {
	Document *openapi3.T
	router   routers.Router
}

// ErrUndescribed: the document has no such operation.
var ErrUndescribed = errors.New("no such operation in the document")

// New reads a document, JSON or YAML. One that OpenAPI does not allow is an error.
func New(document []byte) (*Contract, error) {
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("the document is not valid: %w", err)
	}
	for name, s := range doc.Components.Schemas {
		// What clients must tolerate, tests do not: an answer has what is described, and
		// nothing else.
		if s.Value.Properties != nil && s.Value.AdditionalProperties.Schema == nil && !strings.HasSuffix(name, "Request") {
			no := false
			s.Value.AdditionalProperties = openapi3.AdditionalProperties{Has: &no}
		}
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		return nil, fmt.Errorf("routes of the document: %w", err)
	}
	for _, media := range []string{"application/vnd.oai.openapi", "application/x-pem-file", "text/html"} {
		openapi3filter.RegisterBodyDecoder(media, openapi3filter.PlainBodyDecoder)
	}
	return &Contract{doc, router}, nil
}

// Exchange is one request and its answer.
type Exchange struct {
	Method string
	URL    *url.URL
	Header http.Header // of the request
	Body   []byte      // of the request
	Status int
	Answer http.Header
	Result []byte
	// Lenient: the request may be one that the document does not allow, although it
	// is answered. Numbers in quotation marks and the like are taken, as Django REST
	// Framework takes them.
	Lenient bool
}

// Check holds an exchange to the document: the status and the answer must be
// described, and what was taken must have been allowed. It is ErrUndescribed
// where the document does not know the path and the server answered as if it did.
func (c *Contract) Check(x Exchange) error {
	method := x.Method
	if method == http.MethodOptions {
		return nil
	}
	if method == http.MethodHead {
		method = http.MethodGet
	}
	r, err := http.NewRequest(method, x.URL.String(), bytes.NewReader(x.Body)) //nolint:noctx // it goes nowhere
	if err != nil {
		return fmt.Errorf("repeat the request: %w", err)
	}
	r.Header = x.Header.Clone()
	if strings.Contains(r.URL.Path, "//") && x.Status == http.StatusNotFound {
		return nil
	}
	if !strings.HasSuffix(r.URL.Path, "/") { // answered too
		r.URL.Path, r.URL.RawPath = r.URL.Path+"/", ""
	}
	r.URL.Scheme, r.URL.Host, r.Host = "", "", ""
	query := r.URL.Query()
	for name, values := range query {
		// An empty parameter is none, and any size of a page is answered: the next one
		// that there is.
		if query[name] = slices.DeleteFunc(values, func(s string) bool { return s == "" }); len(query[name]) == 0 || name == "page_size" {
			query.Del(name)
		}
	}
	r.URL.RawQuery = query.Encode()
	route, params, err := c.router.FindRoute(r)
	// A word goes before what stands where the path varies.
	if item := c.Document.Paths.Value(strings.TrimPrefix(r.URL.Path, "/api/v3")); item != nil && item.GetOperation(method) == nil {
		err = errors.New("no such method")
	}
	for _, value := range params {
		if value == "" || strings.Contains(value, "/") {
			err = errors.New("nothing stands where the path varies")
		}
	}
	switch {
	case err != nil && (x.Status == http.StatusNotFound || x.Status == http.StatusMethodNotAllowed):
		return nil
	case err != nil:
		return fmt.Errorf("%s %s: %w: %w", x.Method, x.URL.Path, ErrUndescribed, err)
	}
	input := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: &openapi3filter.Options{
		AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, SkipSettingDefaults: true,
		ExcludeReadOnlyValidations: true, // they are ignored
	}}
	if err := c.answer(input, x); err != nil {
		return fmt.Errorf("%s: the answer %d is not as described: %w", route.Operation.OperationID, x.Status, err)
	}
	if x.Status >= 300 || x.Lenient {
		return nil
	}
	if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil {
		return fmt.Errorf("%s: a request was taken that the document does not allow: %w", route.Operation.OperationID, err)
	}
	return nil
}

func (c *Contract) answer(input *openapi3filter.RequestValidationInput, x Exchange) error {
	options := *input.Options
	if x.Method == http.MethodHead || x.Status == http.StatusNotModified {
		options.ExcludeResponseBody = true
	}
	response := input.Route.Operation.Responses.Status(x.Status)
	if response != nil && len(response.Value.Content) == 0 && len(x.Result) > 0 {
		return errors.New("there is a body")
	}
	return openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: x.Status, Header: x.Answer, Options: &options,
		Body: io.NopCloser(bytes.NewReader(x.Result)),
	})
}
