package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

// What Caddy keeps is of the server and no tenant's: it is with the default tenant's tables.
const (
	// MaxFilePath is how long the path of a file may be, in bytes.
	MaxFilePath = 1024
	// MaxFileSize is how large a file may be, in bytes: a chain of certificates has some thousand.
	MaxFileSize = 1 << 20

	filePurpose = "caddy_files/value"
	// afterAll is after every path.
	afterAll = "\U0010FFFF"
)

// filePlace binds what a file holds to its path.
func filePlace(path string) string { return filePurpose + "/" + path }

// filePath is a path in its one spelling, "" for the root.
func filePath(key string) (string, error) {
	p := strings.Trim(path.Clean("/"+key), "/")
	if len(p) > MaxFilePath {
		return "", fmt.Errorf("the path of a file of Caddy's has %d bytes, and at most %d are kept", len(p), MaxFilePath)
	}
	if !validText(p) {
		return "", fmt.Errorf("the path %q of a file of Caddy's holds a NUL character or is not UTF-8", p)
	}
	return p, nil
}

// below are the ends of the paths below one.
func below(p string) (from, to string) {
	if p == "" {
		return "", afterAll
	}
	return p + "/", p + "0" // "0" is the character after "/"
}

func noFile(op, p string) error { return &fs.PathError{Op: op, Path: p, Err: fs.ErrNotExist} }

// StoreFile keeps a file, sealed, in place of the one that was there.
func (db *DB) StoreFile(ctx context.Context, key string, value []byte) error {
	p, err := filePath(key)
	if err == nil && p == "" {
		err = errors.New("a file of Caddy's needs a path")
	}
	if err == nil && len(value) > MaxFileSize {
		err = fmt.Errorf("the file %q of Caddy's has %d bytes, and at most %d are kept", p, len(value), MaxFileSize)
	}
	if err != nil {
		return err
	}
	sealed := db.master.Seal(core.DefaultTenant, filePurpose, filePlace(p), value)
	return db.write(ctx, core.DefaultTenant, directory, "store a file of Caddy's", func(x *tx) error {
		return x.exec(ctx, `INSERT INTO caddy_files (path, value, size, modified) VALUES ($1, $2, $3, $4)
			ON CONFLICT (path) DO UPDATE SET value = excluded.value, size = excluded.size, modified = excluded.modified`,
			p, sealed, int64(len(value)), micros(db.stamp()))
	})
}

// LoadFile gives a file's content. Only where it is certain that there is none the error is
// fs.ErrNotExist: Caddy makes what is not there anew.
func (db *DB) LoadFile(ctx context.Context, key string) (value []byte, err error) {
	p, err := filePath(key)
	if err != nil {
		return nil, err
	}
	var sealed []byte
	err = db.file(ctx, "load", p, `SELECT value FROM caddy_files WHERE path = $1`, &sealed)
	if err != nil {
		return nil, err
	}
	if value, err = db.master.Open(core.DefaultTenant, filePurpose, filePlace(p), sealed); err != nil {
		return nil, fmt.Errorf("load the file %q of Caddy's: %w", p, err)
	}
	return value, nil
}

// file reads columns of one file.
func (db *DB) file(ctx context.Context, op, p, query string, dest ...any) error {
	var missing bool
	err := db.read(ctx, core.DefaultTenant, directory, op+" a file of Caddy's", func(q *conn) error {
		err := q.row(ctx, query, p).Scan(dest...)
		if missing = errors.Is(err, core.ErrNotFound); missing {
			return nil
		}
		return err
	})
	if err == nil && missing {
		err = noFile(op, p)
	}
	return err
}

// DeleteFiles removes a file and all that are below it. That there are none is no error.
func (db *DB) DeleteFiles(ctx context.Context, key string) error {
	p, err := filePath(key)
	if err == nil && p == "" {
		err = errors.New("all files of Caddy's are not deleted at once")
	}
	if err != nil {
		return err
	}
	from, to := below(p)
	return db.write(ctx, core.DefaultTenant, directory, "delete files of Caddy's", func(x *tx) error {
		return x.exec(ctx, `DELETE FROM caddy_files WHERE path = $1 OR path >= $2 AND path < $3`, p, from, to)
	})
}

// ListFiles gives the paths of files and folders below one; those right below it alone, where it
// is not recursive. Where there is nothing of that path the error is fs.ErrNotExist.
func (db *DB) ListFiles(ctx context.Context, key string, recursive bool) ([]string, error) {
	p, err := filePath(key)
	if err != nil {
		return nil, err
	}
	from, to := below(p)
	var out []string
	err = db.read(ctx, core.DefaultTenant, directory, "list files of Caddy's", func(q *conn) error {
		out = nil
		seen := map[string]bool{}
		return q.each(ctx, func(s scanner) error {
			var file string
			if err := s.Scan(&file); err != nil {
				return err
			}
			for at := len(from); ; at++ { // each folder on the way, then the file
				n := strings.IndexByte(file[at:], '/')
				if at += n; n < 0 {
					at = len(file)
				}
				if !seen[file[:at]] {
					seen[file[:at]] = true
					out = append(out, file[:at])
				}
				if n < 0 || !recursive {
					return nil
				}
			}
		}, `SELECT path FROM caddy_files WHERE path >= $1 AND path < $2 ORDER BY path`, from, to)
	})
	if err == nil && len(out) == 0 { // as of a folder where p is none
		var one int
		err = db.file(ctx, "list", p, `SELECT 1 FROM caddy_files WHERE path = $1`, &one)
	}
	return out, err
}

// FileInfo is what is known of a file or a folder.
type FileInfo struct {
	Folder   bool      // there are files below it, and it is none: what follows is empty
	Size     int64     // bytes
	Modified time.Time // by the clock of the node that did it
}

// FileInfo tells of a file or a folder. Where there is none the error is fs.ErrNotExist.
func (db *DB) FileInfo(ctx context.Context, key string) (FileInfo, error) {
	p, err := filePath(key)
	if err != nil {
		return FileInfo{}, err
	}
	var info FileInfo
	var modified int64
	err = db.file(ctx, "stat", p, `SELECT size, modified FROM caddy_files WHERE path = $1`, &info.Size, &modified)
	if !errors.Is(err, fs.ErrNotExist) {
		info.Modified = fromMicros(modified)
		return info, err
	}
	from, to := below(p)
	info.Folder = true
	var found bool
	rerr := db.read(ctx, core.DefaultTenant, directory, "stat a file of Caddy's", func(q *conn) (err error) {
		found, err = q.found(ctx, `SELECT 1 FROM caddy_files WHERE path >= $1 AND path < $2 LIMIT 1`, from, to)
		return err
	})
	if rerr != nil || !found {
		return FileInfo{}, errors.Join(rerr, err)
	}
	return info, nil
}
