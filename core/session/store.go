package session

import (
	"context"
	"time"

	"github.com/postern-sso/postern/core"
)

// Store keeps sessions by the hash of the cookie's key.
type Store interface {
	// FindSession: absent or past its absolute expiry is core.ErrNotFound.
	FindSession(ctx context.Context, t core.TenantID, key [32]byte) (*core.Session, error)
	// SessionByID is for a parent, found from its child.
	SessionByID(ctx context.Context, t core.TenantID, id core.SessionID) (*core.Session, error)
	SaveSession(ctx context.Context, t core.TenantID, key [32]byte, s *core.Session) error
	// TouchSessions writes when each was last seen. Absent ones are no error, and an
	// earlier time never replaces a later one.
	TouchSessions(ctx context.Context, t core.TenantID, seen map[core.SessionID]time.Time) error
	// DeleteSession ends a session and its children and returns the IDs of all
	// that ended. Absent is no error. It is durable when it returns.
	DeleteSession(ctx context.Context, t core.TenantID, id core.SessionID) ([]core.SessionID, error)
	// DeleteUserSessions ends all of a user's, but for keep and its children
	// (empty: none is kept), and returns their IDs.
	DeleteUserSessions(ctx context.Context, t core.TenantID, u core.UserID, keep core.SessionID) ([]core.SessionID, error)
	// UserSessions lists a user's live logins, newest first, without children.
	UserSessions(ctx context.Context, t core.TenantID, u core.UserID) ([]core.Session, error)
	// DeleteExpiredSessions removes what ended before now.
	DeleteExpiredSessions(ctx context.Context, t core.TenantID, now time.Time) error
}
