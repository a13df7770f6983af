// Package storage opens backends by the scheme of their URL, and does nothing
// else.
package storage

import (
	"context"
	"fmt"
	"strings"

	"github.com/postern-sso/postern/storage/sqldb"
)

// OpenDirectory opens the directory at url: "sqlite" or empty, for files under
// opt.Dir, or a postgres:// URL.
func OpenDirectory(ctx context.Context, url string, opt sqldb.Options) (*sqldb.DB, error) {
	switch scheme, _, _ := strings.Cut(url, ":"); scheme {
	case "", "sqlite", "postgres", "postgresql":
		opt.URL = url
		return sqldb.Open(ctx, opt)
	default:
		return nil, fmt.Errorf("database %q is not known: write sqlite or a postgres:// URL", scheme)
	}
}
