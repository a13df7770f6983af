package sqldb

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

const (
	// maxFound is how many users a directory may have for a search to read all of them; in a larger
	// one, how many may have a search's trigrams for those to be read one by one. Where
	// more have them, or there are no trigrams, all users are read in the order that is asked for, until
	// their texts are in memory: see texts.
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

// found is what is known of those whom a search of users finds before its list is read.
type found struct {
	always string // the condition that narrows the list; "" where all are read
	args   []any  // the condition's
	total  int    // how many the list has; -1 where they are to be counted
	paged  bool   // the condition is that of the page alone
}

// find looks for users before the search's own condition looks at them.
func (c *conn) find(ctx context.Context, q api.Query) (found, error) {
	all := found{total: -1}
	words := strings.Fields(core.Fold(q.Search))
	if len(words) == 0 {
		return all, nil
	}
	p := c.db.people(c.tenant)
	t, err := c.textsOf(ctx, p)
	if err != nil {
		return all, err
	}
	if t != nil {
		return c.findIn(t, q, words), nil
	}
	n, _, err := c.countPeople(ctx, p)
	if err != nil || n <= c.db.fewPeople {
		return all, err
	}
	e := c.db.engine
	if grams := trigrams(words, e.bytewise()); len(grams) > 0 {
		var few int
		query, arg := e.having(grams)
		err = c.row(ctx, `SELECT count(*) FROM (`+query+` LIMIT $2) f`, arg, maxFound+1).Scan(&few)
		switch {
		case err != nil:
			return all, err
		case few == 0:
			return found{}, nil
		case few <= maxFound:
			return found{always: "u.pk " + e.among(query), args: []any{arg}, total: -1}, nil
		}
	}
	c.db.readTexts(c.tenant, p)
	return all, nil
}

// findIn looks through the texts.
func (c *conn) findIn(t *texts, q api.Query, words []string) found {
	who := t.find(words)
	f := found{total: who.n}
	if f.total == 0 {
		return f
	}
	var numbers []int64
	if len(q.Where) > 0 || q.Only != nil {
		f.total = -1 // of these, some
	} else {
		numbers, f.paged = t.page(q, who)
	}
	if !f.paged && who.n <= maxFound {
		numbers = t.numbers(who)
	}
	if len(numbers) > 0 {
		comparison, arg := c.db.engine.oneOf(numbers)
		f.always, f.args = "u.pk "+comparison, []any{arg}
	}
	return f
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

func (*sqliteEngine) oneOf(numbers []int64) (comparison, arg string) {
	return `IN (SELECT value FROM json_each($1))`, "[" + commas(numbers) + "]"
}

func (*postgresEngine) oneOf(numbers []int64) (comparison, arg string) {
	return `= ANY (CAST($1 AS BIGINT[]))`, "{" + commas(numbers) + "}"
}

func commas(numbers []int64) string {
	var b []byte
	for i, n := range numbers {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	return string(b)
}

func (*sqliteEngine) bytewise() bool { return false }

// bytewise reports whether the database takes a byte for a character.
func (e *postgresEngine) bytewise() bool { return e.ascii }
