package redisdb

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/postern-sso/postern/core"
)

const (
	// maxStep is how often at most the database is told that a session was seen, while Redis
	// is told each time: what Redis forgets is no more than that.
	maxStep = 15 * time.Minute
	// batch bounds the commands of one call.
	batch = 200
)

// step is maxStep, or less where a session may rest for a short time only.
func step(idle time.Duration) time.Duration {
	if idle <= 0 {
		return maxStep
	}
	return min(maxStep, max(idle/16, time.Microsecond))
}

// keepScript keeps a copy. A later time at which the session was seen stays, unless the session was
// saved anew.
const keepScript = `
local have = redis.call('HGET', KEYS[1], 'seen')
redis.call('HSET', KEYS[1], 'copy', ARGV[1], 'step', ARGV[2])
if not have or ARGV[5] == '1' or string.sub(have, 1, 16) < string.sub(ARGV[3], 1, 16) then
  redis.call('HSET', KEYS[1], 'seen', ARGV[3])
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 'ok'`

// seenScript notes when a session was seen, unless that was noted later, and returns what was
// noted before, and the step. Where there is no copy both are empty.
const seenScript = `
local have = redis.call('HMGET', KEYS[1], 'seen', 'step')
if not have[1] or not have[2] then return {'', ''} end
if string.sub(have[1], 1, 16) < string.sub(ARGV[1], 1, 16) then
  redis.call('HSET', KEYS[1], 'seen', ARGV[1])
end
return have`

// TouchSessions notes in Redis when each was last seen, and writes to the database those that a new step
// begins with, and those that Redis does not have.
func (s *Sessions) TouchSessions(ctx context.Context, t core.TenantID, seen map[core.SessionID]time.Time) error {
	if len(seen) == 0 {
		return nil
	}
	if v := s.view(ctx, t); v != nil {
		seen = v.touch(ctx, seen)
	}
	return s.Durable.TouchSessions(ctx, t, seen)
}

// touch returns what the database has to be told.
func (v *view) touch(ctx context.Context, seen map[core.SessionID]time.Time) map[core.SessionID]time.Time {
	due := maps.Clone(seen)
	ids := slices.Collect(maps.Keys(seen))
	ids = slices.DeleteFunc(ids, func(id core.SessionID) bool { return !plain(id) })
	for len(ids) > 0 {
		n := min(len(ids), batch)
		answers := make([]*redis.Cmd, n)
		err := v.do(ctx, func(ctx context.Context) error {
			_, err := v.pipelined(ctx, func(p redis.Pipeliner) error {
				for i, id := range ids[:n] {
					answers[i] = p.Eval(ctx, seenScript, []string{sessionKey(v.tenant.ID, id)}, seenText(v.s.Master, v.tenant, id, seen[id]))
				}
				return nil
			})
			return err
		})
		if err != nil {
			return due
		}
		for i, id := range ids[:n] {
			have, err := answers[i].StringSlice()
			if err == nil && len(have) == 2 && noted(readSeen(v.s.Master, v.tenant, id, have[0]), have[1], seen[id]) {
				delete(due, id)
			}
		}
		ids = ids[n:]
	}
	return due
}

// noted reports whether the database knows enough: it was told within the same step.
func noted(was time.Time, stepText string, at time.Time) bool {
	step, err := strconv.ParseInt(stepText, 10, 64)
	return err == nil && step > 0 && !was.IsZero() && was.UnixMicro()/step == at.UnixMicro()/step
}
