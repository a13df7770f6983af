// Package api is the REST API below /api/v3/, shaped as authentik's version 3, so
// that programs written for it work: its Terraform provider above all, which is
// strict. The shape is that of 2026.2, with the names of 2025.2 beside it.
//
// How a request is answered:
//
//  1. Handler.ServeHTTP finds the route. The table in route.go says for every
//     route who may use it, and describes it with about(…); a route that says
//     neither cannot be built. Parameters of the query that it does not describe
//     are not read, and what its answer's shape does not describe is not sent.
//  2. authenticate finds the user: a bearer token of intent "api", or the
//     browser's session, which must prove for every change that the request comes
//     from our own pages.
//  3. The body is read into fields, with the rules of Django REST Framework:
//     strings are trimmed, what PUT leaves out keeps its value, unknown and
//     read-only fields are ignored, and every refusal names its field.
//  4. resource is the one way in which objects are listed, shown, created, changed
//     and deleted; each kind of object is one file that fills one in.
//  5. refuse is the only writer of errors. An internal cause is logged and the
//     answer has only the request's ID.
//
// To add a kind of object, fill in a resource: key is what the path names it by,
// read reads a body and thereby describes it, members are what an answer has
// beside the body's fields. Then append its routes to the table. To add another
// route, write one line: about("What it does").by(parameters…).takes("Name", read)
// .gives(shape). The published document is written from the same values.
//
// Who is no superuser does what they do by delegated rights: see [core.Delegation].
//
// Secrets are shown to who may change what they belong to, or has a right of its own
// to them, where a single object is asked for; never in lists, events or errors.
package api
