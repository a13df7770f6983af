// Package core holds the nouns of Postern: what exists, in the words of the field,
// without input or output. Everything else is about them.
//
// A [Tenant] is found by Host and owns all that follows; nothing crosses it. Its
// directory holds a [User] for each person or machine, in any number of [Group]s,
// whose members are those of their children too. Names are compared after [Fold].
// A group may have [Role]s, each a set of [Permission]s in the administration; what a
// user may do by all of them are their [Rights].
//
// An [Application] is what a person sees and a policy guards. It has at most one
// [Provider], which is how it is connected: a [Client] speaks OpenID Connect, a
// [ProxyProvider] knows nothing of single sign-on, and an outpost guards it. What a
// client learns of a user is the work of a [PropertyMapping], released by a scope.
// What it is told is signed by a [KeyPair]. Who may open an application follows from the
// bindings that target it, each of a user, a group or an [ExpressionPolicy]; what they may
// do there, by name, is an [Entitlement].
//
// A [Session] is a browser's login at the tenant, proved by one or more [Factor]s; one
// that was made for a guarded application is the child of the login that it came from
// and ends with it. A [Need] says how fresh a login must be and what must have been
// agreed to. A [Token] is a long random key that stands for a user: for the API, as
// a password of an application, as a link.
//
// What happened is an [Event], one line of the audit log. What changed in the directory
// is a [Change], one line of the outbox, written in the transaction of the change.
//
// The edge states what is known of a request in a [RequestInfo]; nothing else looks at
// Host or X-Forwarded headers. Text that must not be seen is a [Secret]. Storage
// answers with the sentinels of errors.go, wrapped.
//
// Below this package, session, keys, policy and expression are services that the
// protocols (oidc, login, api) share; protocols do not know one another. See
// imports_test.go for the rules and their reasons.
package core
