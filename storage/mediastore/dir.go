package mediastore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/media"
)

// uploads is the folder of a tenant in which files grow until they are whole. No file's name
// begins so.
const (
	uploads = ".uploads"
	// stale is how old a file there is that nobody writes any more: a crash left it.
	stale = time.Hour
)

// Dir keeps files in a directory, each as <Path>/<tenant>/<name>. It follows no
// symbolic link that leads out of the tenant's folder. What is not there is made when the first
// file is put, for this user alone.
type Dir struct {
	Path string

	folders folders
}

// Open opens a regular file.
func (d *Dir) Open(_ context.Context, t core.TenantID, name string) (*media.File, error) {
	root, err := d.folder(t)
	if err != nil {
		return nil, failed("open a media file", err)
	}
	if media.CheckName(name) != nil {
		return nil, failed("open a media file", core.ErrNotFound)
	}
	// A pipe would keep whoever opens it waiting.
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, failed("open a media file", err)
	}
	s, err := f.Stat()
	if err == nil && !s.Mode().IsRegular() {
		err = core.ErrNotFound
	}
	if err != nil {
		return nil, errors.Join(failed("open a media file", err), f.Close())
	}
	return &media.File{ReadSeekCloser: f, Info: info(name, s)}, nil
}

func info(name string, s fs.FileInfo) media.Info {
	return media.Info{Name: name, Size: s.Size(), Modified: s.ModTime(), Tag: fmt.Sprintf("%x-%x", s.ModTime().UnixNano(), s.Size())}
}

// Put writes a file of another name, syncs it, and gives it its name.
func (d *Dir) Put(ctx context.Context, t core.TenantID, name string, content io.Reader) (err error) {
	if err := media.CheckName(name); err != nil {
		return err
	}
	if !t.Valid() {
		return fmt.Errorf("put a media file: %w", core.ErrNotFound)
	}
	if err := os.MkdirAll(d.Path, 0o700); err != nil {
		return fmt.Errorf("put a media file: %w: %w", core.ErrUnavailable, err)
	}
	all, err := d.open()
	if err != nil {
		return failed("put a media file", err)
	}
	defer all.Close()
	if err := all.Mkdir(string(t), 0o700); err == nil {
		err = syncFolder(all, ".")
		if err != nil {
			return failed("put a media file", err)
		}
	}
	root, err := d.tenant(t)
	if err != nil {
		return failed("put a media file", err)
	}
	defer root.Close()
	grown := uploads + "/" + core.RandomAlphanumeric(24)
	if err := grow(ctx, root, grown, content); err != nil {
		return errors.Join(err, ignoreAbsent(root.Remove(grown)))
	}
	if err := place(root, grown, name); err != nil {
		if isFolder(root, name) || errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTDIR) {
			err = &core.FieldError{Field: "name", Message: "There is a folder of that name, or a file where the name has a folder.", Err: core.ErrExists}
		} else {
			err = failed("put a media file", err)
		}
		return errors.Join(err, ignoreAbsent(root.Remove(grown)))
	}
	return nil
}

// grow writes content to a file below uploads, down to the disk.
func grow(ctx context.Context, root *os.Root, name string, content io.Reader) error {
	if err := root.MkdirAll(uploads, 0o700); err != nil {
		return failed("put a media file", err)
	}
	sweep(root)
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return failed("put a media file", err)
	}
	from := &source{ctx: ctx, from: content}
	_, err = io.Copy(f, from)
	if from.failed != nil { // the caller's own
		return errors.Join(from.failed, f.Close())
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return failed("put a media file", err)
	}
	return nil
}

// place gives a file its name, durably.
func place(root *os.Root, from, name string) error {
	folder := path.Dir(name)
	if err := root.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := root.Rename(from, name); err != nil {
		return err
	}
	for ; ; folder = path.Dir(folder) { // folders that are new, too
		if err := syncFolder(root, folder); err != nil || folder == "." {
			return err
		}
	}
}

// sweep removes what a crash left. What cannot be removed is tried again the next time.
func sweep(root *os.Root) {
	left, err := fs.ReadDir(root.FS(), uploads)
	if err != nil {
		return
	}
	for _, e := range left {
		if s, err := e.Info(); err == nil && time.Since(s.ModTime()) > stale {
			_ = root.Remove(uploads + "/" + e.Name()) // as above
		}
	}
}

// Delete removes a file.
func (d *Dir) Delete(_ context.Context, t core.TenantID, name string) error {
	root, err := d.tenant(t)
	if err != nil {
		return failed("delete a media file", err)
	}
	defer root.Close()
	if media.CheckName(name) != nil || isFolder(root, name) {
		return failed("delete a media file", core.ErrNotFound)
	}
	if err := root.Remove(name); err != nil {
		return failed("delete a media file", err)
	}
	return failed("delete a media file", syncFolder(root, path.Dir(name)))
}

// List walks a tenant's folder.
func (d *Dir) List(ctx context.Context, t core.TenantID, each func(media.Info) error) error {
	root, err := d.tenant(t)
	if err != nil {
		return ignoreNotFound(failed("list media files", err))
	}
	defer root.Close()
	var stopped error
	err = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		switch {
		case errors.Is(err, fs.ErrNotExist): // deleted meanwhile
			return nil
		case err != nil:
			return err
		case e.IsDir() && name == uploads:
			return fs.SkipDir
		case !e.Type().IsRegular() || media.CheckName(name) != nil:
			return nil
		}
		s, err := e.Info()
		if err != nil {
			return ignoreAbsent(err)
		}
		stopped = each(info(name, s))
		return stopped
	})
	if stopped != nil {
		return stopped
	}
	return failed("list media files", err)
}

// DeleteAll removes a tenant's folder.
func (d *Dir) DeleteAll(_ context.Context, t core.TenantID) error {
	if !t.Valid() {
		return nil
	}
	all, err := d.open()
	if err != nil {
		return ignoreNotFound(failed("delete a tenant's media", err))
	}
	defer all.Close()
	if err := all.RemoveAll(string(t)); err != nil {
		return failed("delete a tenant's media", err)
	}
	return failed("delete a tenant's media", syncFolder(all, "."))
}

// open opens the directory itself. One that is not there holds nothing.
func (d *Dir) open() (*os.Root, error) {
	all, err := os.OpenRoot(d.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: %w", core.ErrUnavailable, err)
	}
	return all, err
}

// tenant opens a tenant's folder, out of which nothing leads. One that is a symbolic link is
// none: it could be another tenant's.
func (d *Dir) tenant(t core.TenantID) (*os.Root, error) {
	if !t.Valid() {
		return nil, core.ErrNotFound
	}
	all, err := d.open()
	if err != nil {
		return nil, err
	}
	defer all.Close()
	s, err := all.Lstat(string(t))
	if err != nil {
		return nil, err
	}
	if !s.IsDir() {
		return nil, core.ErrNotFound
	}
	return all.OpenRoot(string(t))
}

func isFolder(root *os.Root, name string) bool {
	s, err := root.Lstat(name)
	return err == nil && s.IsDir()
}

// syncFolder makes names in a folder durable.
func syncFolder(root *os.Root, name string) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// source remembers what was wrong with the content, which is not the disk's trouble.
type source struct {
	ctx    context.Context //nolint:containedctx // of the one call that reads
	from   io.Reader
	failed error
}

func (s *source) Read(p []byte) (int, error) {
	if s.failed = s.ctx.Err(); s.failed != nil {
		return 0, s.failed
	}
	n, err := s.from.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.failed = err
	}
	return n, err
}

// failed tells apart what is not there from what cannot be asked.
func failed(doing string, err error) error {
	var errno syscall.Errno
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, core.ErrUnavailable):
		return fmt.Errorf("%s: %w", doing, err)
	case errors.Is(err, core.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s: %w", doing, core.ErrNotFound)
	case !errors.As(err, &errno): // os.Root says of itself that a path leads out
		if strings.Contains(err.Error(), "escapes") {
			return fmt.Errorf("%s: %w: %w", doing, core.ErrNotFound, err)
		}
	case errno == syscall.ENOTDIR, errno == syscall.ELOOP, errno == syscall.ENAMETOOLONG, errno == syscall.ENXIO: // the last is of sockets
		return fmt.Errorf("%s: %w: %w", doing, core.ErrNotFound, err)
	}
	return fmt.Errorf("%s: %w: %w", doing, core.ErrUnavailable, err)
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func ignoreNotFound(err error) error {
	if errors.Is(err, core.ErrNotFound) {
		return nil
	}
	return err
}

var _ media.Store = (*Dir)(nil)
