package expression

// Merge merges src into dst as authentik merges the attributes of groups and the
// results of mappings (deepmerge's always_merger): dicts merge key by key, lists are
// appended with their duplicates, and of anything else, and of two types, the later wins.
// dst takes copies: it never shares a list or dict with src.
func Merge(dst, src map[string]any) {
	for k, v := range src {
		old, ok := dst[k]
		if !ok {
			dst[k] = clone(v)
			continue
		}
		switch v := v.(type) {
		case map[string]any:
			if m, ok := old.(map[string]any); ok {
				Merge(m, v)
				continue
			}
		case []any:
			if l, ok := old.([]any); ok {
				items, _ := clone(v).([]any)
				dst[k] = append(l[:len(l):len(l)], items...)
				continue
			}
		}
		dst[k] = clone(v)
	}
}

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, x := range v {
			out[k] = clone(x)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, x := range v {
			out[i] = clone(x)
		}
		return out
	}
	return v
}
