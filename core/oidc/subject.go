package oidc

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"

	"github.com/postern-sso/postern/core"
)

// subject is the sub claim, as the client's mode says. A mode whose source is
// empty falls back to the hashed ID: two people without an e-mail address must not be
// one person to a client.
func subject(mode core.SubMode, user *core.User, tenantUUID string) string {
	sub := ""
	switch mode {
	case core.SubUserID:
		sub = strconv.FormatInt(user.PK, 10)
	case core.SubUserUUID:
		sub = string(user.ID)
	case core.SubUserName:
		sub = user.UserName
	case core.SubUserEmail:
		sub = user.Email
	case core.SubUserUPN:
		sub, _ = user.Attributes["upn"].(string)
	}
	if sub == "" {
		return user.HashedID(tenantUUID)
	}
	return sub
}

// sessionClaim is the sid claim: it names a login to clients without giving them
// its ID.
func sessionClaim(id core.SessionID) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:])
}
