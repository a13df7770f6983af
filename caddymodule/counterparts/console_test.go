package counterparts_test

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/postern-sso/postern/caddymodule/porttest"
)

// A person clicks the single sign-on button of MinIO's console and lands in
// the buckets.
func TestMinIOConsole(t *testing.T) {
	counterpart(t, "POSTERN_TEST_CHROMIUM")
	counterpart(t, "POSTERN_TEST_MINIO")
	p := startPostern(t, bootstrapped()...)
	p.addUser(t, "alice")
	console := "127.0.0.1:" + porttest.Free(t)
	a := p.seedApplication(t, "minio", "http://"+console+"/oauth_callback", `return {"policy": "consoleAdmin"}`)
	m := startMinIO(t, &minioServer{address: "127.0.0.1:" + porttest.Free(t), console: console, dir: t.TempDir()}, openID(a)...)
	m.seed(t)
	ran(t, "minio-console")

	c := openChromium(t)
	c.do(chromedp.Navigate("http://" + console + "/"))
	c.do(chromedp.Click(chromedp.CSS(`#SSOSelector`)))
	c.waitFor(`^` + p.url() + `/if/flow/`)
	c.screenshot("login")
	c.login("alice", password("alice"))
	c.waitFor(`^http://` + console + `/browser`)
	c.shows("bucket")
	c.screenshot("buckets")
}
