package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long a page gets to reach a state: much more than it needs, as test machines are busy.
const patience = 60 * time.Second

// tab is a page of a real browser, in the hands of one person at a time.
type tab struct {
	*server
	ctx     context.Context
	watch   *watch
	width   int64    // of the person's screen
	secrets []string // what was shown once, and must not be on any page again
	visited int
}

// openTab starts a browser for somebody who prefers the languages, such as "pt-BR,pt", on a screen of that width. It ends
// with the test, which fails for every complaint of the browser that was not expected.
func openTab(s *server, languages string, width int64) *tab {
	s.t.Helper()
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(findBrowser(s.t)), chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.NoDefaultBrowserCheck, chromedp.WindowSize(int(width), screenHeight), chromedp.Flag("accept-lang", languages),
	}
	for _, off := range []string{"quic", "background-networking", "component-update", "sync", "extensions", "default-apps", "breakpad",
		"dev-shm-usage", "background-timer-throttling", "renderer-backgrounding"} {
		options = append(options, chromedp.Flag("disable-"+off, true))
	}
	// Its profile is a new folder each time, and goes with it.
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closeTab := chromedp.NewContext(allocator)
	b := &tab{server: s, ctx: ctx, width: width, watch: &watch{requests: map[network.RequestID]string{}, expected: map[string]int{}}}
	s.t.Cleanup(func() {
		b.picture()
		b.complain()
		closeTab()
		end()
	})
	if err := chromedp.Listen(ctx, b.watch.see); err != nil {
		s.t.Fatalf("the browser does not start: %v", err)
	}
	for _, name := range []string{"clipboard-read", "clipboard-write"} {
		_, err := chromedp.CallBrowser(ctx, browser.SetPermission, browser.SetPermissionParams{
			Permission: &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSettingGranted, Origin: s.url(),
		})
		if err != nil {
			s.t.Fatalf("the clipboard stays closed: %v", err)
		}
	}
	return b
}

// findBrowser gives the program of Chromium or Chrome.
func findBrowser(t *testing.T) string {
	t.Helper()
	for _, place := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable",
		"/Applications/Chromium.app/Contents/MacOS/Chromium", "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"} {
		if found, err := exec.LookPath(place); err == nil {
			return found
		}
	}
	t.Fatal("neither Chromium nor Chrome is here; make test installs it")
	return ""
}

// picture keeps what the page looked like when the test failed: go test -artifacts tells where.
func (b *tab) picture() {
	if !b.t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(b.ctx, 10*time.Second)
	defer cancel()
	address, _ := chromedp.Run(ctx, chromedp.Location())
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string](`document.body.innerText`))
	b.t.Logf("the page was %s:\n%s", address, text[:min(len(text), 2000)])
	image, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		return
	}
	file := filepath.Join(b.t.ArtifactDir(), "page.png")
	if err := os.WriteFile(file, image, 0o600); err == nil {
		b.t.Logf("its picture: %s", file)
	}
}

// complain fails the test for what the browser found wrong.
func (b *tab) complain() {
	b.watch.mu.Lock()
	defer b.watch.mu.Unlock()
	for _, what := range b.watch.found {
		b.t.Errorf("the browser complains: %s", what)
	}
	for what, missing := range b.watch.expected {
		if missing > 0 {
			b.t.Errorf("the browser was not answered %s", what)
		}
	}
}

// expect lets one answer pass that would be a complaint: a status, or an error of the network, to a method and path.
func (b *tab) expect(answer any, methodAndPath string) {
	b.watch.mu.Lock()
	defer b.watch.mu.Unlock()
	b.watch.expected[fmt.Sprint(answer, " ", methodAndPath)]++
}

// watch collects what a browser finds wrong with pages: errors and warnings in the console, exceptions, what the
// content security policy refused, and requests that failed.
type watch struct {
	mu       sync.Mutex
	requests map[network.RequestID]string // method and path
	expected map[string]int
	found    []string
}

// see is called for every event of the page, in order.
func (w *watch) see(event any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		w.requests[e.RequestID] = e.Request.Method + " " + pathOf(e.Request.URL)
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			w.answered(fmt.Sprint(e.Response.Status, " ", w.requests[e.RequestID]))
		}
	case *network.EventLoadingFailed:
		// What a page still loads when it is left is cancelled.
		if !e.Canceled || e.BlockedReason != "" {
			w.answered(fmt.Sprint(e.ErrorText, e.BlockedReason, " ", w.requests[e.RequestID]))
		}
	case *runtime.EventExceptionThrown:
		w.found = append(w.found, exceptionText(e.ExceptionDetails))
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning || e.Type == runtime.ConsoleAPICalledTypeAssert {
			w.found = append(w.found, "console: "+argumentsText(e.Args))
		}
	case *log.EventEntryAdded:
		// Failed requests are told above, with what is known of them.
		grave := e.Entry.Level == log.EntryLevelError || e.Entry.Level == log.EntryLevelWarning
		if grave && e.Entry.Source != log.EntrySourceNetwork {
			w.found = append(w.found, fmt.Sprintf("%s: %s (%s)", e.Entry.Source, e.Entry.Text, pathOf(e.Entry.URL)))
		}
	}
}

func (w *watch) answered(what string) {
	if w.expected[what] > 0 {
		w.expected[what]--
		return
	}
	w.found = append(w.found, what)
}

// pathOf is an address without its host, and without the token of the set-up link.
func pathOf(address string) string {
	if _, rest, found := strings.Cut(address, "://"); found {
		if slash := strings.IndexByte(rest, '/'); slash >= 0 {
			address = rest[slash:]
		}
	}
	path, _, _ := strings.Cut(address, "?")
	return path
}

func exceptionText(d *runtime.ExceptionDetails) string {
	text := d.Text
	if d.Exception != nil {
		text += " " + d.Exception.Description
	}
	return fmt.Sprintf("exception: %s (%s:%d)", text, pathOf(d.URL), d.LineNumber+1)
}

func argumentsText(args []*runtime.RemoteObject) string {
	var words []string
	for _, a := range args {
		if a.Description != "" {
			words = append(words, a.Description)
		} else {
			words = append(words, string(a.Value))
		}
	}
	return strings.Join(words, " ")
}
