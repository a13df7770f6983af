package counterparts_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

// bomb doubles and sorts a list until its budget ends it.
const bomb = "x = [0] * 1000\nfor i in range(100000):\n    x = sorted(x + x)\nreturn {}"

// events writes as much as one run may.
const events = "for i in range(10):\n    ak_create_event('custom', message=str(i))\nreturn {}"

// BenchmarkLoginBesideBombs measures whole logins, name and password to verified ID
// token, while others ask for the claims of a provider: a hundred at once as each
// login begins, and a hundred that do not stop. The ceiling of a bomb is a mapping
// that does nothing, asked for in the same way.
func BenchmarkLoginBesideBombs(b *testing.B) {
	needBinary(b)
	p := startPostern(b, bootstrapped()...)
	p.addUser(b, "alice")
	wiki := p.seedApplication(b, "wiki", "http://127.0.0.1:1/callback", "return {}")
	ask := map[string]string{}
	for slug, source := range map[string]string{"harmless": "return {}", "bombs": bomb, "events": events} {
		a := p.seedApplication(b, slug, "http://127.0.0.1:1/"+slug, source)
		ask[slug] = fmt.Sprintf("%s/api/v3/providers/oauth2/%d/preview_user/", p.url(), a.provider)
	}
	for _, c := range []struct {
		name, url string
		forever   bool
	}{
		{"quiet", "", false},
		{"harmless-100", ask["harmless"], false},
		{"bombs-100", ask["bombs"], false},
		{"events-100", ask["events"], false},
		{"harmless-forever", ask["harmless"], true},
		{"bombs-forever", ask["bombs"], true},
	} {
		b.Run(c.name, func(b *testing.B) {
			client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
			defer client.CloseIdleConnections()
			var others sync.WaitGroup
			end := make(chan struct{})
			crowd := func() {
				for range 100 {
					others.Go(func() {
						for preview(b, client, c.url); c.forever; preview(b, client, c.url) {
							select {
							case <-end:
								return
							default:
							}
						}
					})
				}
			}
			if c.forever {
				crowd()
			}
			var took []time.Duration
			for b.Loop() {
				if c.url != "" && !c.forever {
					crowd()
				}
				began := time.Now()
				logIn(b, wiki, "alice")
				took = append(took, time.Since(began))
				if !c.forever {
					others.Wait()
				}
			}
			close(end)
			others.Wait()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "ms/login(median)")
			b.ReportMetric(float64(took[len(took)*9/10].Microseconds())/1000, "ms/login(p90)")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func preview(b *testing.B, client *http.Client, url string) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		b.Error(err)
		return
	}
	req.Header.Set("Authorization", "Bearer "+bootstrapToken)
	resp, err := client.Do(req)
	if err != nil {
		b.Error(err)
		return
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		b.Errorf("preview: %s, %v", resp.Status, err)
	}
}
