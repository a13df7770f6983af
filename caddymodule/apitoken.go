package caddymodule

import (
	"context"
	"errors"
	"fmt"

	"github.com/postern-sso/postern/core"
)

// tokenLength is that of the keys that the API makes, too: 357 bits.
const tokenLength = 60

// apiToken makes a token with which programs use the API as a user, until somebody deletes it. Whoever may
// ask for it at the admin address could set the user's password as well.
func (p *people) apiToken(ctx context.Context, in personInput) (*person, error) {
	u, err := p.find(ctx, in.UserName)
	if err != nil {
		return nil, err
	}
	if !u.Active {
		return nil, &core.FieldError{Field: "username", Message: "The user is not active, so a token would open nothing: activate them first."}
	}
	key := core.Secret(core.RandomAlphanumeric(tokenLength))
	t := &core.Token{
		Identifier: "command-line-" + core.RandomAlphanumeric(10), Intent: core.IntentAPI, User: u.ID,
		Description: "Made by caddy postern user api-token",
	}
	err = p.store.CreateToken(ctx, p.tenant.ID, t, key)
	if err == nil {
		err = p.pages.Events.Record(ctx, p.tenant.ID, core.Event{
			Action: core.EventModelCreated, User: u.ID, UserName: u.UserName, Message: "Token " + t.Identifier + " by caddy postern",
			Context: map[string]any{"model": map[string]any{"app": "authentik_core", "model_name": "token", "pk": t.Identifier, "name": t.Identifier}},
		})
		if err != nil { // what is not in the audit log is not handed out
			err = errors.Join(fmt.Errorf("record it: %w", err), p.store.DeleteToken(ctx, p.tenant.ID, t.Identifier))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make the token: %w", err)
	}
	out, err := p.show(ctx, u)
	if err != nil {
		return nil, err
	}
	out.Token = string(key)
	return out, nil
}
