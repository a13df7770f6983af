package api

// rule says what a field takes beside its type.
type rule struct {
	required bool // but for PATCH
	null     bool // null means the zero value
	blank    bool // "" is taken
	exact    bool // white space around is kept
	lines    bool // line breaks and tabs are taken
	max      int  // characters; 0: maxText
	format   textFormat
	about    string // what people should know
}

// maxText bounds a string that nothing else bounds, in characters.
const maxText = 16 << 10

// textFormat is a rule for strings that several fields have.
type textFormat int

const (
	slugFormat textFormat = iota + 1
	emailFormat
	urlFormat
)

// refuse tells what is wrong with s, "" for nothing.
func (t textFormat) refuse(s string) string {
	switch {
	case t == slugFormat && !slug.MatchString(s):
		return "Enter a valid “slug” consisting of letters, numbers, underscores or hyphens."
	case t == emailFormat && s != "" && !isEmail(s):
		return "Enter a valid email address."
	case t == urlFormat && s != "" && !isWebURL(s):
		return "Enter a valid URL, which begins with https:// or http://."
	}
	return ""
}

// shape describes a string of the rule; preset is what it is if nothing is said.
func (r rule) shape(preset string) shape {
	s := shape{kind: "string", max: r.limit(), filled: !r.blank, text: r.about}
	if preset != "" {
		s.preset = preset
	}
	switch r.format {
	case slugFormat:
		s.pattern = slug.String()
	case emailFormat:
		s.format = "email"
	case urlFormat:
		s.format = "uri"
	}
	return s
}

func (r rule) limit() int {
	if r.max == 0 {
		return maxText
	}
	return r.max
}

// bodyShape is the shape of a body, as told by what reads it.
func bodyShape(name string, read func(*fields)) shape {
	told := []member{}
	read(&fields{errs: invalid{}, told: &told})
	return objectShape(name, told...)
}

// tells notes a field for the document, where that is what the fields are for.
func (f *fields) tells(name string, r rule, s shape) bool {
	if f.told == nil {
		return false
	}
	s.nullable = r.null
	if r.required {
		s.preset = nil
	}
	*f.told = append(*f.told, member{name: name, shape: s, optional: !r.required})
	return true
}

// oneOf is the shape of a choice.
func oneOf[T ~string](of []T) shape {
	names := make([]string, len(of))
	for i, v := range of {
		names[i] = string(v)
	}
	return choiceShape(names...)
}
