// A setting's form and its JSON are one text: what is typed into a control is written to its place there, and the other way round.
"use strict";
(() => {
  const value = () => document.querySelector("#editor #value");
  const fields = () => [...document.querySelectorAll("#editor [data-path]")];

  function read(field) { // what a control says; undefined for nothing
    const text = field.value.trim();
    if (text === "") return undefined;
    if (field.dataset.kind === "number") return Number.isNaN(Number(text)) ? text : Number(text);
    if (field.dataset.kind === "flag") return text === "true";
    if (field.dataset.kind === "list") return text.split(",").map((each) => each.trim()).filter(Boolean);
    if (field.dataset.kind === "pairs") return Object.fromEntries(text.split("\n").filter((line) => line.trim()).map(pair));
    return text;
  }

  function pair(line) { // without a = the name means itself
    const at = line.lastIndexOf("=");
    return at < 0 ? [line.trim(), line.trim()] : [line.slice(0, at).trim(), line.slice(at + 1).trim()];
  }

  function shown(field, given) {
    if (given === undefined || given === null) return "";
    if (field.dataset.kind === "list") return [given].flat().join(", ");
    if (field.dataset.kind === "pairs") return Object.entries(given).map(([name, word]) => `${name} = ${word}`).join("\n");
    return String(given);
  }

  function put(whole, path, given) {
    const names = path.split("."), last = names.pop(), trail = [];
    let at = whole;
    for (const name of names) {
      if (typeof at[name] !== "object" || at[name] === null) { if (given === undefined) return; at[name] = {}; }
      trail.push([at, name]);
      at = at[name];
    }
    if (given === undefined) delete at[last]; else at[last] = given;
    for (const [outer, name] of trail.reverse()) if (Object.keys(outer[name]).length === 0) delete outer[name];
  }

  function parsed() {
    try { return JSON.parse(value().value); } catch { return null; }
  }

  document.addEventListener("input", (event) => {
    const field = event.target;
    if (field === value()) {
      const whole = parsed();
      if (!whole) return;
      for (const each of fields()) if (each !== document.activeElement) each.value = shown(each, each.dataset.path.split(".").reduce((at, name) => at?.[name], whole));
    } else if (field.dataset?.path) {
      const whole = parsed();
      if (!whole) return window.clicktrail.toast("The JSON below cannot be read: mend it first.", true);
      put(whole, field.dataset.path, read(field));
      value().value = JSON.stringify(whole, null, 2);
      field.removeAttribute("aria-invalid");
    }
  });

  // What the server says is wrong stands beside its control, too.
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id !== "said") return;
    for (const old of document.querySelectorAll("#editor .wrong")) old.remove();
    for (const field of fields()) { field.removeAttribute("aria-invalid"); field.removeAttribute("aria-describedby"); }
    let first = null;
    for (const said of document.querySelectorAll("#said li[data-place]")) {
      const place = said.dataset.place;
      const field = fields().filter((each) => place === each.dataset.path || place.startsWith(`${each.dataset.path}.`)).pop();
      if (!field) continue;
      const note = Object.assign(document.createElement("span"), { className: "wrong", id: `wrong-${field.id}`, textContent: said.dataset.reason });
      field.setAttribute("aria-invalid", "true");
      field.setAttribute("aria-describedby", note.id);
      field.after(note);
      field.closest("details")?.setAttribute("open", "");
      first ??= field;
    }
    first?.focus();
  });
})();
