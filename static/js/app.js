// Behaviour for the components of views/ui, attached to data-… attributes:
//   data-open=ID / data-close      open and close a <dialog>
//   data-must-match=NAME           keeps the form's button disabled until NAME is typed
//   data-secret, data-secret-done  a dialog that only its own button closes
//   data-copy=ID, data-copied      copy an element's text; what the button then says
//   data-reveal=ID                 show or hide a password
//   data-number=integer            group digits by threes when the field is left
//   data-filter=ID                 shows only the children of that list whose data-text has what is typed
//   data-check-shown=ID            ticks all boxes of that list that are shown
//   data-form                      one submission at a time
//   data-preference=theme          take effect at once, before the server has answered
//   data-search                    focused by / and Ctrl-K
//   data-toast, data-dismiss       a note that goes away
// Everything is delegated from the document, so that what htmx swaps in works as well.
(function () {
  "use strict";

  // ---- menus: the browser opens and closes popovers; here they are put beside their button.
  function place(menu) {
    var button = document.querySelector('[popovertarget="' + menu.id + '"]');
    if (!button || !menu.classList.contains("menu")) return;
    var at = button.getBoundingClientRect();
    var gap = 6;
    var below = at.bottom + gap + menu.offsetHeight <= window.innerHeight;
    var top = below ? at.bottom + gap : Math.max(gap, at.top - gap - menu.offsetHeight);
    var left = menu.classList.contains("menu-user") ? at.left : at.right - menu.offsetWidth;
    var main = document.getElementById("main"); // a button at the page's left has no room before it
    if (main.contains(button) && left < main.getBoundingClientRect().left) left = at.left;
    left = Math.min(Math.max(gap, left), window.innerWidth - menu.offsetWidth - gap);
    menu.style.top = top + "px";
    menu.style.left = left + "px";
  }
  document.addEventListener("toggle", function (e) {
    if (e.newState !== "open") return;
    place(e.target);
    var first = e.target.querySelector("a, button");
    if (first && e.target.classList.contains("menu")) first.focus({ preventScroll: true });
  }, true);
  window.addEventListener("scroll", closeMenus, { passive: true, capture: true });
  window.addEventListener("resize", closeMenus);
  function closeMenus() {
    document.querySelectorAll(".menu:popover-open").forEach(function (m) { m.hidePopover(); });
  }
  document.addEventListener("keydown", function (e) {
    var menu = e.target.closest && e.target.closest(".menu");
    if (!menu || (e.key !== "ArrowDown" && e.key !== "ArrowUp")) return;
    var items = Array.from(menu.querySelectorAll("a, button"));
    var next = items.indexOf(document.activeElement) + (e.key === "ArrowDown" ? 1 : -1);
    items[(next + items.length) % items.length].focus();
    e.preventDefault();
  });

  // ---- dialogs
  document.addEventListener("click", function (e) {
    var opener = e.target.closest("[data-open]");
    if (opener) {
      var dialog = document.getElementById(opener.dataset.open);
      closeMenus();
      if (dialog) dialog.showModal();
      return;
    }
    if (e.target.closest("[data-close]")) e.target.closest("dialog").close();
  });
  document.addEventListener("input", function (e) {
    if (!e.target.matches("[data-must-match]")) return;
    var submit = e.target.form.querySelector("[type=submit]");
    submit.disabled = e.target.value.trim() !== e.target.dataset.mustMatch;
  });

  // ---- the secret that is shown once
  function guard(dialog) {
    var done = false;
    dialog.close();
    dialog.addEventListener("cancel", function (e) { e.preventDefault(); });
    // A second Esc closes a dialog without asking, so it never gets to see one.
    dialog.addEventListener("keydown", function (e) { if (e.key === "Escape") e.preventDefault(); });
    dialog.addEventListener("close", function () { if (!done) dialog.showModal(); });
    dialog.addEventListener("click", function (e) { done = done || !!e.target.closest("[data-secret-done]"); });
    dialog.showModal();
  }

  // ---- small things in forms
  document.addEventListener("click", function (e) {
    var copy = e.target.closest("[data-copy]");
    if (copy) copyText(copy);
    var reveal = e.target.closest("[data-reveal]");
    if (reveal) {
      var input = document.getElementById(reveal.dataset.reveal);
      var shown = input.type === "text";
      input.type = shown ? "password" : "text";
      reveal.setAttribute("aria-pressed", String(!shown));
    }
    var dismiss = e.target.closest("[data-dismiss]");
    if (dismiss) dismiss.closest("[data-toast]").remove();
  });

  function copyText(button) {
    var source = document.getElementById(button.dataset.copy);
    var text = source.textContent;
    var copied = navigator.clipboard
      ? navigator.clipboard.writeText(text)
      : Promise.reject(new Error("no clipboard outside https"));
    copied.catch(function () { select(source); if (!document.execCommand("copy")) throw new Error("not copied"); })
      .then(function () {
        var word = button.querySelector("span");
        var before = word.textContent;
        if (before === button.dataset.copied) return;
        word.textContent = button.dataset.copied;
        button.classList.add("done");
        setTimeout(function () { word.textContent = before; button.classList.remove("done"); }, 2000);
      })
      .catch(function () { select(source); }); // leave it selected, ready for Ctrl-C
  }
  function select(element) {
    var range = document.createRange();
    range.selectNodeContents(element);
    var selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  }

  document.addEventListener("focusout", function (e) {
    if (!e.target.matches('[data-number="integer"]')) return;
    var english = document.documentElement.lang === "en", mark = english ? "," : ".";
    // Only what can be a whole number: 1,5 and 1.5 stay as they are, and the server says what is wrong with them.
    if (!(english ? /^\d+([,\s]\d{3,})*$/ : /^\d+([.\s]\d{3,})*$/).test(e.target.value.trim())) return;
    var digits = e.target.value.replace(/[.,\s]/g, "");
    e.target.value = digits.replace(/\B(?=(\d{3})+$)/g, mark);
  });

  // ---- long lists of boxes
  document.addEventListener("input", function (e) {
    if (!e.target.matches("[data-filter]")) return;
    var wanted = e.target.value.trim().toLowerCase();
    Array.from(document.getElementById(e.target.dataset.filter).children).forEach(function (item) {
      item.hidden = !item.dataset.text.toLowerCase().includes(wanted);
    });
  });
  ["keydown", "keypress"].forEach(function (kind) {
    document.addEventListener(kind, function (e) {
      if (e.key === "Enter" && e.target.matches("[data-filter]")) e.preventDefault(); // it would send the form
    });
  });
  document.addEventListener("click", function (e) {
    var all = e.target.closest("[data-check-shown]");
    if (!all) return;
    document.querySelectorAll("#" + all.dataset.checkShown + " > :not([hidden]) input:not(:disabled)").forEach(function (box) { box.checked = true; });
  });

  document.addEventListener("submit", function (e) {
    var form = e.target;
    if (e.defaultPrevented || !form.matches("[data-form]")) return;
    if (form.dataset.sent) { e.preventDefault(); return; }
    if (form.hasAttribute("hx-post")) return;
    form.dataset.sent = "yes";
    busy(1);
    var button = e.submitter || form.querySelector("[type=submit]");
    if (button) button.setAttribute("aria-busy", "true");
  });
  // A page that comes back from the browser's memory must be usable again.
  window.addEventListener("pageshow", function (e) {
    if (!e.persisted) return;
    requests = 0;
    busy(0);
    document.querySelectorAll("[data-sent]").forEach(function (f) { delete f.dataset.sent; });
    document.querySelectorAll("[aria-busy]").forEach(function (b) { b.removeAttribute("aria-busy"); });
  });

  document.addEventListener("submit", function (e) {
    if (!e.target.matches('[data-preference="theme"]') || !e.submitter) return;
    document.documentElement.dataset.themeChoice = e.submitter.value;
  });

  // ---- progress and failures of htmx requests
  var requests = 0;
  function busy(change) {
    requests = Math.max(0, requests + change);
    document.getElementById("progress").classList.toggle("on", requests > 0);
  }
  document.addEventListener("htmx:beforeRequest", function () { busy(1); });
  document.addEventListener("htmx:afterRequest", function () { busy(-1); });
  document.addEventListener("htmx:responseError", function (e) {
    if (e.detail.xhr.status === 401) { window.location.reload(); return; } // the session ended: the page leads to sign-in
    toast(told(e.detail.xhr) || document.body.dataset.errorText);
  });
  // What the server says of a failure comes as plain text; a proxy's error page does not.
  function told(xhr) {
    return (xhr.getResponseHeader("Content-Type") || "").startsWith("text/plain") ? xhr.responseText : "";
  }
  document.addEventListener("htmx:sendError", function () { toast(document.body.dataset.offlineText); });

  function toast(text) {
    var note = document.createElement("div");
    note.className = "toast-note tone-bad";
    note.setAttribute("role", "alert");
    note.dataset.toast = "";
    note.textContent = text;
    document.getElementById("toasts").append(note);
    expire(note);
  }
  function expire(note) {
    setTimeout(function () { if (!note.matches(":hover, :focus-within")) note.remove(); else expire(note); }, 6000);
  }

  // ---- keyboard
  document.addEventListener("keydown", function (e) {
    var typing = e.target.closest("input, textarea, select, [contenteditable]");
    var wanted = (e.key === "/" && !typing) || (e.key.toLowerCase() === "k" && (e.ctrlKey || e.metaKey));
    var search = document.querySelector("[data-search]");
    if (wanted && search && !document.querySelector("dialog[open]")) {
      e.preventDefault();
      search.focus();
      search.select();
    }
  });

  // ---- tables: a head sticks to the window only while its table needs no scrolling of its own
  var widths = new ResizeObserver(function (entries) {
    entries.forEach(function (e) {
      var box = e.target.closest(".table-scroll"), table = box.querySelector("table");
      box.classList.toggle("fits", table.offsetWidth <= box.clientWidth + 1);
    });
  });

  // ---- what has to be woken once it is on the page
  function wake(root) {
    root.querySelectorAll("[data-copy], [data-reveal], [data-dismiss], [data-check-shown]").forEach(function (b) { b.hidden = false; });
    root.querySelectorAll("[data-toast]:not([data-expires])").forEach(function (n) { n.dataset.expires = ""; expire(n); });
    root.querySelectorAll(".datatable .table-scroll, .datatable .table-scroll > table").forEach(function (box) { widths.observe(box); });
    root.querySelectorAll("dialog[data-secret]:not(:modal)").forEach(guard);
  }
  document.addEventListener("htmx:load", function (e) { wake(e.target); });
  wake(document);
})();
