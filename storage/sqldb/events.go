package sqldb

import (
	"context"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/postern-sso/postern/core"
)

// Bounds of what one event keeps, in bytes: most of it was typed by a stranger.
const (
	maxEventName    = 256
	maxEventMessage = 2048
	maxEventContext = 16 << 10
)

// Record appends to the audit log. It sets an empty ID and time, and cuts what
// is too long.
func (db *DB) Record(ctx context.Context, t core.TenantID, e core.Event) error {
	return db.write(ctx, t, directory, "record event", func(x *tx) error { return x.record(ctx, e) })
}

func (x *tx) record(ctx context.Context, e core.Event) error {
	if e.ID == "" {
		e.ID = x.db.newID()
	}
	if e.Time.IsZero() {
		e.Time = x.db.now()
	}
	text, err := json.Marshal(e.Context)
	switch {
	case err != nil:
		text = []byte(`{"lost":"it was no JSON"}`)
	case e.Context == nil:
		text = []byte(`{}`)
	case len(text) > maxEventContext:
		text = []byte(`{"lost":"it was longer than 16 KiB"}`)
	}
	name, message := cut(e.UserName, maxEventName), cut(e.Message, maxEventMessage)
	app, model, pk := eventModel(&e)
	search := searchText(message, name, e.Action, e.Address, cut(string(text), maxEventSearch))
	return x.exec(ctx, `INSERT INTO events (id, at, action, user_id, username, application_id, address, message, context,
			model_app, model_name, model_pk, username_fold, search_fold)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
		e.ID, micros(e.Time), cut(e.Action, maxEventName), cut(string(e.User), maxEventName), name,
		cut(string(e.Application), maxEventName), cut(e.Address, maxEventName), message, string(text),
		app, model, pk, core.Fold(name), cut(search, maxEventMessage+maxEventSearch+4*maxEventName))
}

// cut makes a text safe to keep: of bounded length, UTF-8, without NUL.
func cut(s string, limit int) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	for len(s) > limit {
		s = s[:limit]
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
	}
	return s
}

// Denial finds the event of a refused access by the ID of the decision.
func (db *DB) Denial(ctx context.Context, t core.TenantID, id string) (e *core.Event, err error) {
	err = db.read(ctx, t, directory, "read decision", func(q *conn) error {
		e, err = q.event(ctx, ` WHERE e.action = 'policy_denied' AND e.message = $1 ORDER BY e.at DESC LIMIT 1`, id)
		return err
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// RecentEvents lists the newest events, newest first, at most limit.
func (db *DB) RecentEvents(ctx context.Context, t core.TenantID, limit int) (out []core.Event, err error) {
	err = db.read(ctx, t, directory, "list events", func(q *conn) error {
		out, err = q.events(ctx, ` ORDER BY e.at DESC, e.id DESC LIMIT $1`, limit)
		return err
	})
	return out, err
}
