package sqldb

import (
	"context"
	"errors"
)

func openPostgres(context.Context, Options) (engine, error) {
	return nil, errors.New("postgres: not yet")
}
