package caddymodule

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

// adminRequest asks a running server. What the server refuses, it refuses in words that were
// meant for the person at the command line: they are the error, without the JSON that Caddy's
// own commands would show around them.
func adminRequest(address, method, uri string, body io.Reader) (*http.Response, error) {
	res, err := caddycmd.AdminAPIRequest(address, method, uri, nil, body)
	if err == nil {
		return res, nil
	}
	if _, answer, ok := strings.Cut(err.Error(), "caddy responded with error: HTTP "); ok {
		var said struct {
			Error string `json:"error"`
		}
		if _, text, _ := strings.Cut(answer, ": "); json.Unmarshal([]byte(text), &said) == nil && said.Error != "" {
			return nil, errors.New(said.Error)
		}
	}
	return nil, err
}
