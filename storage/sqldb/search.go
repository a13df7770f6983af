package sqldb

import (
	"context"
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
)

const (
	// maxFound is how many users a directory may have for a search to read all of them; in a larger
	// one, how many may have a search's trigrams for those to be read one by one. Where
	// more have them, all users are read in the order that is asked for: a page is full soon.
	maxFound = 5000
	// maxTrigrams bounds those of one search: more would hardly narrow it.
	maxTrigrams = 64
)

// trigrams are what a text that holds all of the words has, each of three characters: all of them,
// as the more and the rarer there are, the more of the frequent ones' lists is skipped. Words of
// fewer characters have none. Where plain is set, they are of ASCII alone.
func trigrams(words []string, plain bool) (out []string) {
	for _, w := range words {
		if !validText(w) {
			continue // no row holds it, which the search's own condition says
		}
		r := []rune(w)
		for i := 0; i+3 <= len(r) && len(out) < maxTrigrams; i++ {
			g := string(r[i : i+3])
			if !slices.Contains(out, g) && (!plain || len(g) == 3) {
				out = append(out, g)
			}
		}
	}
	return out
}

// fewFound is the condition by which a list of users is narrowed before its search looks at
// them, and its argument, $1. It is empty where users are few, or the search finds too many for
// that to be of use; none is true where it finds nobody.
func (c *conn) fewFound(ctx context.Context, search string) (always string, args []any, none bool, err error) {
	e := c.db.engine
	grams := trigrams(strings.Fields(core.Fold(search)), e.bytewise())
	if len(grams) == 0 { // only all users themselves tell
		return "", nil, false, nil
	}
	n, _, err := c.countPeople(ctx, c.db.people(c.tenant))
	if err != nil || n <= c.db.fewPeople {
		return "", nil, false, err
	}
	query, arg := e.having(grams)
	err = c.row(ctx, `SELECT count(*) FROM (`+query+` LIMIT $2) f`, arg, maxFound+1).Scan(&n)
	if err != nil || n > maxFound {
		return "", nil, false, err
	}
	return "u.pk " + e.among(query), []any{arg}, n == 0, nil
}

// having asks FTS5: a text in quotation marks is one trigram, and all must be there.
func (*sqliteEngine) having(trigrams []string) (query, arg string) {
	quoted := make([]string, len(trigrams))
	for i, g := range trigrams {
		quoted[i] = quote(g)
	}
	return `SELECT rowid FROM users_search WHERE users_search MATCH $1`, strings.Join(quoted, " ")
}

// userTrigrams is the expression that the index users_search is made of.
const userTrigrams = `string_to_array(
	regexp_replace(username_fold || ' ' || name_fold || ' ' || email_fold, '(...)', E'\\1 ', 'g') || ' ' ||
	regexp_replace(substr(username_fold || ' ' || name_fold || ' ' || email_fold, 2), '(...)', E'\\1 ', 'g') || ' ' ||
	regexp_replace(substr(username_fold || ' ' || name_fold || ' ' || email_fold, 3), '(...)', E'\\1 ', 'g'), ' ')`

// having hides in a SELECT of its own what is looked for: the planner, which takes the expression
// for cheap, would else work it out for every row where the trigrams are frequent ones.
func (*postgresEngine) having(trigrams []string) (query, arg string) {
	return `SELECT s.pk FROM users s WHERE ` + userTrigrams + ` @> (SELECT string_to_array($1, ' '))`, strings.Join(trigrams, " ")
}

func (*sqliteEngine) among(query string) string { return `IN (` + query + `)` }

// among asks once and not for each row.
func (*postgresEngine) among(query string) string { return `= ANY (ARRAY(` + query + `))` }

func (*sqliteEngine) bytewise() bool { return false }

// bytewise reports whether the database takes a byte for a character.
func (e *postgresEngine) bytewise() bool { return e.ascii }
