package login_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/postern-sso/postern/core/login"
	"github.com/postern-sso/postern/storage/sqldb"
)

// mannWhitney is the probability that two samples differ in rank as much as these do, or more, where they are of one
// distribution (Mann and Whitney 1947; by the normal approximation, with ties).
func mannWhitney(a, b []float64) float64 {
	type one struct {
		value float64
		first bool
	}
	var all []one
	for _, v := range a {
		all = append(all, one{v, true})
	}
	for _, v := range b {
		all = append(all, one{v, false})
	}
	slices.SortFunc(all, func(x, y one) int { return cmp.Compare(x.value, y.value) })
	n, m := float64(len(a)), float64(len(b))
	ranks, ties := 0.0, 0.0
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].value == all[i].value {
			j++
		}
		same := float64(j - i)
		ties += same*same*same - same
		for ; i < j; i++ {
			if all[i].first {
				ranks += float64(j) - (same-1)/2 // the mean rank of those that are alike
			}
		}
	}
	u := ranks - n*(n+1)/2
	spread := math.Sqrt(n * m / 12 * (n + m + 1 - ties/((n+m)*(n+m-1))))
	if spread == 0 {
		return 1
	}
	return math.Erfc(math.Abs(u-n*m/2) / spread / math.Sqrt2)
}

// The statistic finds a shift, and finds none where there is none. (1, 2, 3, 4, 5 against 6, 7, 8, 9, 10 is U = 0: in
// tables, and by the approximation, p = 0.009.)
func TestMannWhitney(t *testing.T) {
	if p := mannWhitney([]float64{1, 2, 3, 4, 5}, []float64{6, 7, 8, 9, 10}); math.Abs(p-0.009) > 0.0005 {
		t.Errorf("apart: %f", p)
	}
	if p := mannWhitney([]float64{1, 1, 1}, []float64{1, 1}); p != 1 {
		t.Errorf("all alike: %f", p)
	}
	random := rand.New(rand.NewPCG(1, 2))
	var a, b, shifted []float64
	for range 2000 {
		a, b, shifted = append(a, random.NormFloat64()), append(b, random.NormFloat64()), append(shifted, random.NormFloat64()+0.2)
	}
	if p := mannWhitney(a, b); p < 0.01 {
		t.Errorf("of one distribution: %f", p)
	}
	if p := mannWhitney(a, shifted); p > 1e-6 {
		t.Errorf("shifted: %f", p)
	}
}

// inMemory is a directory whose files are in memory, where there is one: the disk is not what is measured.
func inMemory(b *testing.B) string {
	dir, err := os.MkdirTemp("/dev/shm", "postern-test-*")
	if err != nil {
		return b.TempDir()
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// BenchmarkEnumeration is R-15 by the clock: 2,000 wrong passwords of people there are and 2,000 of nobody's, in turn, with
// a hasher so fast that it hides nothing. p is the probability of what was seen where the two take the same time;
// below 0.01, again and again, the two can be told apart, by the microseconds that a row takes to be read; beside argon2id,
// which takes ten thousand of them, more or less, that is nothing. control-p is the same where the answer for
// nobody comes 5 % of the median sooner. With POSTERN_TEST_ARGON2ID the hasher is the product's, which takes some
// minutes. What is done for each, TestUnknownUsersLookLikeKnownOnes compares.
func BenchmarkEnumeration(b *testing.B) {
	const n = 2000
	for b.Loop() {
		b.StopTimer()
		h := newHouseAt(b, sqldb.Options{Dir: inMemory(b)})
		hasher := cheap()
		if os.Getenv("POSTERN_TEST_ARGON2ID") != "" {
			hasher = new(login.Hasher)
		}
		h.Handler = h.again(h.Master, hasher)
		hash, err := hasher.Hash(b.Context(), tenantA, "correct horse")
		h.ok(err)
		for i := range n {
			u := h.user(tenantA, fmt.Sprint("somebody", i), "")
			h.ok(h.SetPasswordHash(b.Context(), tenantA, u.ID, hash, h.now.now().Add(-24*time.Hour)))
		}
		var known, unknown []float64
		for i := range n {
			h.now.add(200 * time.Millisecond) // so that a minute's failures stay below what slows everybody down
			for _, way := range rand.Perm(2) {
				name := fmt.Sprint([]string{"somebody", "nobody-x"}[way], i)
				person := h.browser("a.test").from(fmt.Sprintf("10.%d.%d.%d", way, i/250, i%250+1))
				page := person.get(loginPath)
				began := time.Now()
				res := person.send(loginPath, page, "username", name, "password", "wrong password")
				took := float64(time.Since(began))
				if res.StatusCode != http.StatusUnprocessableEntity {
					b.Fatalf("%s: %d", name, res.StatusCode)
				}
				if way == 0 {
					known = append(known, took)
				} else {
					unknown = append(unknown, took)
				}
			}
		}
		sorted := slices.Sorted(slices.Values(known))
		sooner := slices.Clone(unknown)
		for i := range sooner {
			sooner[i] -= sorted[n/2] / 20
		}
		b.ReportMetric(mannWhitney(known, unknown), "p")
		b.ReportMetric(mannWhitney(known, sooner), "control-p")
		b.ReportMetric(sorted[n/2]/1e3, "median-µs")
		b.StartTimer()
	}
}
