package redisdb

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// client is what is asked of a server or of a cluster. It holds functions and is no
// interface: what an interface holds is kept by the linker with every command that Redis
// knows, a megabyte of them.
type client struct {
	process   func(ctx context.Context, cmd redis.Cmder) error
	pipelined func(ctx context.Context, add func(redis.Pipeliner) error) ([]redis.Cmder, error)
	// pingMasters asks each server that takes writes.
	pingMasters func(ctx context.Context) error
	subscribe   func(ctx context.Context, channels ...string) *redis.PubSub
	disconnect  func() error
}

func server(c *redis.Client) client {
	return client{c.Process, c.Pipelined, func(ctx context.Context) error { return c.Ping(ctx).Err() }, c.Subscribe, c.Close}
}

func cluster(c *redis.ClusterClient) client {
	return client{c.Process, c.Pipelined, func(ctx context.Context) error {
		return c.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return c.Ping(ctx).Err() })
	}, c.Subscribe, c.Close}
}
