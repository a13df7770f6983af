package core

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"time"
)

// UserID is a UUIDv7 in text form: unique for ever, across tenants too.
type UserID string

// UserType says what kind of account it is.
type UserType string

// The four user types of the API.
const (
	UserInternal               UserType = "internal"
	UserExternal               UserType = "external"
	UserServiceAccount         UserType = "service_account"
	UserInternalServiceAccount UserType = "internal_service_account"
)

// User is a SCIM User (RFC 7643 §4.1): a person, or an account that a machine
// uses. The password hash is not part of it: see login.Credentials.
type User struct {
	ID UserID
	// PK is the integer that the API shows. It repeats from tenant to tenant and
	// is never used again within one.
	PK          int64
	UserName    string // unique in the tenant, compared after Fold
	DisplayName string
	Email       string // may be empty; not unique; compared after Fold
	// EmailVerified is true once this tenant has proof; changing Email resets it.
	EmailVerified bool
	Active        bool
	Type          UserType
	Path          string         // a folder in the directory, such as "users"
	Attributes    map[string]any // JSON
	Groups        []GroupID      // direct membership only
	Roles         []RoleID       // beside those of the groups
	LastLogin     time.Time      // zero: never
	// PasswordChanged is zero until a password was set. Sessions, links and
	// tokens made to set a password end when it changes.
	PasswordChanged time.Time
	Created         time.Time
	Updated         time.Time
}

// HashedID is the "uid" of a user and the subject identifier of the mode hashed_user_id:
// the SHA-256 of the PK and the tenant's UUID, in hex.
func (u *User) HashedID(tenantUUID string) string {
	sum := sha256.Sum256([]byte(strconv.FormatInt(u.PK, 10) + "-" + tenantUUID))
	return hex.EncodeToString(sum[:])
}

// AdminGroup is the group of superusers that every tenant starts with.
const AdminGroup = "authentik Admins"

// GroupID is a UUIDv7 in text form.
type GroupID string

// Group is a SCIM Group (RFC 7643 §4.2). Its members are those of its children
// too: a member of a child is a member of each of the child's ancestors.
type Group struct {
	ID         GroupID
	PK         int64 // num_pk of the API
	Name       string
	Superuser  bool // members may administer the tenant
	Parents    []GroupID
	Roles      []RoleID // what members may beside, see Role
	Attributes map[string]any
	Created    time.Time
	Updated    time.Time
}

// IsSuperuser reports whether any of all, a user's direct and inherited
// groups, makes its members administrators of the tenant.
func IsSuperuser(all []Group) bool {
	for i := range all {
		if all[i].Superuser {
			return true
		}
	}
	return false
}
