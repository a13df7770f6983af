// Package redisdb keeps copies of sessions in Redis, before the durable store that decides.
//
// # What is where
//
// The database has every session, and is written first: a login is durable, then copied,
// then answered; a logout is durable, then its copy is taken away, then answered. Redis may be
// emptied, fail over, lose what it acknowledged or be away, and nobody is logged out or in by
// that. What it saves the database: the reads of sessions that this node has not in
// memory, and fourteen of fifteen notes of when a session was last seen, which go to Redis alone
// (see maxStep); what is lost of them makes a session look as if it had rested a quarter of an hour longer.
// Sessions of guarded applications are durable, too: were they not, a form that is sent
// after Redis was emptied would be lost, for one write at the first visit of an application.
//
//	<tenant>:session:{<session ID>}  a hash: "copy", sealed; "seen" and "step", see touch.go
//	<tenant>:key:{<hash of the cookie's key>}  the session's ID
//	public:probe:{<random>}  written to see whether Redis takes writes
//	public:outbox:{<number of the database>}  a channel: "<tenant> <line of the outbox>", see hints.go
//
// Every script has one key. Keys expire in an hour, for the space; what counts is the session's
// own end, and the copy's own age.
//
// # What a copy is worth
//
// A copy is encrypted and authenticated under a key of the tenant derived from the master secret,
// and bound to its session and to this making of the tenant. Whoever reads Redis learns nothing, whoever writes
// there can forge nothing: what does not open is passed over. They can put back what was
// there before. Therefore a copy carries the line of the outbox that was last heard when it was
// read, and a node believes it only where it knows every session that has ended since that line, and
// this one is not among them (ledger). It does not matter then whether the end of a
// session reached Redis: what was ended is refused on this node at once, and on others when they
// hear of it, as from their own memory; a node that starts reads the last lines first. What they hear
// is the database's outbox (sqldb.DB.Follow); what is published in Redis only makes them read it at once.
//
// # When Redis is away
//
// A call takes a quarter of a second at most. The first that fails takes Redis out; from then on nobody
// waits for it, everything is the database's, and one goroutine asks each quarter of a second
// whether every server answers in time and takes a write.
package redisdb
