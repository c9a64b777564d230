// Charts, drawn from the tables beside them: the table is the truth and the twin, so the two cannot disagree. A histogram is stacked bars, of
// which a range can be drawn to filter by it; everything else is lines or points.
"use strict";
(() => {
  const MEANING = { ok: "--ok", success: "--ok", delivered: "--ok", created: "--ok", error: "--error", failure: "--error", deleted: "--error",
    discarded: "--gray", deduplicated: "--strong-line", info: "--gray", updated: "--warn", recorded: "--ok", "not recorded": "--gray" };
  const PALETTE = ["--accent", "--warn", "--ok", "--gray", "--error", "--strong-line"];
  const probe = document.createElement("i");

  function colour(name) {
    probe.style.color = `var(${name})`;
    document.body.append(probe);
    const found = getComputedStyle(probe).color;
    probe.remove();
    return found;
  }

  function read(figure) {
    const heads = [...figure.querySelectorAll("thead th")].slice(1);
    const rows = [...figure.querySelectorAll("tbody tr")];
    const number = (cell) => cell.dataset.y ?? cell.textContent;
    return {
      names: heads.map((head) => head.textContent),
      colours: heads.map((head, at) => MEANING[head.dataset.colour] ?? PALETTE[at % PALETTE.length]),
      x: rows.map((row) => Number(row.querySelector("th").dataset.x)),
      y: heads.map((_, at) => rows.map((row) => { const text = number(row.querySelectorAll("td")[at]); return text === "" ? null : Number(text); })),
    };
  }

  function draw(figure) {
    const plot = figure.querySelector(".plot"), data = read(figure), isBars = figure.dataset.chart === "bars";
    const width = plot.clientWidth, height = figure.classList.contains("tall") ? 220 : 112, step = Number(figure.dataset.width || 0);
    if (!width || !data.x.length) return;
    const isTime = figure.dataset.axis !== "steps"; // steps: bars side by side, named by the table
    const labels = [...figure.querySelectorAll("tbody th")].map((head) => head.dataset.label), edges = isTime ? [] : marked(figure);
    let { x, y } = data;
    if (isBars && step) [x, y] = filled(x, y, step);
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    const stacked = isBars ? y.map((_, at) => x.map((_, row) => y.slice(0, at + 1).reduce((sum, part) => sum + (part[row] ?? 0), 0))) : y;
    const series = data.names.map((label, at) => ({
      label, stroke: colour(data.colours[at]), width: isBars ? 0 : 1.6, fill: isBars ? colour(data.colours[at]) : undefined,
      paths: isBars ? uPlot.paths.bars({ size: [0.86, 46], align: step ? 1 : 0 }) : undefined, points: { show: !isBars && x.length < 40, size: 5 },
    }));
    const order = isBars ? [...series.keys()].reverse() : [...series.keys()]; // the tallest of a stack is drawn first
    figure.plot?.destroy();
    figure.plot = new uPlot({
      width, height, legend: { show: false }, cursor: { drag: { x: isBars && isTime, y: false, setScale: false }, points: { show: !isBars } }, tzDate: (at) => uPlot.tzDate(new Date(at * 1e3), "Etc/UTC"),
      scales: { x: { time: isTime, range: isTime ? range(x, step) : [-0.6, x.length - 0.4] }, y: { range: (_, least, most) => [Math.min(0, least), Math.max(most, 1) * 1.08] } },
      axes: [{ ...axis, size: 26, values: isTime ? times : (_, splits) => splits.map((at) => labels[at] ?? ""), space: isTime ? 90 : 20, incrs: isTime ? undefined : [1], grid: { ...axis.grid, show: isTime } }, { ...axis, size: 48, space: 28, incrs: isBars ? [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6, 5e6, 1e7] : undefined }],
      series: [{}, ...order.map((at) => series[at])],
      hooks: { setSelect: isBars && isTime ? [(made) => zoom(made)] : [], draw: edges.map((at) => (made) => line(made, at + 0.5)) },
    }, [x, ...order.map((at) => stacked[at])], plot);
    legend(figure, data);
  }

  const range = (x, step) => () => [Math.min(x[0], x.at(-1) - 40 * step), x.at(-1) + step * 1.5]; // a few bars are drawn as narrow as many
  const marked = (figure) => [...figure.querySelectorAll("tbody th")].flatMap((head, at) => (head.dataset.edge ? [at] : []));

  function times(_, splits) { // 13:50, or 11-25 where days are the unit; the date stands at the first one
    const isDaily = splits.length > 1 && splits[1] - splits[0] >= 86400, isFine = splits.length > 1 && splits[1] - splits[0] < 60;
    return splits.map((at, place) => {
      const text = new Date(at * 1e3).toISOString(), clock = text.slice(11, isFine ? 19 : 16);
      return isDaily ? text.slice(5, 10) : place === 0 || clock.startsWith("00:00") ? `${text.slice(5, 10)} ${clock}` : clock;
    });
  }

  function filled(x, y, step) { // bars without rows are not sent
    const places = new Map(x.map((at, row) => [at, row])), all = [];
    for (let at = x[0]; at <= x.at(-1) && all.length < 2000; at += step) all.push(at);
    return [all, y.map((part) => all.map((at) => part[places.get(at)] ?? 0))];
  }

  function zoom(made) {
    if (made.select.width < 4) return;
    const at = (pixel) => new Date(made.posToVal(pixel, "x") * 1e3).toISOString();
    const here = new URL(location.href);
    here.searchParams.set("from", at(made.select.left));
    here.searchParams.set("to", at(made.select.left + made.select.width));
    for (const name of ["cursor", "open"]) here.searchParams.delete(name);
    location.assign(here);
  }

  function line(made, edge) { // the attribution window's edge
    const at = made.valToPos(edge, "x", true), context = made.ctx;
    context.save();
    context.strokeStyle = colour("--warn");
    context.setLineDash([5, 4]);
    context.beginPath();
    context.moveTo(at, made.bbox.top);
    context.lineTo(at, made.bbox.top + made.bbox.height);
    context.stroke();
    context.restore();
  }

  function legend(figure, data) {
    const caption = figure.querySelector("figcaption");
    for (const old of caption.querySelectorAll(".legend")) old.remove();
    data.names.forEach((name, at) => {
      const item = Object.assign(document.createElement("span"), { className: "legend" });
      const swatch = Object.assign(document.createElement("i"), { className: "swatch" });
      swatch.style.background = colour(data.colours[at]);
      item.append(swatch, name);
      caption.append(item);
    });
  }

  const all = (root) => { for (const figure of root.querySelectorAll?.("figure.chart") ?? []) draw(figure); };
  document.addEventListener("DOMContentLoaded", () => all(document));
  document.addEventListener("htmx:afterSettle", (event) => all(event.target.parentElement ?? document));
  document.addEventListener("themechange", () => all(document));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => all(document));
  let waiting;
  window.addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => all(document), 150); });
})();
