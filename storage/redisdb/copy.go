package redisdb

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
)

// maxText is what the database keeps of an address and a browser's name, in bytes. What it
// would cut is copied from there.
const maxText = 256

// copied is a session as it was read from the database, or written to it.
type copied struct {
	AsOf int64 // the line of the outbox that was the last one heard before
	At   int64 // when it was read, in microseconds
	Key  []byte
	core.Session
}

// keys of Redis: <tenant>:<kind>:{<object>}, so that all of one object is in one slot of a
// cluster, and one tenant's are not all in one.

func sessionKey(t core.TenantID, id core.SessionID) string {
	return string(t) + ":session:{" + string(id) + "}"
}

func indexKey(t core.TenantID, key [32]byte) string {
	return string(t) + ":key:{" + hex.EncodeToString(key[:]) + "}"
}

// seal encrypts and authenticates for one tenant of one making, and one session: whoever writes
// to Redis can neither make a login nor move one.
func (c *copied) seal(m *keys.Master, t *core.Tenant) (string, error) {
	text, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("copy session: %w", err)
	}
	return string(m.Seal(t.ID, purpose, place(t, c.ID), text)), nil
}

func unseal(m *keys.Master, t *core.Tenant, id core.SessionID, sealed string) (*copied, error) {
	text, err := m.Open(t.ID, purpose, place(t, id), []byte(sealed))
	if err != nil {
		return nil, err
	}
	c := &copied{}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("read a session's copy: %w", err)
	}
	if c.ID != id {
		return nil, keys.ErrSealed
	}
	return c, nil
}

const purpose = "redis/session"

// place names the tenant's making beside its name, so that a tenant that takes a deleted one's
// name does not take its sessions.
func place(t *core.Tenant, id core.SessionID) string { return t.UUID + "/" + string(id) }

// stored is s with what the database keeps of it, or false, where it would cut something.
func stored(s *core.Session) (core.Session, bool) {
	c := *s
	for _, at := range []*time.Time{&c.AuthTime, &c.Created, &c.LastSeen, &c.Expires} {
		*at = at.Truncate(time.Microsecond).UTC()
	}
	c.Idle = c.Idle.Truncate(time.Microsecond)
	if c.Factors == nil {
		c.Factors = []core.Factor{}
	}
	return c, len(c.Address) <= maxText && len(c.UserAgent) <= maxText
}

// digits is the width of a time in microseconds: it sorts as text, until the year 2286.
const digits = 16

// seenText is when a session was last seen, in a form that Redis can compare and nobody else
// can make.
func seenText(m *keys.Master, t *core.Tenant, id core.SessionID, at time.Time) string {
	number := fmt.Sprintf("%0*d", digits, at.UnixMicro())
	return number + seenMAC(m, t, id, number)
}

func seenMAC(m *keys.Master, t *core.Tenant, id core.SessionID, number string) string {
	key := m.Derive(t.ID, "redis/seen")
	h := hmac.New(sha256.New, key[:])
	h.Write([]byte(place(t, id) + "/" + number))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// readSeen is the zero time where text is not ours.
func readSeen(m *keys.Master, t *core.Tenant, id core.SessionID, text string) time.Time {
	if len(text) < digits || !hmac.Equal([]byte(text[digits:]), []byte(seenMAC(m, t, id, text[:digits]))) {
		return time.Time{}
	}
	n, err := strconv.ParseInt(text[:digits], 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}
