// Keeps a page's figures up to date over one event stream.
//   <div data-stream="URL">            what the stream keeps: its [data-part=NAME] are replaced by the event NAME (HTML),
//                                      its charts redrawn by the event "tokens" (JSON, see charts.js)
//   [data-stream-state]                says whether the page is up to date; data-live and data-lost are the words
//   <select data-submit-on-change>     sends its form at once
// A hidden page keeps no connection: a browser has only six to a host. The event "signed-out" leads to the sign-in page.
(function () {
  "use strict";
  var streams = new Map(); // element → {source, wait, timer}

  function say(live) {
    document.querySelectorAll("[data-stream-state]").forEach(function (state) {
      state.hidden = false;
      state.classList.toggle("lost", !live);
      state.querySelector("[data-stream-word]").textContent = live ? state.dataset.live : state.dataset.lost;
    });
  }

  function connection(root, live) {
    say(live);
    root.querySelectorAll("[data-chart]").forEach(function (chart) {
      if (window.filaiaChart) window.filaiaChart.connection(chart.id, live);
    });
  }

  // Text that someone is selecting stays until the next event; the link that has the focus keeps it.
  function replace(part, html) {
    var selection = window.getSelection();
    if (selection && !selection.isCollapsed && part.contains(selection.anchorNode)) return;
    var focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    var scroller = part.querySelector(".table-scroll");
    var left = scroller ? scroller.scrollLeft : 0;
    part.innerHTML = html;
    if (left) part.querySelector(".table-scroll").scrollLeft = left;
    if (window.htmx) {
      window.htmx.process(part);
      window.htmx.trigger(part, "htmx:load"); // what other scripts attach to
    }
    if (focused) {
      var again = Array.from(part.querySelectorAll("a")).find(function (a) { return a.getAttribute("href") === focused; });
      if (again) again.focus({ preventScroll: true });
    }
  }

  function open(root) {
    var stream = streams.get(root);
    if (!stream || stream.source || document.hidden) return;
    var source = stream.source = new EventSource(root.dataset.stream);
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
    found.forEach(function (element) {
      if (!streams.has(element)) streams.set(element, { source: null, wait: 1000, timer: 0 });
      open(element);
    });
  }

  document.addEventListener("visibilitychange", function () {
    streams.forEach(function (stream, root) { if (document.hidden) close(stream); else open(root); });
  });
  window.addEventListener("pagehide", function () { streams.forEach(close); });
  window.addEventListener("pageshow", function (e) { if (e.persisted) streams.forEach(function (_, root) { open(root); }); });
  document.addEventListener("htmx:load", function (e) { follow(e.target); });
  document.addEventListener("change", function (e) {
    if (e.target.matches("[data-submit-on-change]")) e.target.form.requestSubmit();
  });
  follow(document);
})();
