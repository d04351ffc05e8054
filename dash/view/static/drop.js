// The deploy form: drop a file, take its name as a suggestion, check the name
// while it is typed, upload with progress. Without this script it is a plain form.
(() => {
  "use strict";
  const form = document.getElementById("deploy-form");
  if (!form) return;
  const text = form.dataset;
  const zone = form.querySelector(".drop");
  const file = form.querySelector("input[type=file]");
  const name = form.querySelector("input[name=name]");
  const hint = document.getElementById("name-hint");
  const progress = document.getElementById("upload");
  const problem = document.getElementById("deploy-problem");
  const fill = (s, ...v) => s.replace(/%s/g, () => v.shift());
  const size = (n) => (n < 1e6 ? (n / 1e3).toFixed(1) + " kB" : n < 1e9 ? (n / 1e6).toFixed(1) + " MB" : (n / 1e9).toFixed(2) + " GB");

  // suggest turns "My Shop-1.2.3.tar.gz" into "my-shop": versions change, the app's name does not.
  function suggest(filename) {
    return filename.toLowerCase()
      .replace(/\.(tar\.gz|tgz|war|jar|zip|tar)$/, "")
      .replace(/[-_.]v?\d+(\.\d+)*([-_.](snapshot|release|final))?$/, "")
      .replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 50).replace(/-+$/, "");
  }

  function chosen() {
    const f = file.files[0];
    zone.classList.toggle("has", Boolean(f));
    zone.querySelector("strong").textContent = f ? f.name : text.drop;
    zone.querySelector(".faint").textContent = f ? fill(text.chosen, size(f.size)) : text.kinds;
    if (f && name && name.type !== "hidden" && (!name.value || name.dataset.auto === name.value)) {
      name.value = name.dataset.auto = suggest(f.name);
      check();
    }
    if (f && name && name.type !== "hidden") { name.focus(); name.select(); }
  }

  let asked = 0;
  let timer;
  function check() {
    clearTimeout(timer);
    if (!hint) return;
    const value = name.value;
    if (!value) { hint.textContent = ""; hint.className = "hint"; return; }
    timer = setTimeout(async () => {
      const n = ++asked;
      try {
        const res = await fetch(text.check + encodeURIComponent(value), { headers: { Accept: "application/json" } });
        const said = await res.json();
        if (n !== asked) return; // a later question is under way
        hint.textContent = said.text;
        hint.className = "hint " + (said.ok ? "ok" : "bad");
        name.setAttribute("aria-invalid", String(!said.ok));
      } catch { /* the server checks again when the form is sent */ }
    }, 200);
  }

  function upload(e) {
    if (!file.files[0]) return; // an image reference: a plain form does
    e.preventDefault();
    const started = Date.now();
    const req = new XMLHttpRequest();
    const bar = progress.querySelector("progress");
    const words = progress.querySelector("p");
    const button = form.querySelector("button[type=submit]");
    progress.hidden = false;
    problem.replaceChildren();
    button.disabled = true;
    req.upload.onprogress = (p) => {
      bar.value = p.total ? p.loaded / p.total : 0;
      const rate = p.loaded / Math.max(0.1, (Date.now() - started) / 1000);
      words.textContent = p.loaded < p.total ? fill(text.sending, size(p.loaded), size(p.total), size(rate)) : text.checking;
    };
    const failed = (html) => {
      progress.hidden = true;
      button.disabled = false;
      if (html) problem.innerHTML = html; // rendered and escaped by the server
      else problem.textContent = text.broken;
      problem.scrollIntoView({ block: "nearest" });
      problem.focus();
    };
    req.onload = () => {
      let said = {};
      try { said = JSON.parse(req.responseText); } catch { /* not ours: a proxy's page */ }
      if (said.location) location.href = said.location;
      else failed(said.html);
    };
    req.onerror = () => failed("");
    req.onabort = () => { progress.hidden = true; button.disabled = false; };
    progress.querySelector("button").onclick = () => req.abort();
    req.open("POST", form.action);
    req.setRequestHeader("Accept", "application/json");
    const data = new FormData(form);
    data.delete("file");
    data.append("file", file.files[0]); // last: what else is wrong is said before it is sent
    req.send(data);
  }

  for (const ev of ["dragenter", "dragover"]) zone.addEventListener(ev, () => zone.classList.add("over"));
  for (const ev of ["dragleave", "drop"]) zone.addEventListener(ev, () => zone.classList.remove("over"));
  // A file dropped beside the zone must not make the browser leave the page.
  for (const ev of ["dragover", "drop"]) {
    addEventListener(ev, (e) => {
      if (e.target === file) return;
      e.preventDefault();
      if (ev === "drop" && e.dataTransfer.files.length) { file.files = e.dataTransfer.files; chosen(); }
    });
  }
  file.addEventListener("change", chosen);
  name?.addEventListener("input", check);
  form.addEventListener("submit", upload);
})();
