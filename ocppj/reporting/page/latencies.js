// The view "latencies".

function percentile(ordered, share) {
  return ordered[Math.max(0, Math.ceil(share * ordered.length) - 1)];
}

function drawLatencies() {
  const groups = new Map(),
    all = [];
  for (const row of rows) {
    const latency = latencyOf(row);
    if (latency < 0) continue;
    const key = actions[row] * 2 + (1 - senders[row]);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(latency);
    all.push(row);
  }
  const lines = [...groups]
    .map(([key, found]) => [key, Float64Array.from(found).sort()])
    .sort((a, b) => b[1].length - a[1].length);
  byId("latency-table").replaceChildren(
    makeTable(
      "Latencies by action",
      [
        { name: "Action", class: ACTION },
        { name: "Asked by", class: SHORT },
        ...["Answers", "p50", "p90", "p99", "Longest"].map((name) => ({ name, class: RIGHT })),
      ],
      lines.map(([key, ordered]) => ({
        cells: [
          link(
            shown(names[key >> 1]) || "unknown",
            () => setAction(filter.action === key >> 1 ? -1 : key >> 1),
            `Only ${shown(names[key >> 1])}`,
          ),
          key % 2 ? "CSMS" : "station",
          count(ordered.length),
          ...[0.5, 0.9, 0.99].map((share) => length(percentile(ordered, share))),
          length(ordered[ordered.length - 1]),
        ],
        chosen: filter.action === key >> 1,
      })),
      "No answers pass the filters.",
    ),
  );
  byId("spread").replaceChildren(drawSpread(all));
  drawScatter(all);
}

const EDGES = [
  0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100,
];

function drawSpread(all) {
  const counts = new Array(EDGES.length + 1).fill(0);
  for (const row of all) {
    const latency = latencyOf(row),
      edge = EDGES.findIndex((each) => latency < each);
    counts[edge < 0 ? EDGES.length : edge]++;
  }
  const used = counts.map((each, index) => (each ? index : -1)).filter((each) => each >= 0);
  const from = Math.max(0, (used[0] ?? 6) - 1),
    to = Math.min(EDGES.length, (used[used.length - 1] ?? 12) + 1);
  const width = 480,
    height = 210,
    room = height - 38,
    step = (width - 8) / (to - from + 1),
    most = Math.max(1, ...counts);
  const chart = draw("svg", {
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": "How many answers took how long",
  });
  chart.append(draw("line", { class: "axis", x1: 0, x2: width, y1: height - 20, y2: height - 20 }));
  for (let bin = from; bin <= to; bin++) {
    const x = 4 + (bin - from) * step,
      tall = counts[bin] ? Math.max(2, (counts[bin] / most) * room) : 0;
    chart.append(
      draw("rect", { class: "bar", x: x + 1, y: height - 20 - tall, width: step - 2, height: tall, rx: 2 }),
    );
    if (counts[bin])
      chart.append(
        draw("text", { x: x + step / 2, y: height - 24 - tall, "text-anchor": "middle" }, count(counts[bin])),
      );
    if (bin < to && (to - from < 10 || (bin - from) % 2 === 0))
      chart.append(draw("text", { x: x + step, y: height - 5, "text-anchor": "middle" }, edgeText(EDGES[bin])));
  }
  return chart;
}

const edgeText = (seconds) => (seconds < 1 ? `${+(seconds * 1000).toPrecision(2)} ms` : `${seconds} s`);

function drawScatter(all) {
  const [pen, width, height] = prepare(byId("scatter"));
  if (!all.length || width < 80) return;
  const colours = palette(),
    left = 50,
    bottom = height - 20,
    top = 8,
    right = width - 6;
  const [first, last] = range(all);
  let low = Infinity,
    high = 0;
  for (const row of all) {
    const latency = Math.max(1e-4, latencyOf(row));
    if (latency < low) low = latency;
    if (latency > high) high = latency;
  }
  low = Math.floor(Math.log10(low));
  high = Math.max(low + 1, Math.ceil(Math.log10(high)));
  const y = (latency) => bottom - ((Math.log10(Math.max(1e-4, latency)) - low) / (high - low)) * (bottom - top);
  pen.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  pen.textAlign = "right";
  for (let power = low; power <= high; power++) {
    pen.fillStyle = colours.line;
    pen.fillRect(left, Math.round(y(10 ** power)), right - left, 1);
    pen.fillStyle = colours.quiet;
    pen.fillText(edgeText(10 ** power), left - 6, y(10 ** power) + 4);
  }
  pen.textAlign = "left";
  pen.fillText(clock(first, 0), left, height - 5);
  pen.textAlign = "right";
  pen.fillText(clock(last, 0), right, height - 5);
  pen.globalAlpha = all.length > 5000 ? 0.35 : 0.7;
  for (const row of all) {
    pen.fillStyle = isError[row] ? colours.error : colours.call;
    pen.fillRect(
      left + ((times[row] - first) / (last - first)) * (right - left - 3),
      y(latencyOf(row)) - 1.5,
      3,
      3,
    );
  }
}
