package counterparts_test

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

const (
	// A guarded page is asked for this often, whether or not the ones before were answered: who waits
	// for them would ask for nothing in the moments that are to be measured.
	pageEvery   = 5 * time.Millisecond
	reloadEvery = 2 * time.Second
)

// BenchmarkReload (L-01) measures how long a guarded page takes while the configuration is loaded every
// two seconds, from the moment at which it was due, beside the same server left alone; the goal is
// less than twice its p99. One operation is a load.
func BenchmarkReload(b *testing.B) {
	needBinary(b)
	p := startConfig(b, neighbours, "/-/health/ready/", append(bootstrapped(), "NEIGHBOURS_DATABASE=")...)
	p.addUser(b, "alice")
	app := "http://app.localhost:" + p.port
	inside := newBrowser(b)
	if got := inside.login(app+"/", "alice"); got.body != "hello" {
		b.Fatalf("%d %s", got.status, tail(got.body, 500))
	}
	page := func() {
		resp, err := inside.client.Get(app + "/")
		if err != nil {
			b.Error(err)
			return
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.Request.URL.Path != "/" {
			b.Errorf("%s %s", resp.Status, resp.Request.URL)
		}
	}
	pages := func(until time.Time) (took []time.Duration) {
		var mu sync.Mutex
		var all sync.WaitGroup
		defer all.Wait()
		for due := time.Now(); due.Before(until); due = due.Add(pageEvery) {
			time.Sleep(time.Until(due))
			all.Go(func() {
				page()
				mu.Lock()
				defer mu.Unlock()
				took = append(took, time.Since(due))
			})
		}
		all.Wait()
		return took
	}
	var alone, loaded []time.Duration
	b.ResetTimer()
	for i := range b.N {
		alone = append(alone, pages(time.Now().Add(reloadEvery))...)
		until := time.Now().Add(reloadEvery)
		done := make(chan struct{})
		go func() {
			defer close(done)
			p.load(b, i)
		}()
		loaded = append(loaded, pages(until)...)
		<-done
	}
	b.StopTimer()
	at := func(took []time.Duration, percent int) float64 {
		slices.Sort(took)
		return float64(took[len(took)*percent/100].Microseconds()) / 1000
	}
	for _, percent := range []struct {
		name string
		of   int
	}{{"p50", 50}, {"p99", 99}} {
		b.ReportMetric(at(alone, percent.of), "ms-"+percent.name+"-alone")
		b.ReportMetric(at(loaded, percent.of), "ms-"+percent.name+"-loading")
		b.ReportMetric(at(loaded, percent.of)/at(alone, percent.of), "x-"+percent.name)
	}
	b.ReportMetric(0, "ns/op")
}
