package api

import (
	"errors"
	"slices"

	"github.com/postern-sso/postern/core"
)

// looked are the objects of one kind that a call looked up, nil where there is none:
// each once, and those that a page shows together (see resource.gather).
type looked[K comparable, V any] map[K]*V

func (l *looked[K, V]) keep(key K, v *V) {
	if *l == nil {
		*l = looked[K, V]{}
	}
	(*l)[key] = v
}

// one is an object, core.ErrNotFound where it is not there.
func (l *looked[K, V]) one(key K, find func() (*V, error)) (*V, error) {
	v, met := (*l)[key]
	if !met {
		var err error
		if v, err = find(); err != nil && !errors.Is(err, core.ErrNotFound) {
			return nil, err
		} else if err != nil {
			v = nil
		}
		l.keep(key, v)
	}
	if v == nil {
		return nil, core.ErrNotFound
	}
	return v, nil
}

// together looks up those of the keys that were not looked up yet. text is a key as the
// store's filter takes it; keyOf is an object's.
func (l *looked[K, V]) together(keys []K, filter string, text func(K) string, keyOf func(*V) K, read func(Query) ([]V, int, error)) error {
	var values []string
	var zero K
	for _, key := range keys {
		if _, met := (*l)[key]; !met && key != zero {
			l.keep(key, nil)
			values = append(values, text(key))
		}
	}
	rows, err := those(filter, values, read)
	for i := range rows {
		l.keep(keyOf(&rows[i]), &rows[i])
	}
	return err
}

// those lists the rows for which a filter has one of the values.
func those[T any](filter string, values []string, read func(Query) ([]T, int, error)) (out []T, err error) {
	for part := range slices.Chunk(values, maxPageSize) {
		rows, err := every(Query{Where: map[string][]string{filter: part}}, read)
		if err != nil {
			return nil, err
		}
		out = append(out, rows...)
	}
	return out, nil
}

// of are what each row refers to.
func of[T, K any](rows []T, refers func(*T) []K) (out []K) {
	for i := range rows {
		out = append(out, refers(&rows[i])...)
	}
	return out
}
