// Package session is the way from a cookie to a login and back.
//
// A login is a core.Session that a browser holds a random key to. The store
// keeps it by the hash of the key; a cache before the store answers requests of
// a live session from memory. A guarded application has a child session of its
// own, good for that application alone, which ends with the login it came from.
//
// Ending a session is durable first: when End, EndSession or EndUser return nil,
// the store has forgotten it, the cache too, and no load that was under way can
// bring it back.
package session
