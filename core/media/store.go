package media

import (
	"context"
	"io"
	"time"

	"github.com/postern-sso/postern/core"
)

// Store keeps files by tenant and name: in a directory as <path>/<tenant>/<name>, in a bucket
// as media/<tenant>/<name>. It is for any number of goroutines, and looks at neither what a
// file holds nor who may see it. It needs not be there when it is made: only its methods ask for
// it.
//
// Errors: core.ErrNotFound says that there is surely no such file, also where the tenant or the
// name has not the form of one, or the way to it leads out of the tenant's files.
// core.ErrUnavailable is anything that the store itself cannot do at the moment, with the cause for
// the log. A call ends with its context.
type Store interface {
	// Open opens a file for reading, to its end also where it is deleted meanwhile. Who asks closes it.
	Open(ctx context.Context, t core.TenantID, name string) (*File, error)
	// Put reads content to its end and keeps it under the name, in the place of what was there. A
	// reader sees the old file or the new one, whole; after a crash, too. It is durable when
	// Put returns. Where content gives an error, that one is returned and nothing has changed. How
	// large a file may be is the caller's affair. A name that is none is a *core.FieldError of
	// the field "name", and so may be one of more than 900 bytes, and one that another file's name goes on
	// from, or the other way about, as "a" and "a/b": then it is a core.ErrExists, too.
	Put(ctx context.Context, t core.TenantID, name string, content io.Reader) error
	// Delete removes a file.
	Delete(ctx context.Context, t core.TenantID, name string) error
	// List calls each for every file of a tenant, in no order, and returns its error at once. A
	// tenant without files is no error. What is there under a name that is none is left out.
	List(ctx context.Context, t core.TenantID, each func(Info) error) error
	// DeleteAll removes everything of a tenant, names that are none among it. That there is
	// nothing is no error.
	DeleteAll(ctx context.Context, t core.TenantID) error
}

// Presigner is a Store whose files are fetched from itself, and not through this server.
type Presigner interface {
	// Presign is the URL at which the store gives a file until then, the same each time it is asked
	// with the same values; from is not in the future. It asks nobody. "": the store is for this
	// server alone, which gives the file.
	Presign(t core.TenantID, name string, o Options, from, until time.Time) string
}

// Info is what is known of a file from outside.
type Info struct {
	Name     string
	Size     int64 // bytes
	Modified time.Time
	// Tag changes whenever the file does: letters, digits and dashes.
	Tag string
}

// File is an open file.
type File struct {
	// ReadSeekCloser reads it. Of a directory it is the *os.File, so that the kernel can send it.
	io.ReadSeekCloser
	Info
}
