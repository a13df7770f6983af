package expression_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/storage/sqldb"
)

// TestDirectory runs what asks the directory against the real one, two tenants of it.
func TestDirectory(t *testing.T) {
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	master, err := keys.NewMaster([]byte("a master secret of more than thirty-two bytes"))
	must(err)
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	db, err := sqldb.Open(ctx, sqldb.Options{Dir: t.TempDir(), Master: master, Now: func() time.Time { return now }, Log: quiet()})
	must(err)
	t.Cleanup(func() { must(db.Close()) })
	_, err = db.CreateTenant(ctx, "t_other", "Other")
	must(err)

	staff := &core.Group{Name: "Staff", Attributes: m{"aws_role": "staff", "n": float64(1)}}
	must(db.CreateGroup(ctx, "public", staff, nil))
	users := &core.Group{Name: "Minio users", Parents: []core.GroupID{staff.ID}, Attributes: m{"aws_role": "users"}}
	must(db.CreateGroup(ctx, "public", users, nil))
	jo := &core.User{UserName: "jo", DisplayName: "Jo", Email: "jo@example.test", Active: true, Type: core.UserInternal, Path: "users", Attributes: m{"n": float64(2)}}
	must(db.CreateUser(ctx, "public", jo))
	must(db.AddMember(ctx, "public", users.ID, jo.PK))
	other := &core.User{UserName: "secret", DisplayName: "Other", Active: true, Type: core.UserInternal, Path: "users"}
	must(db.CreateUser(ctx, "t_other", other))
	jo, err = db.User(ctx, "public", jo.ID)
	must(err)

	e := &expression.Evaluator{Directory: db, Log: quiet(), Events: db}
	check(t, e, expression.Env{User: jo}, []want{ // groups are asked of the directory
		{seedMinioGroups, m{"policy": l{"readonly", "my-custom-policy"}}},
		{seedAWSGroupRole, arn("staff")},
		{"[g.name for g in user.all_groups()]", l{"Minio users", "Staff"}},
		{"[g.name for g in user.ak_groups.all()]", l{"Minio users"}},
		{"user.group_attributes()", m{"aws_role": "staff", "n": i(2)}},
		{"user.ak_groups.first().parent.name", "Staff"},
		{"[u.username for u in user.ak_groups.first().users.all()]", l{"jo"}},
		{"[u.username for u in user.ak_groups.first().parent.users.all()]", l{}},
		{"user.ak_groups.first().parent.is_member(user)", true},
		{"[ak_user_by(username='jo').name, ak_user_by(username='JO'), ak_user_by(username__iexact='JO').name, ak_user_by(email__startswith='jo@').name, ak_user_by(uuid=user.uuid).name, ak_user_by(pk=user.pk).name, ak_user_by(is_active=True, name__icontains='J').name]", l{"Jo", nil, "Jo", "Jo", "Jo", "Jo", "Jo"}},
		{"ak_user_by(username=5)", errors.New("cannot be made with a value of that type")},
		// E-04: another tenant's people do not exist here.
		{"ak_user_by(username='secret')", nil},
		{"ak_user_by(uuid='" + string(other.ID) + "')", nil},
		{"ak_create_event('mine', message='hello')", nil},
	})
	got, err := e.Eval(ctx, "t_other", "return [ak_user_by(username='secret').name, ak_user_by(username='jo')]", expression.Env{})
	if err != nil || !reflect.DeepEqual(got, l{"Other", nil}) {
		t.Errorf("in the other tenant: %v, %v", got, err)
	}
}
