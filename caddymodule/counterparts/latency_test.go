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
// that does nothing, asked for in the same way. They take turns, so that whatever else
// the machine does is shared.
func BenchmarkLoginBesideBombs(b *testing.B) {
	needBinary(b)
	p := startPostern(b, bootstrapped()...)
	p.addUser(b, "alice")
	wiki := p.seedApplication(b, "wiki", "http://127.0.0.1:1/callback", "return {}")
	ask := map[string]string{"quiet": ""}
	for slug, source := range map[string]string{"harmless": "return {}", "bombs": bomb, "events": events} {
		a := p.seedApplication(b, slug, "http://127.0.0.1:1/"+slug, source)
		ask[slug] = fmt.Sprintf("%s/api/v3/providers/oauth2/%d/preview_user/", p.url(), a.provider)
	}
	turns := []string{"quiet", "harmless", "bombs", "events"}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	defer client.CloseIdleConnections()
	beside := func(url string, forever bool) time.Duration {
		var others sync.WaitGroup
		defer others.Wait()
		end := make(chan struct{})
		defer close(end)
		for range 100 {
			if url == "" {
				break
			}
			others.Go(func() {
				for preview(b, client, url); forever; preview(b, client, url) {
					select {
					case <-end:
						return
					default:
					}
				}
			})
		}
		if forever {
			time.Sleep(time.Second) // until they know each other
		}
		began := time.Now()
		logIn(b, wiki, "alice")
		return time.Since(began)
	}
	for name, forever := range map[string]bool{"at-once": false, "forever": true} {
		b.Run(name, func(b *testing.B) {
			took := map[string][]time.Duration{}
			for b.Loop() {
				for _, turn := range turns {
					took[turn] = append(took[turn], beside(ask[turn], forever))
				}
			}
			for _, turn := range turns {
				slices.Sort(took[turn])
				b.ReportMetric(float64(took[turn][len(took[turn])/2].Microseconds())/1000, "ms-"+turn+"(median)")
			}
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
