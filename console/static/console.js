// What the pages need beyond links and forms: short addresses, copying, the theme, toasts, the live tail. Everything else is HTML and htmx.
"use strict";
(() => {
  const one = (selector, root = document) => root.querySelector(selector);

  // An address says only what is set: /events?status=error and not /events?q=&status=error&reason=…
  document.addEventListener("htmx:configRequest", (event) => {
    const given = event.detail.parameters;
    for (const name of Object.keys(given)) if (given[name] === "") delete given[name];
    const csrf = one("meta[name=csrf-token]");
    if (csrf) event.detail.headers["X-CSRF-Token"] = csrf.content;
    const live = new URLSearchParams(location.search).get("live");
    const isList = ["list", "panel"].includes(event.detail.target?.id);
    if (live && isList && !/[?&]live=/.test(event.detail.path)) given.live = live; // addresses were drawn before it was switched on
  });
  document.addEventListener("submit", (event) => {
    if (event.target.method !== "get") return;
    for (const field of event.target.elements) if (field.name && field.value === "") field.disabled = true;
    setTimeout(() => { for (const field of event.target.elements) field.disabled = false; });
  });

  // A refusal replaces nothing: it is said, and the page stays as it was.
  document.addEventListener("htmx:beforeSwap", (event) => {
    if (event.detail.xhr.status < 400) return;
    if (event.detail.xhr.getResponseHeader("X-Problems")) { event.detail.shouldSwap = true; event.detail.isError = false; return; }
    const page = new DOMParser().parseFromString(event.detail.xhr.responseText, "text/html");
    const said = [one(".refusal h1", page), one(".refusal p:not(.code)", page)].map((part) => part?.textContent).filter(Boolean);
    toast(said.join(" ") || `The console answered ${event.detail.xhr.status}.`, true);
  });
  document.addEventListener("htmx:sendError", () => toast("The console does not answer. Is it still running?", true));

  function toast(text, isBad = false) {
    const made = Object.assign(document.createElement("div"), { className: isBad ? "toast bad" : "toast", textContent: text });
    one("#toasts").append(made);
    setTimeout(() => made.remove(), isBad ? 8000 : 2500);
  }

  async function copy(text, said = "Copied") {
    try {
      await navigator.clipboard.writeText(text);
    } catch { // no permission, or no secure context: the old way
      const area = Object.assign(document.createElement("textarea"), { value: text });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    toast(said);
  }

  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-copy], [data-opens], [data-clears], [data-line], .menu-button, #live");
    if (!target) return;
    if (target.dataset.copy !== undefined) copy(target.dataset.copy);
    else if (target.dataset.opens) one(`#${target.dataset.opens}`).showModal();
    else if (target.dataset.line) goTo(Number(target.dataset.line));
    else if (target.matches(".menu-button")) target.setAttribute("aria-expanded", String(target.parentElement.classList.toggle("is-open")));
    else if (target.id === "live") setLive(!isLive());
    else if (target.dataset.clears !== undefined) { event.preventDefault(); location.assign(location.pathname); }
  });

  function goTo(line) { // selects a line of the editor
    const field = one("textarea.code"), lines = field.value.split("\n"), begin = lines.slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
    field.closest("details")?.setAttribute("open", "");
    field.focus();
    field.setSelectionRange(begin, begin + (lines[line - 1] ?? "").length);
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.closest("[data-enter-sends]")) event.target.form.requestSubmit();
  });

  // The search field has been followed while it was typed in: leaving it must not ask again, and take the row away that has the focus.
  document.addEventListener("change", (event) => { if (event.target.id === "search") event.stopImmediatePropagation(); }, true);

  document.addEventListener("change", (event) => {
    if (event.target.dataset.sends !== undefined) event.target.form.requestSubmit();
    if (event.target.id !== "theme") return;
    document.cookie = `theme=${event.target.value}; path=/; max-age=31536000; samesite=lax`;
    document.documentElement.dataset.theme = event.target.value;
    document.dispatchEvent(new Event("themechange"));
  });

  // Selected row and panel follow each other.
  document.addEventListener("htmx:afterSwap", (event) => {
    const opened = new URLSearchParams(location.search).get("open");
    for (const row of document.querySelectorAll("tr[data-row]")) {
      const link = one("a.row", row);
      if (opened && new URL(link.href).searchParams.get("open") === opened) row.setAttribute("aria-selected", "true");
      else row.removeAttribute("aria-selected");
    }
    if (event.detail.target.id === "panel") one("#panel-title")?.focus({ preventScroll: true });
    if (event.detail.target.id === "list") follow();
  });
  document.addEventListener("htmx:afterSettle", follow);

  // Live tail: the server says how many are new, the reader decides when they are shown. It is opened anew when the filter changes.
  let source = null, followed = "", count = 0;
  const isLive = () => new URLSearchParams(location.search).has("live");

  function setLive(wanted) {
    const here = new URL(location.href);
    if (wanted) here.searchParams.set("live", "1"); else here.searchParams.delete("live");
    history.replaceState(history.state, "", here);
    one("#live").setAttribute("aria-pressed", String(wanted));
    toast(wanted ? "Live: new events are announced" : "Live is off");
    follow();
  }

  function follow() {
    const list = one("#list"), button = one("#live");
    if (!list || !button) return;
    const query = new URLSearchParams(location.search);
    for (const name of ["open", "tab", "form", "cursor", "limit", "live"]) query.delete(name);
    const wanted = isLive() ? `/api/v1/stream/events?${query}` : "";
    button.setAttribute("aria-pressed", String(isLive()));
    if (wanted === followed && source?.readyState !== 2) return announce();
    source?.close();
    [source, followed, count] = [null, wanted, 0];
    announce();
    if (!wanted) return;
    source = new EventSource(wanted);
    source.addEventListener("rows", (event) => { const said = JSON.parse(event.data); count += said.total || (said.missed ? 1 : 0); announce(); });
    source.addEventListener("open", () => { button.dataset.state = "open"; });
  }

  function announce() {
    const link = one("#newer");
    if (!link) return;
    link.hidden = count === 0;
    link.textContent = `${count} new – show`;
    document.title = document.title.replace(/^\(\d+\) /, "") ;
    if (count) document.title = `(${count}) ${document.title}`;
  }
  document.addEventListener("click", (event) => { if (event.target.closest("#newer")) count = 0; });

  window.clicktrail = { toast, copy, setLive, isLive };
  document.addEventListener("DOMContentLoaded", follow);
})();
