// Package policy decides whether a user may open an application, says why, and keeps
// what was refused.
//
// # How it decides
//
// A [Binding] ties a user, a group or an expression policy to an application. A binding
// to a user passes for that user; one to a group for its members, those of the groups
// below it too; one to a policy where the expression returns something true. Negate turns
// the result around. With mode "any" one binding that passes is enough, with "all" every
// one has to. Without an enabled binding an application is open to every active user. Nobody is
// exempt, administrators neither. A user who is not active is always denied, and one in none of
// the groups that the Caddyfile asks for too.
//
// Users and groups are looked at first, from memory. Where they settle it, no expression
// runs. Else expressions run in the order of their bindings until it is settled.
//
// What goes wrong denies: an expression that fails, runs into a limit or a timeout has the result
// that the binding says for that case (FailureResult, false by default; authentik turns it
// around with Negate, we do not). A binding to a group or a policy that was deleted does not
// pass, negated or not. A user ID is never given again, so a binding to a deleted user
// goes on as before: it passes for nobody, and negated for everybody. Where the store cannot say what
// is bound, or too many expensive expressions run already, there is no decision but an error.
//
// # What is remembered
//
// The bindings of a tenant are read once and dropped by the outbox ([Engine.Invalidate]).
// A decision that no expression took part in holds until the directory changes
// ([Decision.Fixed]), and a caller may keep it. One that an expression took part in holds for
// its request alone: an expression may look at the time, at the client's address and at
// other people, so its result is never kept, whatever it looked at. Its program is (core/expression
// compiles each source once): a run costs microseconds.
//
// # What is told
//
// Each refusal that somebody met ([Engine.Refuse]) gets an ID, which the page shows, and is an
// event with the whole trace. The same refusal of the same person from the same address
// within ten minutes is the same event. [Engine.Explain] finds it by its ID.
package policy
