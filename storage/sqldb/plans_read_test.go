package sqldb_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/postern-sso/postern/storage/sqldb"
)

var (
	sqliteScan = regexp.MustCompile(`^SCAN (\S+)`)
	// cteName is what a WITH names, which is read once and in whole.
	cteName = regexp.MustCompile(`(\w+) \(id\) AS \(`)
)

// sqliteWrong tells what of a plan reads a whole table that may be big, in no order that
// an index has.
func sqliteWrong(query string, plan []string) string {
	made := sqldb.Few()
	for _, m := range cteName.FindAllStringSubmatch(query, -1) {
		made = append(made, m[1])
	}
	var scans, sorts []string
	for _, line := range plan {
		if name, ok := strings.CutPrefix(line, "CO-ROUTINE "); ok {
			made = append(made, name) // how it is made has lines of its own
		}
		m := sqliteScan.FindStringSubmatch(line)
		switch {
		case m != nil && m[1] != "CONSTANT" && m[1] != "json_each" && !strings.HasPrefix(m[1], "(") && !strings.Contains(line, " VIRTUAL TABLE INDEX 0:M") && !slices.Contains(made, m[1]):
			scans = append(scans, line)
		case line == "USE TEMP B-TREE FOR ORDER BY": // else, only those are sorted that an index has together
			sorts = append(sorts, line)
		}
	}
	for _, line := range scans {
		// Along an index is as good only where every row is wanted, or the first few.
		if !strings.Contains(line, " INDEX ") || len(sorts) > 0 || strings.Contains(query, " WHERE ") {
			return strings.Join(plan, "\n\t")
		}
	}
	return ""
}

// planNode is a node of PostgreSQL's plan.
type planNode struct {
	Type      string `json:"Node Type"`
	Relation  string `json:"Relation Name"`
	IndexCond string `json:"Index Cond"`
	Filter    string
	Plans     []planNode
}

func postgresWrong(_ string, plan []string) string {
	var top []struct{ Plan planNode }
	if err := json.Unmarshal([]byte(plan[0]), &top); err != nil || len(top) != 1 {
		return fmt.Sprintf("no plan: %v: %s", err, plan[0])
	}
	return top[0].Plan.wrong(false)
}

func (n *planNode) wrong(sorted bool) string {
	small := n.Relation == "" || slices.Contains(sqldb.Few(), n.Relation)
	if !small && n.Type == "Seq Scan" {
		return "Seq Scan on " + n.Relation
	}
	if !small && n.IndexCond == "" && strings.HasPrefix(n.Type, "Index") && (sorted || n.Filter != "") {
		return "Index Scan of all of " + n.Relation + ", filtered or sorted"
	}
	for i := range n.Plans {
		if w := n.Plans[i].wrong(sorted || n.Type == "Sort"); w != "" {
			return w
		}
	}
	return ""
}
