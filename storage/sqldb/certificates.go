package sqldb

import (
	"context"
	"errors"
	"strings"

	"github.com/postern-sso/postern/core"
)

// certificatesFolder is where Caddy keeps them: certificates/<issuer>/<host>/, with their private keys.
const certificatesFolder = "certificates/"

// domainsOf are a tenant's own. Whose a host below one of them is, is not for the tables to say: it may be the operator's.
func (x *tx) domainsOf(ctx context.Context, t core.TenantID) (map[string]bool, error) {
	hosts := map[string]bool{}
	err := x.each(ctx, func(s scanner) error {
		var name string
		err := s.Scan(&name)
		hosts[name] = true
		return err
	}, `SELECT domain FROM domains WHERE tenant_id = $1`, t)
	return hosts, err
}

// dropCertificates deletes what Caddy keeps of hosts. A node that still has one in memory serves it until
// it would be renewed.
func (x *tx) dropCertificates(ctx context.Context, hosts map[string]bool) error {
	var paths []string
	from, to := below(strings.TrimSuffix(certificatesFolder, "/"))
	err := x.each(ctx, func(s scanner) error {
		var path string
		if err := s.Scan(&path); err != nil {
			return err
		}
		_, rest, _ := strings.Cut(path[len(certificatesFolder):], "/")
		if host, _, _ := strings.Cut(rest, "/"); hosts[host] {
			paths = append(paths, path)
		}
		return nil
	}, `SELECT path FROM caddy_files WHERE path >= $1 AND path < $2 ORDER BY path`, from, to)
	for _, path := range paths {
		err = errors.Join(err, x.exec(ctx, `DELETE FROM caddy_files WHERE path = $1`, path))
	}
	return err
}
