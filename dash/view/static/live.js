// Live pages: the server renders fragments again and sends them as events; the
// page is changed in place, so that focus, scroll and open details stay.
(() => {
  "use strict";

  // same tells whether an old node may become the new one: keyed nodes (id, data-key) only become themselves.
  const key = (n) => (n.nodeType === 1 ? n.id || n.dataset.key || "" : "");
  const same = (a, b) => a && a.nodeType === b.nodeType && a.nodeName === b.nodeName && key(a) === key(b);

  function attributes(from, to) {
    for (const a of [...from.attributes]) {
      // What a person did to the page is theirs: open details stay open.
      if (!to.hasAttribute(a.name) && !(a.name === "open" && from.nodeName === "DETAILS")) from.removeAttribute(a.name);
    }
    for (const a of to.attributes) if (from.getAttribute(a.name) !== a.value) from.setAttribute(a.name, a.value);
  }

  function morph(from, to) {
    if (from.nodeType !== 1) {
      if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
      return;
    }
    attributes(from, to);
    children(from, to);
  }

  function children(from, to) {
    let at = from.firstChild;
    for (const want of [...to.childNodes]) {
      let have = at;
      while (have && !same(have, want)) have = have.nextSibling;
      if (have && (have === at || key(want))) {
        if (have === at) at = at.nextSibling;
        else from.insertBefore(have, at);
        morph(have, want);
      } else {
        from.insertBefore(want, at);
      }
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  }

  function parse(html) {
    const t = document.createElement("template");
    t.innerHTML = html;
    return t.content;
  }

  function replace({ id, html }) {
    const el = document.getElementById(id);
    if (el) children(el, parse(html));
  }

  const keep = 5000; // lines on the page; the whole log is one link away

  function append({ id, html }) {
    const el = document.getElementById(id);
    if (!el) return;
    const bottom = el.scrollHeight - el.scrollTop - el.clientHeight < 40;
    el.querySelector(".none")?.remove();
    el.append(parse(html));
    while (el.childElementCount > keep) el.firstElementChild.remove();
    if (bottom) el.scrollTop = el.scrollHeight;
  }

  for (const log of document.querySelectorAll(".log")) log.scrollTop = log.scrollHeight;

  const url = document.body.dataset.live;
  if (!url || !window.EventSource) return;
  const state = document.getElementById("live-state");
  const show = (name) => {
    if (!state) return;
    state.hidden = false;
    state.className = "live-state " + name;
    state.textContent = state.getAttribute("data-text-" + name);
  };
  let source;
  let retry;

  function open() {
    clearTimeout(retry);
    source = new EventSource(url);
    source.addEventListener("open", () => show("on"));
    source.addEventListener("fragment", (e) => replace(JSON.parse(e.data)));
    source.addEventListener("log", (e) => append(JSON.parse(e.data)));
    source.addEventListener("end", () => { source.close(); if (state) state.hidden = true; });
    source.addEventListener("error", () => {
      show("off");
      // The browser retries a broken line itself, but gives up on a refused one.
      if (source.readyState === EventSource.CLOSED) retry = setTimeout(again, 3000);
    });
  }

  // again opens the stream once the server answers; a login that is over shows as such.
  async function again() {
    try {
      const res = await fetch(location.href);
      if (res.redirected || res.status === 404) location.reload();
      else open();
    } catch { retry = setTimeout(again, 3000); }
  }

  open();
  addEventListener("pagehide", () => { clearTimeout(retry); source.close(); });
  addEventListener("pageshow", (e) => { if (e.persisted) location.reload(); });
})();
