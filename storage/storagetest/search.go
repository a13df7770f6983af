package storagetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/api"
)

// searchBits are what names are put together from: they share pieces, and hold what a pattern, a
// quotation or an index could trip over.
func searchBits() []string {
	return []string{"ann", "nna", "ana", "bert", "Ärm", "ärme", "ß", "İı", "山田", "太郎さん", "😀", "é", "100%", "a_b", "!", `"`, `'`, `\1`, "*", "(", " OR ", " ", "  ", "-", "@x.", "test", "ﬁn", "K", "\u00a0", "\t"}
}

func searchText(r *rand.Rand, most int) string {
	bits := searchBits()
	var b strings.Builder
	for range 1 + r.IntN(most) {
		b.WriteString(bits[r.IntN(len(bits))])
	}
	return b.String()
}

// listSearchRandom holds a search to what it is: every word is in one of three folded texts. People
// come, change and go meanwhile.
func listSearchRandom(b *bench) {
	seed := [2]uint64{rand.Uint64(), rand.Uint64()} //nolint:gosec // a test's
	r := rand.New(rand.NewPCG(seed[0], seed[1]))    //nolint:gosec // a test's
	b.Logf("seed %d", seed)
	all, _, err := b.ListUsers(b.ctx, b.t, api.Query{})
	b.ok(err)
	fill := func(u *core.User) {
		u.DisplayName, u.Email = searchText(r, 5), searchText(r, 4)
	}
	for i := range 120 {
		switch n := r.IntN(10); {
		case n < 2 && len(all) > 1:
			at := r.IntN(len(all))
			b.ok(b.DeleteUser(b.ctx, b.t, all[at].PK))
			all = slices.Delete(all, at, at+1)
		case n < 5 && len(all) > 0:
			at := r.IntN(len(all))
			u, err := b.UpdateUser(b.ctx, b.t, all[at].PK, func(u *core.User) error {
				if fill(u); r.IntN(2) == 0 {
					u.UserName = fmt.Sprint(searchText(r, 3), i)
				}
				return nil
			})
			b.ok(err)
			all[at] = *u
		default:
			u := core.User{UserName: fmt.Sprint(searchText(r, 3), i), Active: i%2 == 0}
			fill(&u)
			b.ok(b.CreateUser(b.ctx, b.t, &u))
			all = append(all, u)
		}
		if i%3 != 0 {
			continue
		}
		q := api.Query{Search: searchText(r, 3), Order: []string{"pk"}, Limit: 1000}
		if r.IntN(2) == 0 && len(all) > 0 { // a part of what is there
			text := []rune(core.Fold(all[r.IntN(len(all))].DisplayName))
			from := r.IntN(len(text) + 1)
			q.Search = string(text[from : from+r.IntN(len(text)-from+1)])
		}
		if r.IntN(3) == 0 {
			q.Where = map[string][]string{"is_active": {"true"}}
		}
		var want []string
		for _, u := range all {
			if holds(&u, q.Search) && (q.Where == nil || u.Active) {
				want = append(want, u.UserName)
			}
		}
		equal(b, fmt.Sprintf("%q", q.Search), b.list(q), fmt.Sprintf("%s of %d", strings.Join(want, " "), len(want)))
	}
}

func holds(u *core.User, search string) bool {
	texts := []string{core.Fold(u.UserName), core.Fold(u.DisplayName), core.Fold(u.Email)}
	for _, w := range strings.Fields(core.Fold(search)) {
		if !slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(s, w) }) {
			return false
		}
	}
	return true
}
