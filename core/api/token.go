package api

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

// tokenLife is how long a token lives for which no end was asked, where no setting says so.
const tokenLife = 24 * time.Hour

// tokenRow is a token, and its owner as a body names it.
type tokenRow struct {
	core.Token
	owner int64 // PK; 0: not named
}

func tokens() *resource[tokenRow] {
	return &resource[tokenRow]{
		model: "Token", app: "authentik_core", verbose: "Token", key: "identifier",
		members: []member{
			always("pk", uuidShape()), always("managed", textShape().orNull()), always("user", integerShape()), always("user_obj", users().shape()),
		},
		listing: listing{
			filters: map[string]filter{
				"identifier": byText, "intent": byText, "user__username": byText, "description": byText,
				"expires": byTime, "expiring": byBool, "managed": byText,
			},
			order:  []string{"identifier", "expires", "intent", "description", "pk"},
			preset: []string{"identifier"},
		},
		find:   findToken,
		page:   pageTokens,
		create: createToken,
		update: func(c *call, key string, change func(*tokenRow) error) (*tokenRow, error) {
			t, err := c.Store.UpdateToken(c.ctx(), c.t, key, func(t *core.Token) error {
				row := &tokenRow{Token: *t}
				err := change(row)
				*t = row.Token
				return err
			})
			if err != nil {
				return nil, err
			}
			return &tokenRow{Token: *t}, nil
		},
		remove: func(c *call, key string) error { return c.Store.DeleteToken(c.ctx(), c.t, key) },
		fresh: func(c *call) *tokenRow {
			return &tokenRow{Token: core.Token{Intent: core.IntentAPI, User: c.user.ID, Expiring: true}}
		},
		read: func(f *fields, t *tokenRow) {
			text(f, "identifier", rule{required: true, max: 255, format: slugFormat}, &t.Identifier)
			choice(f, "intent", &t.Intent, core.IntentAPI, core.IntentAppPassword, core.IntentVerification, core.IntentRecovery)
			integer(f, "user", rule{null: true}, &t.owner)
			text(f, "description", rule{blank: true, null: true, lines: true}, &t.Description)
			boolean(f, "expiring", &t.Expiring)
			moment(f, "expires", &t.Expires)
		},
		check: checkToken,
		carry: func(from, to *tokenRow) {
			// What the body does not name stays as it is by now.
			if from.owner != 0 {
				to.User = from.User
			}
			switch {
			case !to.Expiring:
				to.Expires = time.Time{}
			case to.Expires.IsZero():
				to.Expires = from.Expires
			}
		},
		gather: gatherTokens,
		show:   showToken,
		label:  func(t *tokenRow) (string, string) { return t.ID, t.Identifier },
	}
}

const viewToken = core.Permission("authentik_core.view_token")

// seesTokens reports whether the one who asks sees more than their own.
func (c *call) seesTokens() bool {
	return c.may(viewToken) && c.may("authentik_core.view_user")
}

// findToken finds what is the user's own, and who has the right finds them all. What
// may be done with others' tokens is a right of its own.
func findToken(c *call, key string) (*tokenRow, error) {
	t, err := c.Store.Token(c.ctx(), c.t, key)
	if err != nil {
		return nil, err
	}
	if t.User == c.user.ID {
		return &tokenRow{Token: *t}, nil
	}
	if !c.may("authentik_core.view_user") || !c.rights.HasOn(viewToken, t.ID) {
		return nil, core.ErrNotFound
	}
	needs := viewToken
	switch c.route.path() {
	case "core/tokens/{}/view_key/":
		needs = "authentik_core.view_token_key"
	case "core/tokens/{}/set_key/":
		needs = "authentik_core.set_token_key"
	default:
		switch c.route.method {
		case http.MethodPut, http.MethodPatch:
			needs = "authentik_core.change_token"
		case http.MethodDelete:
			needs = "authentik_core.delete_token"
		}
	}
	if err := c.requireOn(needs, t.ID); err != nil {
		return nil, err
	}
	return &tokenRow{Token: *t}, nil
}

func pageTokens(c *call, q Query) ([]tokenRow, int, error) {
	single := c.rights.On(viewToken)
	switch {
	case c.seesTokens():
	case len(single) > 0 && c.may("authentik_core.view_user"):
		own, err := every(Query{Where: map[string][]string{"user__username": {c.user.UserName}}}, func(q Query) ([]core.Token, int, error) {
			return c.Store.ListTokens(c.ctx(), c.t, q)
		})
		if err != nil {
			return nil, 0, err
		}
		for i := range own {
			single = append(single, own[i].ID)
		}
		if q.Only != nil {
			single = slices.DeleteFunc(single, func(id string) bool { return !slices.Contains(q.Only, id) })
		}
		q.Only = single
	default:
		if q.Where == nil {
			q.Where = map[string][]string{}
		}
		if names := q.Where["user__username"]; names != nil && core.Fold(names[0]) != core.Fold(c.user.UserName) {
			return nil, 0, nil
		}
		q.Where["user__username"] = []string{c.user.UserName}
	}
	tokens, count, err := c.Store.ListTokens(c.ctx(), c.t, q)
	rows := make([]tokenRow, len(tokens))
	for i := range tokens {
		rows[i].Token = tokens[i]
	}
	return rows, count, err
}

func createToken(c *call, t *tokenRow) error {
	return c.Store.CreateToken(c.ctx(), c.t, &t.Token, c.newKey())
}

// checkToken decides on what a user may not: whose token it is, and what for. A
// token of another's would be a way to act as them.
func checkToken(c *call, f *fields, t, old *tokenRow) error {
	if t.owner != 0 {
		u, err := c.Store.UserByPK(c.ctx(), c.t, t.owner)
		switch {
		case errors.Is(err, core.ErrNotFound) || err == nil && !c.super && u.ID != c.user.ID:
			f.fail("user", noPK(fmt.Sprint(t.owner)))
		case err != nil:
			return err
		default:
			t.User = u.ID
		}
	}
	if old != nil && t.Intent != old.Intent && !c.super {
		f.fail("intent", "Only an administrator can change what a token is for.")
	}
	if (old == nil || t.Intent != old.Intent) && t.Intent != core.IntentAPI && t.Intent != core.IntentAppPassword {
		f.fail("intent", "Invalid intent "+string(t.Intent))
	}
	switch {
	case !t.Expiring:
		t.Expires = time.Time{}
	case t.Expires.IsZero():
		t.Expires = c.Now().Add(c.look().Settings.TokenDuration.Or(tokenLife)).UTC().Truncate(time.Microsecond)
	}
	return nil
}

func showToken(c *call, t *tokenRow) (any, error) {
	u, err := c.userOf(t.User)
	if err != nil {
		return nil, fmt.Errorf("token's user: %w", err)
	}
	owner, err := showUser(c, u)
	if err != nil {
		return nil, err
	}
	return object{
		"pk": t.ID, "managed": orNull(t.Managed), "identifier": t.Identifier, "intent": string(t.Intent),
		"user": u.PK, "user_obj": owner, "description": t.Description,
		"expires": stamp(t.Expires), "expiring": t.Expiring,
	}, nil
}

// viewTokenKey shows the key to its owner and to superusers, and notes it.
func viewTokenKey(c *call) (reply, error) {
	t, err := findToken(c, c.key)
	if err != nil {
		return reply{}, found(err, "Token")
	}
	// Whoever has the key is its owner.
	if err := c.refuseAbove(t.User); err != nil {
		return reply{}, err
	}
	key, err := c.Store.TokenKey(c.ctx(), c.t, t.Identifier)
	if err != nil {
		return reply{}, found(err, "Token")
	}
	c.event(core.EventSecretView, core.Event{
		Message: "key of token " + t.Identifier,
		Context: object{"secret": object{"app": "authentik_core", "model_name": "token", "pk": t.ID, "name": t.Identifier}},
	})
	return ok(object{"key": string(key)})
}

// minKey is how short a key may be that somebody chose, or whose length a setting says.
const minKey = 20

// newKey makes a key of letters and digits: of 60, which are 357 bits, where no setting says
// else.
func (c *call) newKey() core.Secret {
	return core.Secret(core.RandomAlphanumeric(max(minKey, c.look().Settings.TokenLength)))
}

func readKey(key *core.Secret) func(*fields) {
	return func(f *fields) {
		text(f, "key", rule{required: true, max: 255, about: "At least 20 printable ASCII characters."}, key)
	}
}

func tokenViewShape() shape { return objectShape("TokenView", always("key", textShape())) }

func setTokenKey(c *call) (reply, error) {
	t, err := findToken(c, c.key)
	if err != nil {
		return reply{}, found(err, "Token")
	}
	key := core.Secret("")
	readKey(&key)(c.body)
	if len(c.body.errs) == 0 && (len(key) < minKey || strings.ContainsFunc(string(key), notVisible)) {
		c.body.fail("key", fmt.Sprintf("A key has at least %d printable ASCII characters, and no spaces.", minKey))
	}
	if err := c.body.err(); err != nil {
		return reply{}, err
	}
	if err := c.Store.SetTokenKey(c.ctx(), c.t, t.Identifier, key); err != nil {
		return reply{}, found(err, "Token")
	}
	tokens().record(c, core.EventModelUpdated, t)
	return done()
}
