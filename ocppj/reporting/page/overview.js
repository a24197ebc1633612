// The overview: how many messages there were over time.

let bins = null;

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// The colours of the theme, as a canvas understands them.
function palette() {
  const probe = make("span", {});
  document.body.append(probe);
  const colours = {};
  for (const name of ["call", "error", "line", "quiet", "text", "accent", "result"]) {
    probe.style.color = `var(--${name})`;
    colours[name] = getComputedStyle(probe).color;
  }
  probe.remove();
  return colours;
}

function prepare(canvas) {
  const box = canvas.getBoundingClientRect(),
    scale = window.devicePixelRatio || 1;
  canvas.width = Math.max(1, Math.round(box.width * scale));
  canvas.height = Math.max(1, Math.round(box.height * scale));
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  pen.clearRect(0, 0, box.width, box.height);
  return [pen, box.width, box.height];
}

function range(chosen) {
  let first = Infinity,
    last = -Infinity;
  for (const row of chosen) {
    if (!times[row]) continue; // the log does not say it
    if (times[row] < first) first = times[row];
    if (times[row] > last) last = times[row];
  }
  return last > 0 ? [first, Math.max(last, first + 1)] : [0, 1];
}

function drawOverview() {
  const canvas = byId("overview");
  const width = canvas.getBoundingClientRect().width;
  const size = Math.max(1, Math.floor(width / 4));
  const [first, last] = range(rows);
  bins = { first, last, all: new Float64Array(size), wrong: new Float64Array(size), colours: palette() };
  for (const row of rows) {
    const bin = Math.min(size - 1, Math.floor(((times[row] - first) / (last - first)) * size));
    bins.all[bin]++;
    bins.wrong[bin] += isError[row];
  }
  bins.most = bins.all.reduce((most, each) => Math.max(most, each), 1);
}

function markOverview(from, size) {
  if (!bins) drawOverview();
  const [pen, width, height] = prepare(byId("overview"));
  const step = width / bins.all.length,
    room = height - 8;
  if (!rows.length) return;
  const x = (row) => ((times[row] - bins.first) / (bins.last - bins.first)) * width;
  const begin = x(rows[from]),
    end = x(rows[Math.max(from, from + size - 1)]);
  pen.fillStyle = bins.colours.accent;
  pen.globalAlpha = 0.18;
  pen.fillRect(Math.min(begin, width - 3), 0, Math.max(3, end - begin), height);
  pen.globalAlpha = 1;
  for (let bin = 0; bin < bins.all.length; bin++) {
    if (!bins.all[bin]) continue;
    const tall = Math.max(2, Math.sqrt(bins.all[bin] / bins.most) * room);
    const wrong = bins.wrong[bin] ? Math.max(2, (bins.wrong[bin] / bins.all[bin]) * tall) : 0;
    pen.fillStyle = bins.colours.call;
    pen.fillRect(bin * step, height - 2 - tall, Math.max(1, step - 1), tall - wrong);
    pen.fillStyle = bins.colours.error;
    pen.fillRect(bin * step, height - 2 - wrong, Math.max(1, step - 1), wrong);
  }
}

function goToTime(event) {
  if (!bins || !rows.length) return;
  const box = byId("overview").getBoundingClientRect();
  const time = bins.first + ((event.clientX - box.left) / box.width) * (bins.last - bins.first);
  let index = 0;
  while (index < rows.length - 1 && times[rows[index]] < time) index++;
  active = index;
  if (opened >= 0) open(rows[active]);
  scrollToActive(true);
}
