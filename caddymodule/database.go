package caddymodule

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/sqldb"
)

const databaseSQLite = "sqlite"

// defaultStaleness is how long a guard may decide from memory, where nothing else is said.
const defaultStaleness = time.Minute

// checkDatabase refuses what is wrong with `database`, as far as it is written out.
func checkDatabase(value string) error {
	switch {
	case value == "" || value == databaseSQLite || isWhole(value):
		return nil
	case isPostgres(value):
		// What stands for another value may be anything: something harmless takes its
		// place, and parameters are looked at when all is known.
		plain := placeholder.ReplaceAllString(value, "1")
		if address, params, _ := strings.Cut(value, "?"); placeholder.MatchString(params) {
			plain = placeholder.ReplaceAllString(address, "1")
		}
		if err := sqldb.CheckURL(plain); err != nil {
			return fmt.Errorf("database: %w", err)
		}
		return nil
	case kind(value) == "mysql" || kind(value) == "mariadb":
		return fmt.Errorf("database %s is not one that Postern can use: write sqlite, or a postgres:// URL", kind(value))
	}
	return fmt.Errorf("database %s is not known: write sqlite, or postgres://user:password@host:5432/database", kind(value))
}

func isPostgres(value string) bool {
	return strings.HasPrefix(value, "postgres://") || strings.HasPrefix(value, "postgresql://")
}

// placeholder is Caddy's {env.X} or {file./path}.
var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// isWhole reports whether a value stands as a whole for another.
func isWhole(value string) bool {
	return strings.HasPrefix(value, "env://") || strings.HasPrefix(value, "file://") || placeholder.FindString(value) == value
}

// resolveDatabase is the database that the configuration names, else the one of the
// environment, with its password.
func (a *App) resolveDatabase(env lookup) (core.Secret, error) {
	value := a.Database
	var err error
	switch {
	case value == "":
		if value, err = postgresOf(env); err != nil {
			return "", err
		}
	case isWhole(value):
		if value, err = reference(env, "database", value); err != nil {
			return "", err
		}
	case isPostgres(value):
		if value, err = fillURL(env, value); err != nil {
			return "", err
		}
	}
	if value == "" || value == databaseSQLite {
		return databaseSQLite, nil
	}
	if !isPostgres(value) {
		return "", checkDatabase(kind(value))
	}
	if err := sqldb.CheckURL(value); err != nil {
		return "", fmt.Errorf("database: %w", err)
	}
	return core.Secret(value), nil
}

// fillURL puts what the placeholders in a URL stand for in their places: in its user part
// and its parameters escaped, so that a password may hold any character.
func fillURL(env lookup, value string) (string, error) {
	var values []string
	var failed error
	marked := placeholder.ReplaceAllStringFunc(value, func(ref string) string {
		v, err := caddy.NewReplacer().ReplaceOrErr(ref, true, true)
		if err != nil && failed == nil {
			failed = fmt.Errorf("database: %w (is the variable set?)", err)
		}
		values = append(values, v)
		return fmt.Sprintf("postern%dmark", len(values)-1)
	})
	if failed != nil {
		return "", failed
	}
	u, err := url.Parse(marked)
	if err != nil {
		return "", checkDatabase(marked)
	}
	fill := func(text string) string {
		for i, v := range values {
			text = strings.ReplaceAll(text, fmt.Sprintf("postern%dmark", i), v)
		}
		return text
	}
	if password, has := u.User.Password(); has {
		u.User = url.UserPassword(fill(u.User.Username()), fill(password))
	} else if u.User != nil {
		u.User = url.User(fill(u.User.Username()))
	}
	u.Host, u.Path, u.RawPath = fill(u.Host), fill(u.Path), ""
	q := u.Query()
	for name, all := range q {
		for i := range all {
			q[name][i] = fill(all[i])
		}
		if name == "password" { // one that is read from elsewhere
			if q[name][0], err = reference(env, "database: password", q[name][0]); err != nil {
				return "", err
			}
		}
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

// What authentik calls the parts of a database's address, beside those that make the
// URL itself.
const postgresVariable = "AUTHENTIK_POSTGRESQL__"

// postgresOf makes the URL that authentik's variables describe; empty: they describe none.
// Where they describe half of one that is an error: another database would be used than
// was meant.
func postgresOf(env lookup) (string, error) {
	get := func(name string) (string, error) {
		return reference(env, postgresVariable+name, envValue(env, postgresVariable+name))
	}
	host, err := get("HOST")
	if err != nil {
		return "", err
	}
	if host == "" {
		for _, name := range []string{"NAME", "USER", "PASSWORD", "PORT", "DEFAULT_SCHEMA"} {
			if envValue(env, postgresVariable+name) != "" {
				return "", fmt.Errorf("the environment's %s%s is set and %[1]sHOST is not: set HOST to the host of PostgreSQL, or unset the other to have SQLite", postgresVariable, name)
			}
		}
		return "", nil
	}
	for _, name := range []string{"CONN_OPTIONS", "READ_REPLICAS__0__HOST"} {
		if envValue(env, postgresVariable+name) != "" {
			return "", fmt.Errorf("the environment's %s%s: %sunset it; other settings go into the URL of `database`", postgresVariable, name, notYet)
		}
	}
	value := map[string]string{"PORT": "5432", "NAME": "authentik", "USER": "authentik"}
	for _, name := range []string{"PORT", "NAME", "USER", "PASSWORD", "SSLMODE", "SSLROOTCERT", "SSLCERT", "SSLKEY", "DEFAULT_SCHEMA", "CONN_MAX_AGE", "USE_PGBOUNCER", "USE_PGPOOL"} {
		v, err := get(name)
		if err != nil {
			return "", err
		}
		if v != "" {
			value[name] = v
		}
	}
	u := url.URL{Scheme: "postgres", Path: "/" + value["NAME"], User: url.UserPassword(value["USER"], value["PASSWORD"])}
	if n, err := strconv.Atoi(value["PORT"]); err != nil || n < 1 || n > 65535 {
		return "", fmt.Errorf("the environment's %sPORT is not a port: PostgreSQL's own is 5432", postgresVariable)
	}
	hosts := strings.Split(host, ",")
	for i, h := range hosts {
		hosts[i] = net.JoinHostPort(strings.Trim(strings.TrimSpace(h), "[]"), value["PORT"])
	}
	u.Host = strings.Join(hosts, ",")
	q := url.Values{}
	if strings.HasPrefix(host, "/") { // the directory of a socket
		u.Host = ""
		q.Set("host", host)
		q.Set("port", value["PORT"])
	}
	for _, name := range []string{"SSLMODE", "SSLROOTCERT", "SSLCERT", "SSLKEY"} {
		if value[name] != "" {
			q.Set(strings.ToLower(name), value[name])
		}
	}
	if schema := value["DEFAULT_SCHEMA"]; schema != "" {
		q.Set("search_path", schema)
	}
	if age := value["CONN_MAX_AGE"]; age != "" && age != "0" && age != "null" && !strings.EqualFold(age, "none") {
		n, err := strconv.Atoi(age)
		if err != nil || n < 0 {
			return "", fmt.Errorf("the environment's %sCONN_MAX_AGE is not a number of seconds", postgresVariable)
		}
		q.Set("pool_max_conn_lifetime", (time.Duration(n) * time.Second).String())
	}
	for _, name := range []string{"USE_PGBOUNCER", "USE_PGPOOL"} {
		on, err := envBool(env, postgresVariable+name)
		if err != nil {
			return "", err
		}
		if on {
			q.Set("pgbouncer", "true")
		}
	}
	u.RawQuery = q.Encode()
	if err := sqldb.CheckURL(u.String()); err != nil {
		return "", fmt.Errorf("the environment's %s…: %w", postgresVariable, err)
	}
	return u.String(), nil
}
