package sqldb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
)

// findColumns are the columns of FindUsers: one to compare byte by byte, one folded.
func findColumns(field string) (exact, fold string, ok bool) {
	switch field {
	case "username":
		return "u.username", "u.username_fold", true
	case "email":
		return "u.email", "u.email_fold", true
	case "name":
		return "u.name", "u.name_fold", true
	case "uuid":
		return "u.id", "u.id", true
	case "type":
		return "u.type", "u.type", true
	case "path":
		return "u.path", "u.path_fold", true
	}
	return "", "", false
}

// FindUsers returns the users whose fields are as told: see expression.Directory.
func (db *DB) FindUsers(ctx context.Context, t core.TenantID, where map[string]any, limit int) (out []core.User, err error) {
	b := new(builder)
	conds := []string{"1 = 1"}
	for key, value := range where {
		cond, err := findCondition(b, key, value)
		if err != nil {
			return nil, fmt.Errorf("find users: %w", err)
		}
		conds = append(conds, cond)
	}
	slices.Sort(conds)
	err = db.read(ctx, t, directory, "find users", func(q *conn) error {
		out, err = q.users(ctx, `SELECT `+userColumns+` FROM users u WHERE `+strings.Join(conds, " AND ")+
			` ORDER BY u.pk LIMIT `+b.add(min(limit, maxLimit)), b.args...)
		return err
	})
	return out, err
}

func findCondition(b *builder, key string, value any) (string, error) {
	field, lookup, _ := strings.Cut(key, "__")
	if lookup == "exact" {
		lookup = ""
	}
	if lookup == "" {
		switch v := value.(type) {
		case int64:
			if field == "pk" {
				return "u.pk = " + b.add(v), nil
			}
		case int:
			if field == "pk" {
				return "u.pk = " + b.add(int64(v)), nil
			}
		case bool:
			if field == "is_active" {
				return "u.active = " + b.add(v), nil
			}
		}
	}
	exact, fold, ok := findColumns(field)
	text, isText := value.(string)
	if !ok || !isText {
		return "", &core.FieldError{Field: key, Message: fmt.Sprintf("users cannot be found by this field and a value of type %T", value)}
	}
	if !validText(text) {
		return "1 = 0", nil // no row holds it
	}
	switch lookup {
	case "":
		cond := exact + " = " + b.add(text)
		if exact != fold { // what is equal is equal when folded, which has the index
			cond += " AND " + fold + " = " + b.add(core.Fold(text))
		}
		return cond, nil
	case "iexact":
		return fold + " = " + b.add(core.Fold(text)), nil
	case "startswith":
		return fmt.Sprintf(startsWith(exact), b.add(text)), nil
	case "contains":
		if text == "" {
			return "1 = 1", nil
		}
		// Shorter once the text is taken out: LIKE would not tell case on SQLite.
		p := b.add(text)
		return "replace(" + exact + ", CAST(" + p + " AS TEXT), '') <> " + exact, nil
	case "icontains":
		return fold + " LIKE " + b.add("%"+escapeLike(core.Fold(text))+"%") + " ESCAPE '!'", nil
	}
	return "", &core.FieldError{Field: key, Message: "unknown lookup: use __iexact, __startswith, __contains or __icontains"}
}
