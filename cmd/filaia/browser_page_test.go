package main

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// The widths at which every page must fit, and the height of both screens.
const desk, phone, screenHeight = 1440, 390, 900

// read evaluates JavaScript in the page.
func read[T any](b *tab, script string) T {
	b.t.Helper()
	value, err := tryRead[T](b, script)
	if err != nil {
		b.t.Fatalf("%s: %v", script, err)
	}
	return value
}

// tryRead is read for a page that may just be on its way to another.
func tryRead[T any](b *tab, script string) (T, error) {
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
}

// do runs steps of chromedp.
func (b *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// await polls until the condition holds in the page. While a page gives way to the next nothing holds.
func (b *tab) await(what, condition string) {
	b.t.Helper()
	within(b.t, patience, what, func() bool {
		ok, err := tryRead[bool](b, "(async () => !!("+condition+"))()")
		return err == nil && ok
	})
}

// quoted writes a text for JavaScript.
func quoted(text string) string {
	b, _ := json.Marshal(text)
	return string(b)
}

func element(selector string) string { return "document.querySelector(" + quoted(selector) + ")" }

// open goes to an address as if typed, and waits for the page that comes, which must be at path.
func (b *tab) open(address, path string) {
	b.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = b.url() + address
	}
	b.do(chromedp.Navigate(address))
	b.arrive(path)
}

// follow clicks on what leads to the page at path, a regular expression, and looks that over.
func (b *tab) follow(selector, path string) {
	b.t.Helper()
	read[bool](b, `window.leaving = true`)
	b.click(selector)
	b.arrive(path)
}

// arrive waits for a page that was not there before.
func (b *tab) arrive(path string) {
	b.t.Helper()
	b.await("the page "+path, `!window.leaving && document.readyState === "complete" &&
		new RegExp(`+quoted("^"+path+"$")+`).test(location.pathname + location.search)`)
	b.await("all of the page "+path, `!document.querySelector("[hx-trigger=load], .htmx-request") &&
		[...document.querySelectorAll("[data-chart]")].every(chart => chart.querySelector("canvas"))`)
	b.lookOver()
}

// lookOver checks what must hold on every page: it fits a desk's screen and a phone's, and keeps what was told once.
func (b *tab) lookOver() {
	b.t.Helper()
	b.visited++
	for _, width := range []int64{desk + phone - b.width, b.width} { // the person's own last
		b.do(chromedp.EmulateViewport(width, screenHeight))
		// The width may come to the page after the word that it was set, and charts follow a frame later.
		b.await("the width", fmt.Sprintf(`window.innerWidth === %d`, width))
		fits := func() bool { return read[float64](b, `document.documentElement.scrollWidth`) <= float64(width) }
		for deadline := time.Now().Add(patience); !fits(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(deadline) {
				b.t.Errorf("%s scrolls sideways at %d px: %s", b.path(), width, read[string](b, fmt.Sprintf(sticksOut, width)))
				break
			}
		}
	}
	// Pages hear of another width with the next frame; what is done after this would otherwise come before it.
	page := read[string](b, `new Promise(requestAnimationFrame).then(() => document.documentElement.outerHTML)`)
	for _, secret := range b.secrets {
		if strings.Contains(page, secret) {
			b.t.Errorf("%s shows a secret again", b.path())
		}
	}
}

// sticksOut names the elements that are wider than the screen.
const sticksOut = `[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > %d + 1).slice(0, 5)
	.map(e => e.tagName + "." + e.getAttribute("class") + " " + Math.round(e.getBoundingClientRect().right)).join(", ")`

func (b *tab) path() string { return read[string](b, `location.pathname + location.search`) }

// visit opens pages that are only to be looked over.
func (b *tab) visit(addresses ...string) {
	b.t.Helper()
	for _, address := range addresses {
		b.open(address, regexp.QuoteMeta(address))
	}
}

// click presses the mouse on the middle of an element, once it stands still there and nothing covers it.
// What has moved away meanwhile was missed, and is clicked on again.
func (b *tab) click(selector string) {
	b.t.Helper()
	within(b.t, patience, "a click on "+selector, func() bool {
		at := b.place(selector)
		b.do(chromedp.MouseClickXY(at[0], at[1]))
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if missed, err := tryRead[bool](b, `window.missed === true`); err != nil || !missed { // or on the way to another page
				return true
			}
		}
		return false
	})
}

// place is where to click on an element.
func (b *tab) place(selector string) (at []float64) {
	b.t.Helper()
	within(b.t, patience, "a way to click "+selector, func() bool {
		var err error
		at, err = tryRead[[]float64](b, fmt.Sprintf(clickable, quoted(selector)))
		return err == nil && len(at) == 2
	})
	return at
}

// clickable gives the middle of an element after two frames in which it did not move, else nothing. The next click tells whether
// it missed the element.
const clickable = `(async () => {
	const frame = () => new Promise(requestAnimationFrame);
	const e = document.querySelector(%s);
	if (!e || e.disabled || !e.checkVisibility()) return null;
	e.scrollIntoViewIfNeeded();
	const middle = () => { const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; };
	const before = middle();
	await frame();
	await frame();
	const now = middle(), hit = document.elementFromPoint(...now);
	const mine = hit && (e.contains(hit) || hit.closest("label")?.control === e);
	if (!mine || before.join() !== now.join()) return null;
	window.missed = true;
	addEventListener("click", c => { window.missed = !(e.contains(c.target) || c.target.closest("label")?.control === e); }, {capture: true, once: true});
	return now;
})()`

// write types into a field in place of what it held, key by key.
func (b *tab) write(name, text string) {
	b.t.Helper()
	field := "[name=" + name + "]"
	b.click(field)
	read[bool](b, element(field)+`.select() || true`)
	b.press(text)
	b.await("what was typed into "+name, element(field)+`.value === `+quoted(text))
}

// press sends keys to what has the focus.
func (b *tab) press(keys string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(keys))
}

// leave goes on to the next field, as one does after typing.
func (b *tab) leave() {
	b.t.Helper()
	b.press(kb.Tab)
}

// choose takes the option of a list whose text begins with label. The list itself is drawn by the system, out of reach.
func (b *tab) choose(name, label string) {
	b.t.Helper()
	chosen := read[bool](b, fmt.Sprintf(`(() => {
		const list = document.querySelector("select[name=%s]");
		const option = [...list.options].find(o => o.text.startsWith(%s));
		if (!option) return false;
		list.focus();
		list.value = option.value;
		for (const kind of ["input", "change"]) list.dispatchEvent(new Event(kind, {bubbles: true}));
		return true;
	})()`, name, quoted(label)))
	if !chosen {
		b.t.Fatalf("%s: there is no %q to choose for %s", b.path(), label, name)
	}
}

// value is what stands in a field.
func (b *tab) value(name string) string {
	b.t.Helper()
	return read[string](b, element("[name="+name+"]")+".value")
}

// text is what an element shows, with plain spaces.
func (b *tab) text(selector string) string {
	b.t.Helper()
	b.await(selector, element(selector))
	return plain(read[string](b, element(selector)+".innerText"))
}

var spaces = regexp.MustCompile(`[\s\x{a0}\x{202f}]+`)

func plain(text string) string { return strings.TrimSpace(spaces.ReplaceAllString(text, " ")) }

// shows fails unless an element shows all the texts.
func (b *tab) shows(selector string, texts ...string) {
	b.t.Helper()
	all := b.text(selector)
	for _, text := range texts {
		if !strings.Contains(all, text) {
			b.t.Errorf("%s does not show %q:\n%s", b.path(), text, all)
		}
	}
}

// copySecret takes what is shown once by its copy button. The box that shows it withstands Esc and clicks beside it;
// its own button closes it and leads to path, and nothing shows the secret from then on.
func (b *tab) copySecret(path string) string {
	b.t.Helper()
	const box = "dialog[data-secret]:modal"
	b.await("the secret's box", element(box))
	b.press(kb.Escape)
	b.press(kb.Escape)
	b.do(chromedp.MouseClickXY(3, 3))
	b.await("the box stays", element(box)+`?.checkVisibility()`)
	secret := b.text("#secret-value")
	b.click("[data-copy=secret-value]")
	b.await("the secret in the clipboard", `await navigator.clipboard.readText() === `+quoted(secret))
	b.secrets = append(b.secrets, secret)
	b.follow("[data-secret-done]", path)
	return secret
}

// navigate goes to a place of the navigation, which a phone shows when asked.
func (b *tab) navigate(path string) {
	b.t.Helper()
	b.sidebar()
	b.follow(`a.nav-item[href="`+path+`"]`, path)
}

func (b *tab) sidebar() {
	b.t.Helper()
	if b.width == phone {
		b.click(".topbar [popovertarget=nav]")
		b.await("the navigation", element("#nav:popover-open"))
	}
}

// menu opens the person's own menu.
func (b *tab) menu() {
	b.t.Helper()
	b.sidebar()
	b.click(".user-button")
	b.await("the menu", element("#user-menu:popover-open"))
}

func (b *tab) signOut() {
	b.t.Helper()
	b.menu()
	b.follow(`form[action="/logout"] button`, "/login")
}

func (b *tab) signIn(email, secret, path string) {
	b.t.Helper()
	b.write("email", email)
	b.write("password", secret)
	b.follow(".form-actions button", path)
}

// language changes the language of the pages; the page that is open comes again.
func (b *tab) language(tag string) {
	b.t.Helper()
	path := regexp.QuoteMeta(b.path())
	b.menu()
	b.follow("[data-preference=lang] button[value="+tag+"]", path)
	if got := read[string](b, `document.documentElement.lang`); got != tag {
		b.t.Errorf("%s is in %s, not in %s", b.path(), got, tag)
	}
}
