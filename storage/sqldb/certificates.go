package sqldb

import (
	"context"
	"errors"
	"net/url"
	"strings"

	"github.com/postern-sso/postern/core"
)

// certificatesFolder is where Caddy keeps them: certificates/<issuer>/<host>/, with their private keys.
const certificatesFolder = "certificates/"

// hostsOf are the hosts that are a tenant's alone: its domains, and those below them at which it has
// registered applications. A tenant whose tables cannot be read has its domains.
func (db *DB) hostsOf(ctx context.Context, t core.TenantID) (map[string]bool, error) {
	hosts := map[string]bool{}
	err := db.read(ctx, core.DefaultTenant, directory, "list domains", func(q *conn) error {
		return q.each(ctx, func(s scanner) error {
			var name string
			err := s.Scan(&name)
			hosts[name] = true
			return err
		}, `SELECT domain FROM domains WHERE tenant_id = $1`, t)
	})
	if err != nil || len(hosts) == 0 {
		return hosts, err
	}
	apps, err := db.ProxyApplications(ctx, t)
	if err != nil {
		return hosts, nil //nolint:nilerr // it may be damaged, and is deleted all the same
	}
	for i := range apps {
		u, err := url.Parse(apps[i].Provider.ExternalHost)
		if err != nil {
			continue
		}
		name, _, err := core.NormalizeHost(u.Host)
		for above := name; err == nil && above != ""; _, above, _ = strings.Cut(above, ".") {
			if hosts[above] {
				hosts[name] = true
				break
			}
		}
	}
	return hosts, nil
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
