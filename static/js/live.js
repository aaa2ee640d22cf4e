// Keeps a page's figures up to date over one event stream.
//   <div data-stream="URL">            what the stream keeps: its [data-part=NAME] are replaced by the event NAME (HTML),
//                                      its charts redrawn by the event "tokens" (JSON, see charts.js)
//   [data-stream-state]                says whether the page is up to date; data-live and data-lost are the words
//   <div data-poll="URL" data-every="MS">  is replaced by the part of the page at URL, again and again
//   [data-refetch=NAME]                what the event NAME makes ask for itself again (htmx trigger "refetch"), unless the event's
//                                      text is its data-mark
//   [data-bell], [data-bell-stream]    the number on the bell comes on every stream; a page without one opens the bell's, once somebody
//                                      has stayed on it for a moment: who walks through pages needs no connection on each
//   <select data-submit-on-change>     sends its form at once
// A hidden page keeps no connection: a browser has only six to a host. The event "signed-out" leads to the sign-in page.
(function () {
  "use strict";
  var pageRows = 51; // who has fetched older rows reads them; what comes then waits for the next visit
  var bellAfter = 2000; // ms
  var streams = new Map(); // element → {source, wait, timer}

  function say(live) {
    document.querySelectorAll("[data-stream-state]").forEach(function (state) {
      state.hidden = false;
      state.classList.toggle("lost", !live);
      state.querySelector("[data-stream-word]").textContent = live ? state.dataset.live : state.dataset.lost;
    });
  }

  function connection(root, live) {
    if (!root.dataset.stream) return; // the bell says nothing of the page
    say(live);
    root.querySelectorAll("[data-chart]").forEach(function (chart) {
      if (window.filaiaChart) window.filaiaChart.connection(chart.id, live);
    });
  }

  // What tells a link or a button from the others.
  function mark(element) { return element.getAttribute("href") || element.getAttribute("popovertarget") || element.id; }

  // What is pressed stays until it is let go: a click is lost on what came in its place meanwhile.
  var pressed = null, waiting = new Map(); // part → what has come for it
  document.addEventListener("pointerdown", function (e) { if (e.button === 0) pressed = e.target; }, true);
  ["pointerup", "pointercancel", "contextmenu"].forEach(function (end) {
    document.addEventListener(end, function () {
      setTimeout(function () { // the click comes first
        var due = waiting;
        waiting = new Map();
        pressed = null;
        due.forEach(function (html, part) { replace(part, html); });
      });
    }, true);
  });

  // Text that someone is selecting stays until the next event; the link or menu button that has the focus keeps it.
  function replace(part, html) {
    if (part.contains(pressed)) { waiting.set(part, html); return; }
    var selection = window.getSelection();
    if (selection && !selection.isCollapsed && part.contains(selection.anchorNode)) return;
    var focused = part.contains(document.activeElement) ? mark(document.activeElement) : null;
    var left = Array.from(part.querySelectorAll(".table-scroll"), function (s) { return s.scrollLeft; });
    part.innerHTML = html;
    part.querySelectorAll(".table-scroll").forEach(function (s, i) { if (left[i]) s.scrollLeft = left[i]; });
    if (window.htmx) {
      window.htmx.process(part);
      window.htmx.trigger(part, "htmx:load"); // what other scripts attach to
    }
    if (focused) {
      var again = Array.from(part.querySelectorAll("a, button")).find(function (a) { return mark(a) === focused; });
      if (again) again.focus({ preventScroll: true });
    }
  }

  function open(root) {
    var stream = streams.get(root);
    if (!stream || stream.source || document.hidden) return;
    var source = stream.source = new EventSource(root.dataset.stream || root.dataset.bellStream);
    source.onopen = function () { stream.wait = 1000; connection(root, true); };
    // EventSource gives up on an answer that is no stream; so every failure is retried here, ever slower.
    source.onerror = function () {
      close(stream);
      connection(root, false);
      stream.timer = setTimeout(function () { open(root); }, stream.wait * (0.75 + Math.random() / 2));
      stream.wait = Math.min(stream.wait * 2, 30000);
    };
    source.addEventListener("signed-out", function () { close(stream); location.reload(); });
    source.addEventListener("tokens", function (e) {
      var data = JSON.parse(e.data);
      root.querySelectorAll('[data-chart="tokens"]').forEach(function (chart) {
        if (window.filaiaChart) window.filaiaChart.update(chart.id, data);
      });
    });
    source.addEventListener("bell", function (e) {
      var fresh = document.createElement("template"), changed = false;
      fresh.innerHTML = e.data;
      document.querySelectorAll("[data-bell]").forEach(function (bell) {
        if (bell.textContent.trim() === fresh.content.textContent.trim()) return; // or it would be read out again
        bell.replaceChildren(fresh.content.cloneNode(true));
        changed = true;
      });
      if (changed) document.dispatchEvent(new CustomEvent("filaia:bell"));
    });
    ["alerts", "alert"].forEach(function (name) {
      source.addEventListener(name, function (e) {
        document.querySelectorAll('[data-refetch="' + name + '"]').forEach(function (region) {
          if (region.dataset.mark === e.data || !window.htmx || region.querySelector(":popover-open") || region.querySelectorAll("tbody > tr").length > pageRows) return;
          window.htmx.trigger(region, "refetch");
        });
      });
    });
    root.querySelectorAll("[data-part]").forEach(function (part) {
      source.addEventListener(part.dataset.part, function (e) { replace(part, e.data); });
    });
  }

  function close(stream) {
    clearTimeout(stream.timer);
    if (stream.source) stream.source.close();
    stream.source = null;
  }

  function follow(root) {
    streams.forEach(function (stream, element) {
      if (element.isConnected) return;
      close(stream);
      streams.delete(element);
    });
    var found = Array.from(root.querySelectorAll("[data-stream]"));
    if (root.matches && root.matches("[data-stream]")) found.push(root);
    var bell = document.querySelector("[data-bell-stream]");
    if (bell && !document.querySelector("[data-stream]")) found.push(bell);
    else if (streams.has(bell)) { close(streams.get(bell)); streams.delete(bell); }
    found.forEach(function (element) {
      if (streams.has(element)) { if (element !== bell) open(element); return; }
      var stream = { source: null, wait: 1000, timer: 0 };
      streams.set(element, stream);
      if (element === bell) stream.timer = setTimeout(function () { open(element); }, bellAfter);
      else open(element);
    });
  }

  // ---- parts that are asked for. Nothing changes under an open menu or question, nor on a hidden page.
  var polls = new Map(); // element → timer
  function poll(root) {
    polls.forEach(function (timer, element) {
      if (element.isConnected) return;
      clearTimeout(timer);
      polls.delete(element);
    });
    root.querySelectorAll("[data-poll]").forEach(function (element) {
      if (!polls.has(element)) next(element, true);
    });
  }
  function next(element, live) {
    say(live);
    polls.set(element, setTimeout(function () { ask(element); }, Number(element.dataset.every)));
  }
  function busy(element) { return document.hidden || element.querySelector("dialog[open], :popover-open"); }
  function ask(element) {
    if (!element.isConnected) { polls.delete(element); return; }
    if (busy(element)) { next(element, true); return; }
    fetch(element.dataset.poll, { headers: { "HX-Request": "true" } }).then(function (answer) {
      if (answer.status === 401) { location.reload(); return null; } // the session ended: the page leads to sign-in
      if (!answer.ok) throw new Error(answer.status);
      return answer.text();
    }).then(function (html) {
      if (html === null) return;
      if (!busy(element)) replace(element, html);
      next(element, true);
    }).catch(function () { next(element, false); });
  }

  document.addEventListener("visibilitychange", function () {
    streams.forEach(function (stream, root) { if (document.hidden) close(stream); else open(root); });
  });
  window.addEventListener("pagehide", function () { streams.forEach(close); });
  window.addEventListener("pageshow", function (e) { if (e.persisted) streams.forEach(function (_, root) { open(root); }); });
  document.addEventListener("htmx:load", function (e) { follow(e.target); poll(e.target); });
  document.addEventListener("change", function (e) {
    if (e.target.matches("[data-submit-on-change]")) e.target.form.requestSubmit();
  });
  follow(document);
  poll(document);
})();
