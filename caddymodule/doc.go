// Package caddymodule is the only place that knows Caddy: Caddyfile and JSON in,
// http.Handler out.
//
//	module ID                    directive          file          wraps
//	postern                      postern { … } (global option) app.go  all of the below
//	http.handlers.postern        postern            provider.go   core/oidc, core/login, core/api
//	http.handlers.postern_auth   postern_auth       outpost.go    outpost
//	http.handlers.postern_media  postern_media      media.go      core/media
//	tls.permission.postern       permission postern permission.go storage's registry of tenants
//	caddy.storage.postern        storage postern    storage.go    storage's files and locks
//	admin.api.postern            (none)             admin.go      core/api, core/login
//
// What stays open over a reload (the directory, sessions in memory) is in pool.go;
// what each request is told about itself is in edge.go; whose a host is, in
// tenant.go; which sites there are, and with them the default origin, in origin.go.
package caddymodule
