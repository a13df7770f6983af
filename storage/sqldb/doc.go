// Package sqldb keeps the directory, grants and sessions in SQL: in SQLite, a
// file per tenant, or in PostgreSQL, a schema per tenant. Both run the same
// queries.
//
// # Where things are
//
// SQLite, under the data directory:
//
//	lock                        held by the process that has it open; its number inside
//	template.db                 an empty tenant, migrated; new tenants are copies
//	template.sessions.db
//	tenants/public.db           the default tenant: people, applications, grants, events,
//	                            and the registry of tenants
//	tenants/public.sessions.db  sessions, counters of failures, requests under way
//	tenants/t_….db, …           the others
//	snapshots/                  backups from before upgrades and restores
//	restore.tmp/, restored/     a backup that is being loaded; one that was, see restore_sqlite.go
//
// PostgreSQL: the same tables in the schemas public (or the one that search_path in the
// URL names) and t_…; a connection's search_path is set to one schema, and checked,
// before it serves a tenant. Sessions are tables beside the others: one transaction
// ends a session and tells it in the outbox.
//
// # Rules
//
// A tenant's ID is checked before it reaches a path or a query; what is no tenant
// is core.ErrNotFound. Every change is one transaction, with its lines in the
// outbox; what returned without an error survives kill -9 and, the disk being
// honest, power loss (synchronous=FULL). Secrets are sealed by keys.Master for
// tenant, table, column and row; what is only looked up is kept as a hash.
//
// On SQLite one connection writes and others read, without waiting for it. An
// update reads under a lock (the writer's, or FOR UPDATE), so none is lost.
//
// What ends stays ended: a session's row is marked and kept for an hour, so that
// a late write cannot bring it back; a session is saved first and its user looked
// up afterwards, while a deactivation commits first and ends sessions afterwards,
// so that one of the two meets the other.
//
// # Other nodes
//
// On PostgreSQL, Follow reads what other nodes change; see there. A call without a
// deadline has one of four seconds, and none is made while Follow finds no
// database. When sessions were last seen is written in batches, a minute apart for each:
// a node that finds a session resting too long looks it up before it believes it.
//
// # Migrations
//
// migrations/*.sql and migrations/sessions/*.sql, one text for both databases.
// Each adds and never takes away what the version before needs, and queries name
// their columns: so the version before runs on the newer tables, and a directory
// of a newer version opens. Where a start finds older tables, it makes a snapshot and
// migrates all tenants, the default one last: see upgrade.go.
//
// # Backups
//
// The tables are walked as the database describes them, so that each new one is carried
// without a line here. A column is TEXT, BIGINT, BOOLEAN or BYTEA; numbers come from
// counters, which no restore makes smaller.
package sqldb
