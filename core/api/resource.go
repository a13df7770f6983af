package api

import (
	"context"
	"errors"
	"strings"

	"github.com/postern-sso/postern/core"
)

// resource is one kind of object, and all that differs between kinds. Its verbs
// are below, and the same for all.
type resource[T any] struct {
	model   string // Django's name of the class: in 404s and events, and its component's in the document
	app     string // Django's application label: in events
	verbose string // what people call it: in messages
	key     string // what the path names it by, as the document calls that
	listing listing
	// members are those of an answer that a body has not, or has otherwise; hidden
	// those of a body that no answer has. The rest is told by read.
	members []member
	hidden  []string
	// params are further parameters of the two calls that show.
	params []parameter

	find   func(c *call, key string) (*T, error)
	page   func(c *call, q Query) ([]T, int, error)
	create func(c *call, v *T) error
	update func(c *call, key string, change func(*T) error) (*T, error)
	remove func(c *call, key string) error

	// fresh is an object with the defaults of a new one.
	fresh func(c *call) *T
	// read puts the body's fields into v. It may run twice, and within a
	// transaction of the store: it looks at nothing but its arguments.
	read func(f *fields, v *T)
	// check is the rest of the checks: those that look things up. old is nil for
	// a new object. Nil: none.
	check func(c *call, f *fields, v, old *T) error
	// carry copies what check worked out. Nil: nothing.
	carry func(from, to *T)
	// after follows a change; old is nil for a new object, v for one deleted.
	// Nil: nothing.
	after func(c *call, old, v *T) error
	// gather looks up together what show needs of each row: see looked. It runs before
	// show. Nil: nothing.
	gather func(c *call, rows []T) error
	// show is the object in an answer.
	show func(c *call, v *T) (any, error)
	// label is what events call it.
	label func(v *T) (pk, name string)
}

// described is what the document says of it, which needs no type and so is compiled once.
func (s *resource[T]) described() described {
	return described{
		model: s.model, app: s.app, verbose: s.verbose, key: s.key, listing: s.listing,
		members: s.members, hidden: s.hidden, params: s.params,
		read: func(f *fields) { s.read(f, s.fresh(&call{user: &core.User{}})) },
	}
}

func (s *resource[T]) shape() shape      { return s.described().shape() }
func (s *resource[T]) listed() operation { return s.described().listed() }
func (s *resource[T]) shown() operation  { return s.described().shown() }

// routes are the six verbs under a path.
func (s *resource[T]) routes(path string, who access) []route {
	return append(s.writeRoutes(path, who), s.described().readRoutes(path, who, s.serveList, s.serveOne)...)
}

// writeRoutes are the four that change something.
func (s *resource[T]) writeRoutes(path string, who access) []route {
	return s.described().writeRoutes(path, who, s.serveCreate, s.serveUpdate, s.serveDelete)
}

func (s *resource[T]) serveList(c *call) (reply, error) {
	q, p, err := c.query()
	if err != nil {
		return reply{}, err
	}
	if c.single != "" {
		q.Only = c.rights.On(c.single)
	}
	rows, count, err := s.page(c, q)
	if err != nil {
		return reply{}, err
	}
	return s.showPage(c, p, count, rows)
}

func (s *resource[T]) showPage(c *call, p page, count int, rows []T) (reply, error) {
	if s.gather != nil {
		if err := s.gather(c, rows); err != nil {
			return reply{}, err
		}
	}
	results := make([]any, 0, len(rows))
	for i := range rows {
		v, err := s.show(c, &rows[i])
		if err != nil {
			return reply{}, err
		}
		results = append(results, v)
	}
	return envelope(p, count, results)
}

// one finds the object that the path names. One on which the one who asks has not the
// right is as if it were not there.
func (s *resource[T]) one(c *call) (*T, error) {
	v, err := s.find(c, c.key)
	if err != nil {
		return nil, found(err, s.model)
	}
	if pk, _ := s.label(v); !c.mayOn(pk) {
		return nil, noSuch(s.model)
	}
	return v, nil
}

func (s *resource[T]) serveOne(c *call) (reply, error) {
	v, err := s.one(c)
	if err != nil {
		return reply{}, err
	}
	return s.answer(c, v, ok)
}

func (s *resource[T]) answer(c *call, v *T, with func(any) (reply, error)) (reply, error) {
	if s.gather != nil {
		if err := s.gather(c, []T{*v}); err != nil {
			return reply{}, err
		}
	}
	body, err := s.show(c, v)
	if err != nil {
		return reply{}, err
	}
	return with(body)
}

func (s *resource[T]) serveCreate(c *call) (reply, error) {
	v := s.fresh(c)
	if err := s.readAll(c, v, nil); err != nil {
		return reply{}, err
	}
	if err := s.create(c, v); err != nil {
		return reply{}, s.taken(err)
	}
	s.record(c, core.EventModelCreated, v)
	if s.after != nil {
		if err := s.after(c, nil, v); err != nil {
			return reply{}, err
		}
	}
	return s.answer(c, v, created)
}

// serveUpdate answers PUT and PATCH. Everything is checked on a copy first; the
// store then applies the same fields to what it has by then.
func (s *resource[T]) serveUpdate(c *call) (reply, error) {
	old, err := s.one(c)
	if err != nil {
		return reply{}, err
	}
	checked := *old
	if err := s.readAll(c, &checked, old); err != nil {
		return reply{}, err
	}
	v, err := s.update(c, c.key, func(v *T) error {
		f := c.body.again()
		s.read(f, v)
		if s.carry != nil {
			s.carry(&checked, v)
		}
		return f.err()
	})
	if err != nil {
		return reply{}, s.taken(found(err, s.model))
	}
	s.record(c, core.EventModelUpdated, v)
	if s.after != nil {
		if err := s.after(c, old, v); err != nil {
			return reply{}, err
		}
	}
	return s.answer(c, v, ok)
}

// readAll reads and checks; all that is wrong is told at once.
func (s *resource[T]) readAll(c *call, v, old *T) error {
	s.read(c.body, v)
	if s.check != nil {
		if err := s.check(c, c.body, v, old); err != nil {
			return err
		}
	}
	return c.body.err()
}

func (s *resource[T]) serveDelete(c *call) (reply, error) {
	old, err := s.one(c)
	if err != nil {
		return reply{}, err
	}
	if err := s.remove(c, c.key); err != nil {
		return reply{}, found(err, s.model)
	}
	s.record(c, core.EventModelDeleted, old)
	if s.after != nil {
		if err := s.after(c, old, nil); err != nil {
			return reply{}, err
		}
	}
	return done()
}

// taken words a name that is taken as Django does.
func (s *resource[T]) taken(err error) error {
	field := (*core.FieldError)(nil)
	if !errors.As(err, &field) || !errors.Is(err, core.ErrExists) {
		return err
	}
	return &core.FieldError{Field: field.Field, Message: s.verbose + " with this " + strings.ReplaceAll(field.Field, "_", " ") + " already exists.", Err: core.ErrExists}
}

// record writes to the audit log who did what to which object.
func (s *resource[T]) record(c *call, action string, v *T) {
	pk, name := s.label(v)
	c.record(action, s.app, s.model, pk, name)
}

// record writes to the audit log what was done to an object, never its secrets.
func (c *call) record(action, app, model, pk, name string) {
	c.event(action, core.Event{
		Message: model + " " + name,
		Context: object{"model": object{"app": app, "model_name": strings.ToLower(model), "pk": pk, "name": name}},
	})
}

// event writes an event, done by the one who asks. A log that cannot be written
// is told in the server's log and stops nobody.
func (c *call) event(action string, e core.Event) { c.eventIn(c.t, action, e) }

// eventIn writes an event into the log of a tenant.
func (c *call) eventIn(t core.TenantID, action string, e core.Event) {
	e.Action, e.Time = action, c.Now()
	if c.user != nil {
		e.User, e.UserName = c.user.ID, c.user.UserName
	}
	if c.info.ClientIP.IsValid() {
		e.Address = c.info.ClientIP.String()
	}
	log := core.Events(c.Store)
	if c.Events != nil {
		log = c.Events
	}
	// What was done is done, even if the client has gone meanwhile.
	if err := log.Record(context.WithoutCancel(c.ctx()), t, e); err != nil {
		c.Log.ErrorContext(c.ctx(), "event not recorded", "request_id", c.info.ID, "action", action, "error", err)
	}
}
