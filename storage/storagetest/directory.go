package storagetest

import "testing"

// TestDirectory checks users, groups, applications, providers, mappings, key
// pairs, policies, tokens, events and the outbox.
func TestDirectory(t *testing.T, open Open) {
	run(t, open, userTests())
	run(t, open, userListTests())
	run(t, open, groupTests())
	run(t, open, roleTests())
	run(t, open, applicationTests())
	run(t, open, providerTests())
	run(t, open, mappingTests())
	run(t, open, keyPairTests())
	run(t, open, rotationTests())
	run(t, open, policyTests())
	run(t, open, tokenTests())
	run(t, open, outboxTests())
	run(t, open, eventTests())
	run(t, open, brandTests())
}
