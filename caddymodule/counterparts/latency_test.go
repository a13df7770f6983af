package counterparts_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
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
	turns := []string{"quiet", "harmless", "bombs", "events"}
	crowds := map[string]*crowdOfPreviews{"quiet": {}}
	for slug, source := range map[string]string{"harmless": "return {}", "bombs": bomb, "events": events} {
		a := p.seedApplication(b, slug, "http://127.0.0.1:1/"+slug, source)
		crowds[slug] = newCrowdOfPreviews(b, p, a.provider)
	}
	beside := func(crowd *crowdOfPreviews, forever bool) time.Duration {
		var others sync.WaitGroup
		defer others.Wait()
		end := make(chan struct{})
		defer close(end)
		if forever {
			for _, c := range crowd.conns {
				others.Go(func() {
					for crowd.ask(b, c); crowd.answered(b, c); crowd.ask(b, c) {
						select {
						case <-end:
							return
						default:
						}
					}
				})
			}
			time.Sleep(time.Second) // until they know each other
		}
		began := time.Now()
		if !forever {
			for _, c := range crowd.conns {
				crowd.ask(b, c)
			}
		}
		logIn(b, wiki, "alice")
		took := time.Since(began)
		if !forever {
			for _, c := range crowd.conns {
				crowd.answered(b, c)
			}
		}
		return took
	}
	for name, forever := range map[string]bool{"at-once": false, "forever": true} {
		b.Run(name, func(b *testing.B) {
			took := map[string][]time.Duration{}
			for b.Loop() {
				for _, turn := range turns {
					took[turn] = append(took[turn], beside(crowds[turn], forever))
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

// crowdOfPreviews is a hundred connections over which the same is asked. What they send
// is ready beforehand and what comes back may wait: a hundred clients on other machines
// take no processor from the server either.
type crowdOfPreviews struct {
	request []byte
	conns   []*previewer
}

type previewer struct {
	net.Conn
	in *bufio.Reader
}

func newCrowdOfPreviews(b *testing.B, p *postern, provider int) *crowdOfPreviews {
	b.Helper()
	crowd := &crowdOfPreviews{request: fmt.Appendf(nil,
		"GET /api/v3/providers/oauth2/%d/preview_user/ HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n",
		provider, strings.TrimPrefix(p.url(), "http://"), bootstrapToken)}
	for range 100 {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", p.port))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		crowd.conns = append(crowd.conns, &previewer{conn, bufio.NewReader(conn)})
	}
	return crowd
}

func (crowd *crowdOfPreviews) ask(b *testing.B, c *previewer) {
	if _, err := c.Write(crowd.request); err != nil {
		b.Error(err)
	}
}

// answered reads one answer, and reports whether another one may be asked for.
func (crowd *crowdOfPreviews) answered(b *testing.B, c *previewer) bool {
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		b.Error(err)
		return false
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		b.Errorf("preview: %s, %v", resp.Status, err)
		return false
	}
	return true
}
