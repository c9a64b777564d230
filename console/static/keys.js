// The keyboard: / search, j k rows, Enter opens (the link has the focus), Esc closes, l live, c copies the link, ? help.
"use strict";
document.addEventListener("keydown", (event) => {
  const field = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "Escape" && !document.querySelector("dialog[open]")) {
    if (field) {
      event.preventDefault(); // a search field would empty itself
      return field.blur();
    }
    return document.querySelector("#panel .close")?.click();
  }
  if (field || event.ctrlKey || event.metaKey || event.altKey) return;
  const acts = {
    "/": () => document.querySelector("#search")?.focus(),
    "j": () => step(1),
    "k": () => step(-1),
    "l": () => document.querySelector("#live") && window.clicktrail.setLive(!window.clicktrail.isLive()),
    "c": () => window.clicktrail.copy(location.href, "Link copied"),
    "?": () => document.querySelector("#keys-help").showModal(),
  };
  if (!acts[event.key]) return;
  event.preventDefault();
  acts[event.key]();

  function step(by) {
    const rows = [...document.querySelectorAll("a.row")];
    const at = rows.findIndex((row) => row.closest("tr").contains(document.activeElement));
    const from = at >= 0 ? at : rows.findIndex((row) => row.closest("tr").ariaSelected === "true");
    rows[Math.max(0, Math.min(rows.length - 1, from + by))]?.focus();
  }
});
