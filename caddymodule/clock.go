package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

const (
	// clockFile keeps the latest time that the clock of this data directory has shown, in
	// microseconds since 1970, so that a start after the machine's clock was set back revives nothing.
	clockFile = "clock"
	// markEvery is how often it is written: a crash, and a clock that is set back before the next
	// start, give what has expired back so much.
	markEvery = time.Minute
)

// openClock goes on from the mark in the data directory. One that cannot be read is as none.
func openClock(ctx context.Context, data string, read core.Reading, log *slog.Logger) *core.Clock {
	mark, err := readMark(data)
	if err != nil {
		log.WarnContext(ctx, "the mark of the clock cannot be read: if the machine's clock was set back, what has expired since may be valid again", "error", err)
	}
	c := core.NewClock(read, mark)
	if ahead := c.Now().Sub(c.Wall()); ahead > time.Second {
		log.WarnContext(ctx, "the machine's clock was set back, or is not right yet: what has expired stays so", "behind", ahead.Round(time.Second))
	}
	return c
}

func readMark(data string) (time.Time, error) {
	path := filepath.Join(data, clockFile)
	text, err := os.ReadFile(path) //nolint:gosec // below the operator's own directory
	if errors.Is(err, fs.ErrNotExist) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read the mark: %w", err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil || n <= 0 {
		return time.Time{}, fmt.Errorf("%s holds no time: remove it", path)
	}
	return time.UnixMicro(n).UTC(), nil
}

// writeMark replaces the mark as a whole.
func writeMark(data string, mark time.Time) error {
	if err := os.MkdirAll(data, 0o700); err != nil { // with PostgreSQL it may not be there yet
		return fmt.Errorf("write the mark: %w", err)
	}
	path := filepath.Join(data, clockFile)
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600) //nolint:gosec // below the operator's own directory
	if err != nil {
		return fmt.Errorf("write the mark: %w", err)
	}
	_, err = fmt.Fprintln(f, mark.UnixMicro())
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write the mark: %w", err)
	}
	return nil
}

// tendClock keeps the mark, and gives a clock up that was far in the future: then all
// that could expire ends, before and after the clock goes back, so that nothing that it saw expire is
// alive again and nothing that was made meanwhile lives on for years.
func (sh *shared) tendClock(ctx context.Context, data string, log *slog.Logger) {
	if sh.clock.Lost() && ctx.Err() == nil {
		was := sh.clock.Now()
		err := sh.endAll(ctx, was)
		if err == nil {
			sh.clock.Reset()
			err = sh.endAll(ctx, was)
			log.ErrorContext(ctx, "the machine's clock is far behind the time that it showed before, and stays so: it is believed, and everybody has to log in again", "before", was, "now", sh.clock.Now())
		}
		if err != nil {
			log.ErrorContext(ctx, "end what a wrong clock may have let live", "error", err)
		}
	}
	err := writeMark(data, sh.clock.Now())
	if err != nil && !sh.unmarked {
		log.WarnContext(ctx, "the time cannot be kept for the next start", "error", err)
	}
	sh.unmarked = err != nil
}

// endAll ends whatever of all tenants could expire, in the directory and in memory.
func (sh *shared) endAll(ctx context.Context, mark time.Time) error {
	all, err := sh.db.TenantIDs(ctx)
	for _, t := range all {
		err = errors.Join(err, sh.db.EndAll(ctx, t, mark))
		sh.changed(t, []core.Change{{Kind: core.ChangedAny}})
	}
	return err
}
