// Package login is everything a person sees: the login form, the page that
// asks for consent, "My applications", logout, and the links that set a
// password.
//
// Protocols call Handler.Require with what they need. It answers at once from a
// live session, or sends the browser to a page that brings it back to
// Need.ReturnTo; nothing is kept on the server in between, so a form that is
// open survives a restart, a reload and a change of node:
//
//	what                  where it travels        sealed for
//	core.Need             need= of the page       tenant, the next= beside it
//	the form token        hidden input            tenant, form, session, the browser's cookie
//	answer to consent     consent= of ReturnTo    tenant, session, client, scopes, request
//	answer to a logout    logout= of ReturnTo     tenant, session, request
//	known device          cookie                  tenant, user, time of the password
//
// Which file does what:
//
//	handler.go    the routes, and what holds for every request
//	require.go    Require: session, freshness, consent, in this order
//	signin.go     the login form; attempt.go counts failures; device.go remembers browsers
//	password.go   argon2id, bounded
//	consent.go    logout.go   link.go   the other forms
//	portal.go     "My applications"; launch.go says where an application's tile leads
//	next.go       where a browser may be sent; guard.go keeps other sites' forms out
//	page.go       templates and headers; static.go style sheets and scripts
package login
