// Command caddy is Caddy with its standard modules and Postern.
// It is the file that xcaddy would generate.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"

	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "modernc.org/sqlite"
	_ "github.com/pressly/goose/v3"
	_ "go.starlark.net/starlark"
	_ "github.com/go-jose/go-jose/v4"
	_ "github.com/coreos/go-oidc/v3/oidc"
	_ "golang.org/x/oauth2"
	_ "github.com/maypok86/otter/v2"
	_ "golang.org/x/crypto/argon2"
)

func main() { caddycmd.Main() }
