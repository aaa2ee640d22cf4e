// The bell and the pages about alerts.
//   <a data-inbox=ID>             opens that popover beside itself, filled anew from /inbox
//   [data-bell]                   the number on the bell; live.js puts what the event "bell" brings into it
//   [data-refetch] (see live.js)  keeps the boxes that were ticked
//   [data-select-all]             ticks all boxes of its form
//   [data-needs-selection]        works once a box of its form is ticked
(function () {
  "use strict";
  var inbox = document.getElementById("inbox");
  var openAtPress = false;

  function fill() {
    var body = document.getElementById("inbox-body");
    fetch("/inbox", { headers: { "HX-Request": "true", "HX-Current-URL": location.href } }).then(function (answer) {
      if (answer.status === 401) { location.reload(); return null; } // the session ended: the page leads to sign-in
      if (!answer.ok) throw new Error(answer.status);
      return answer.text();
    }).then(function (html) {
      if (html === null) return;
      var had = body.contains(document.activeElement) ? document.activeElement : null;
      body.innerHTML = html;
      if (had) (steps().find(like(had)) || inbox).focus({ preventScroll: true }); // who walked ahead of the answer stays there
      if (window.htmx) window.htmx.process(body);
    }).catch(function () { body.innerHTML = inbox.querySelector("[data-inbox-lost]").innerHTML; });
  }

  function place(button) {
    var at = button.getBoundingClientRect(), gap = 8;
    inbox.style.top = at.bottom + gap + "px";
    inbox.style.left = Math.max(gap, Math.min(at.left, window.innerWidth - inbox.offsetWidth - gap)) + "px";
    inbox.style.maxHeight = window.innerHeight - at.bottom - 3 * gap + "px";
  }

  // steps are what Tab stops at inside the inbox.
  function steps() { return Array.from(inbox.querySelectorAll("a[href], button")); }

  // like tells which element is the one that was there before it was fetched anew.
  function like(had) {
    return function (e) { return e.tagName === had.tagName && e.getAttribute("href") === had.getAttribute("href"); };
  }

  if (inbox && inbox.showPopover) {
    var width = window.innerWidth;
    inbox.tabIndex = -1;
    document.querySelectorAll("[data-inbox]").forEach(function (button) {
      button.setAttribute("aria-haspopup", "dialog");
      button.setAttribute("aria-expanded", "false");
      // Pressing beside an open popover closes it, so that the click would open it again.
      button.addEventListener("pointerdown", function () { openAtPress = inbox.matches(":popover-open"); });
      button.addEventListener("click", function (e) {
        if (e.ctrlKey || e.metaKey || e.shiftKey) return;
        e.preventDefault();
        var was = openAtPress || inbox.matches(":popover-open");
        openAtPress = false;
        if (was) { if (inbox.matches(":popover-open")) inbox.hidePopover(); return; }
        inbox.showPopover();
        place(button);
        inbox.focus({ preventScroll: true }); // closing gives it back to the bell
        fill();
      });
    });
    inbox.addEventListener("toggle", function (e) {
      document.querySelectorAll("[data-inbox]").forEach(function (b) { b.setAttribute("aria-expanded", String(e.newState === "open")); });
    });
    // It stands at the end of the page: who steps out of it goes on beside the bell, and not behind all else.
    inbox.addEventListener("keydown", function (e) {
      if (e.key !== "Tab") return;
      var stops = steps(), at = document.activeElement;
      if (e.shiftKey && (at === inbox || at === stops[0])) { e.preventDefault(); inbox.hidePopover(); }
      if (!e.shiftKey && (!stops.length || at === stops[stops.length - 1])) inbox.hidePopover();
    });
    document.addEventListener("htmx:afterSwap", function (e) {
      if (e.target.id === "inbox-body" && inbox.matches(":popover-open") && document.activeElement === document.body) inbox.focus();
    });
    // The bars of a phone's browser come and go while one scrolls, which changes the height alone.
    window.addEventListener("resize", function () {
      if (window.innerWidth !== width && inbox.matches(":popover-open")) inbox.hidePopover();
      width = window.innerWidth;
    });
    document.addEventListener("filaia:bell", function () { if (inbox.matches(":popover-open")) fill(); });
  }

  // ---- rows that can be chosen
  function boxes(form) { return Array.from(form.querySelectorAll("input[type=checkbox][name]")); }
  function count(form) {
    var all = boxes(form), ticked = all.filter(function (b) { return b.checked; }).length;
    form.querySelectorAll("[data-needs-selection]").forEach(function (b) { b.disabled = ticked === 0; });
    form.querySelectorAll("[data-select-all]").forEach(function (b) {
      b.hidden = false;
      b.checked = ticked > 0 && ticked === all.length;
      b.indeterminate = ticked > 0 && ticked < all.length;
    });
  }
  document.addEventListener("change", function (e) {
    var form = e.target.closest && e.target.closest("[data-selection]");
    if (!form || e.target.type !== "checkbox") return;
    if (e.target.matches("[data-select-all]")) boxes(form).forEach(function (b) { b.checked = e.target.checked; });
    count(form);
  });
  var kept = new Map(); // id of a region that is fetched anew → values of its ticked boxes
  document.addEventListener("htmx:beforeSwap", function (e) {
    if (!e.target.matches || !e.target.matches("[data-refetch]")) return;
    kept.set(e.target.id, Array.from(e.target.querySelectorAll("input[type=checkbox][name]:checked"), function (b) { return b.value; }));
  });
  function wake(root) {
    var found = Array.from(root.querySelectorAll("[data-selection]"));
    if (root.matches && root.matches("[data-selection]")) found.push(root);
    found.forEach(function (form) {
      var region = form.closest("[data-refetch]"), values = region && kept.get(region.id);
      if (values) {
        boxes(form).forEach(function (b) { if (values.includes(b.value)) b.checked = true; });
        kept.delete(region.id);
      }
      count(form);
    });
  }
  document.addEventListener("htmx:load", function (e) { wake(e.target); });
  wake(document);
})();
