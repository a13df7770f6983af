package sqldb_test

import "regexp"

// allowance is a kind of statement that may read all of a table, and why.
type allowance struct {
	pattern, reason string
	postgres        bool // only there
}

func allowed() []allowance {
	const (
		shared   = "a value that many rows share: an index would find too many to be of use"
		looked   = "people look through a list for it now and then: an index would cost every write"
		logged   = "looked for in the log now and then: an index would cost every event"
		wanted   = "all rows are what is asked for; what answers requests keeps them in memory"
		sweeping = "looked through by the sweep, not by a request"
	)
	return []allowance{
		{pattern: `count\(\*\) OVER \(\) FROM [^W]* ORDER BY`, reason: "a page of all rows counts them, and so reads them"},
		{pattern: `\(SELECT count\(\*\) FROM users\) FROM counters c`, reason: "people are counted once, and then by what became of them"},
		{pattern: `, u\.email_fold FROM users u$`, reason: "what people are found by is read once, and then what became of them"},
		{pattern: `CASE WHEN o\.kind = 'user' THEN 1 ELSE 0 END\), 0\) FROM counters c`, reason: "twenty thousand lines are counted at most, which are all of them here"},
		{pattern: `FROM users u ORDER BY u\.(active|created|last_login|type|updated)\b`, reason: looked},
		{pattern: ` LIKE \$`, reason: "words within a text"},
		{pattern: ` (replace|\(?substr)\(u\.`, reason: "a part of a text, in its case"},
		{pattern: `FROM users u WHERE \(*u\.(last_login|created|updated) `, reason: looked},
		{pattern: `FROM users u WHERE (1 = 1 AND )?\(?u\.(active|type|path_fold)\b`, reason: shared},
		{pattern: `FROM users u WHERE \(u\.id IN \( SELECT m\.user_id .*\) IN \(\$1\)`, reason: "superusers, or all but them: true or false of every user"},
		{pattern: `FROM groups g WHERE \(g\.superuser\) IN`, reason: shared},
		{pattern: `FROM applications a WHERE a\.(description|heading|launch_url|publisher) IN`, reason: looked},
		{pattern: `, 0 FROM applications a (JOIN proxy_providers x ON x\.provider_id = a\.provider_id )?ORDER BY a\.name_fold, a\.id$`, reason: wanted},
		{pattern: `, 0 FROM providers p JOIN proxy_providers x ON x\.provider_id = p\.id$`, reason: wanted},
		{pattern: `, 0 FROM entitlements e ORDER BY e\.name_fold, e\.id$`, reason: wanted},
		{pattern: ` FROM key_pairs k ORDER BY k\.name_fold, k\.id$`, reason: wanted},
		{pattern: ` WHERE b\.enabled ORDER BY b\.position, b\.id$`, reason: wanted},
		{pattern: `FROM bindings b LEFT JOIN policies p ON p\.id = b\.policy_id WHERE \(*b\.(policy_id IS NULL|enabled|position|timeout)`, reason: shared},
		{pattern: `FROM tokens k JOIN users u ON u\.id = k\.user_id WHERE \(?k\.(expiring|intent)\b`, reason: shared},
		{pattern: `FROM tokens k JOIN users u ON u\.id = k\.user_id WHERE k\.(description|expires) IN`, reason: looked},
		{pattern: `FROM key_pairs k WHERE \(k\.private_key IS NOT NULL\) IN`, reason: shared},
		{pattern: `oauth2_clients c ON c\.provider_id = p\.id WHERE \(?(c\.(include_claims|client_type|issuer_mode|sub_mode|(access|code|refresh)_validity)|p\.authorization_flow)\b`, reason: shared},
		{pattern: `proxy_providers x ON x\.provider_id = p\.id WHERE (lower\(x\.|\(x\.(basic_auth|internal_tls_verify)\)|x\.certificate IN \(SELECT|\(\(\(NOT EXISTS)`, reason: looked},
		{pattern: `FROM policies p WHERE \(?p\.(logging|created|updated|expression)\b`, reason: looked},
		{pattern: `FROM events e WHERE (e\.(address|application_id|model_app|model_name) |CASE WHEN e\.model_app)`, reason: logged},
		{pattern: `FROM events e ORDER BY e\.(address|model_app)`, reason: logged},
		{pattern: `FROM events e GROUP BY 1, 2`, reason: "all events are counted, of all time"},
		{pattern: `^WITH RECURSIVE strong`, reason: "whoever has a right that is not among some: before a write of the administration, by who is no superuser"},
		{pattern: `count\(\*\) OVER \(\) FROM sessions s WHERE s\.parent_id = '' AND s\.ended = 0 AND s\.expires > \$1 AND \(s\.idle = 0 OR s\.last_seen \+ s\.idle > \$1\) ORDER BY`, reason: "a page of all logins counts those that live, and so reads them", postgres: true},
		{pattern: `FROM sessions WHERE idle > 0 AND last_seen \+ idle <=`, reason: sweeping + ": an index of what every request moves would cost more"},
		{pattern: `FROM sessions WHERE parent_id <> '' AND ended = 0 AND NOT EXISTS`, reason: sweeping},
		{pattern: `count\(\*\) FROM auth_requests WHERE expires >`, reason: "all that wait are counted, once for many that are saved", postgres: true},
		{pattern: `count\(\*\) FROM events e( WHERE \(\(e\.at <> 0 AND e\.at < \$1\)\))?$`, reason: "all of the log, or most of it, is counted", postgres: true},
		{pattern: `FROM mappings m WHERE m\.kind = \$1 ORDER BY`, reason: shared, postgres: true},
		{pattern: `^UPDATE sessions .* ORDER BY id LIMIT 500`, reason: "every session is to end"},
	}
}

// allowedBy is the pattern that allows a statement, "" for none.
func allowedBy(query string, onPostgres bool) string {
	for _, a := range allowed() {
		if (onPostgres || !a.postgres) && regexp.MustCompile(a.pattern).MatchString(query) {
			return a.pattern
		}
	}
	return ""
}
