// Package outpost guards other people's applications: a request comes in, and
// it goes on with the identity of a person whom the tenant lets in, or not at all.
//
// One request runs through these steps, in this order:
//
//  1. [Strip] removes every identity header that the client sent, in every
//     spelling, whatever follows (headers.go).
//  2. The application is found by host and path, or is the one that the
//     configuration declares (application.go).
//  3. A path that a skip rule names needs no login (skip.go). Only a path that can be
//     read in one way is compared.
//  4. The application's cookie gives a child session, and with it a login that is
//     still alive (cookie.go; the session service).
//  5. The person and their groups come from memory, and so does the policy's
//     decision (cache.go): a live session costs no call of a store.
//  6. [Outpost.Check] answers with a [Decision] (check.go): go on with these
//     headers, log in there, or refuse.
//
// A browser that has to log in takes a sealed cookie along for each attempt
// (pending.go) and comes back to the URL it asked for, with a single-use code
// (callback.go). Nothing here returns an error to the web server: what does not
// end in "go on" ends in an answer written here.
package outpost
