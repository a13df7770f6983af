// Command caddy is Caddy with its standard modules and Postern.
// It is the file that xcaddy would generate.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/postern-sso/postern/caddymodule"
)

func main() { caddycmd.Main() }
