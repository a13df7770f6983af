package expression_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/postern-sso/postern/core/expression"
)

func BenchmarkEval(b *testing.B) {
	d := people()
	e := &expression.Evaluator{Directory: d, Log: quiet()}
	groups, _ := d.UserGroups(b.Context(), "public", "u1")
	env := expression.Env{User: &d.users[0], Groups: groups}
	for name, src := range map[string]string{
		"constant": seedMinioPolicy, "groups": seedMinioGroups, "attributes": seedAWSGroupRole,
		"profile": expression.Defaults()[2].Expression,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := e.Eval(context.Background(), "public", src, env); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	e := &expression.Evaluator{Log: quiet()}
	b.ReportAllocs()
	for b.Loop() {
		if err := e.Check(seedMinioGroups); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEvalAmongBombs is how long an ordinary evaluation takes while a hundred bombs
// are always running.
func BenchmarkEvalAmongBombs(b *testing.B) {
	d := people()
	e := &expression.Evaluator{Directory: d, Log: quiet()}
	groups, _ := d.UserGroups(b.Context(), "public", "u1")
	env := expression.Env{User: &d.users[0], Groups: groups}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan struct{})
	for i := range 100 {
		go func() {
			defer func() { done <- struct{}{} }()
			for ctx.Err() == nil {
				_, _ = e.Eval(ctx, "public", "x = 'x' * "+strconv.Itoa(i+1)+"\nwhile True:\n    x += x", env)
			}
		}()
	}
	for b.Loop() {
		if _, err := e.Eval(context.Background(), "public", seedMinioGroups, env); err != nil {
			b.Fatal(err)
		}
	}
	cancel()
	for range 100 {
		<-done
	}
}
