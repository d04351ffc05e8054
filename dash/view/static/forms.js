// Small comforts for forms; every one of them works without.
(() => {
  "use strict";

  // A question closes with Escape and when another one is asked.
  const questions = () => document.querySelectorAll("details.ask[open]");
  document.addEventListener("keydown", (e) => {
    if (e.key !== "Escape") return;
    for (const d of questions()) { d.open = false; d.querySelector("summary").focus(); }
  });
  document.addEventListener("click", (e) => {
    for (const d of questions()) if (!d.contains(e.target)) d.open = false;
  });

  document.addEventListener("click", async (e) => {
    const b = e.target.closest("button[data-copy], button[data-add]");
    if (!b) return;
    if (b.dataset.add) {
      const list = document.getElementById(b.dataset.add);
      const row = list.lastElementChild.cloneNode(true);
      for (const i of row.querySelectorAll("input, textarea")) i.value = "";
      list.append(row);
      row.querySelector("input").focus();
      return;
    }
    const from = document.getElementById(b.dataset.copy);
    try {
      await navigator.clipboard.writeText(from.textContent.trim());
      b.textContent = b.dataset.done;
    } catch { getSelection().selectAllChildren(from); } // no clipboard on plain http: select it instead
  });

  // A second click on a slow action must not ask for it twice.
  document.addEventListener("submit", (e) => {
    if (e.defaultPrevented || e.target.method === "get") return;
    if (e.target.dataset.sent) { e.preventDefault(); return; }
    e.target.dataset.sent = "yes";
  });
  addEventListener("pageshow", () => { for (const f of document.forms) delete f.dataset.sent; });

  for (const s of document.querySelectorAll("select[data-submit]")) s.addEventListener("change", () => s.form.requestSubmit());
})();
