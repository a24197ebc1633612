"use strict";
(() => {
  // Small helpers. All that a peer has sent comes into the page as text, by `make` and `shown`.

  const byId = (id) => document.getElementById(id);

  function make(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes || {})) {
      if (name === "class") element.className = value;
      else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value === true ? "" : value);
    }
    element.append(...children.filter((each) => each !== null && each !== ""));
    return element;
  }

  function draw(tag, attributes, ...children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes || {})) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  // Characters that do not show, or that turn the direction of the text around them.
  const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb]|[\u{e0000}-\u{e0fff}]|\p{Cs}/gu;

  function shown(text) {
    return String(text).replace(UNSEEN, (each) => {
      const code = each.codePointAt(0);
      return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, "0")}`;
    });
  }

  const two = (number) => String(number).padStart(2, "0");

  // The time of frames is 0 where the log does not say it.
  function clock(time, digits = 3) {
    if (!time) return "no time";
    const moment = new Date(time / 1000);
    if (Number.isNaN(moment.getTime())) return "?";
    const fraction = digits ? "." + String(moment.getUTCMilliseconds()).padStart(3, "0") : "";
    return `${two(moment.getUTCHours())}:${two(moment.getUTCMinutes())}:${two(moment.getUTCSeconds())}${fraction}`;
  }

  function day(time) {
    if (!time) return "";
    const moment = new Date(time / 1000);
    return Number.isNaN(moment.getTime()) ? "?" : moment.toISOString().slice(0, 10);
  }

  const dayAndTime = (time, digits = 0) => `${day(time)} ${clock(time, digits)}`.trim();

  function length(seconds) {
    if (seconds < 0.0095) return `${(seconds * 1000).toFixed(1)} ms`;
    if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
    if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
    const whole = Math.round(seconds);
    if (whole < 120) return `${whole} s`;
    const both = (size, unit, part, name) => `${Math.floor(whole / size)} ${unit}` + (whole % size >= part ? ` ${Math.floor((whole % size) / part)} ${name}` : "");
    if (whole < 7200) return both(60, "min", 1, "s");
    if (whole < 172800) return both(3600, "h", 60, "min");
    return both(86400, "d", 3600, "h");
  }

  const count = (number) => number.toLocaleString("en-US");
  const plural = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;

  // The data: unpacked when they are asked for.

  async function unpack(id) {
    const element = byId(id);
    const binary = atob(element.textContent);
    element.remove();
    const bytes = new Uint8Array(binary.length);
    for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return JSON.parse(await new Response(stream).text());
  }

  let facts, total, times, stations, kinds, senders, actions, connections, partners, labels, faults, isError, unsent, unanswered;
  let kindNames, names;
  const CONNECTED = 6; // the kinds from here on are events

  function addUp(steps) {
    const sums = new Float64Array(steps.length);
    for (let index = 0, sum = 0; index < steps.length; index++) sums[index] = sum += steps[index];
    return sums;
  }

  function readFacts(read) {
    facts = read;
    const rows = read.rows;
    times = addUp(rows.times);
    total = times.length;
    stations = Int32Array.from(rows.stations);
    kinds = Uint8Array.from(rows.kinds);
    senders = Uint8Array.from(rows.senders);
    actions = Int32Array.from(rows.actions);
    connections = rows.connections;
    partners = Int32Array.from(rows.partners);
    labels = rows.labels;
    faults = rows.faults;
    kindNames = read.kinds;
    names = read.names;
    unsent = new Set(rows.unsent);
    unanswered = new Set(rows.unanswered);
    isError = new Uint8Array(total);
    for (const row of addUp(read.errors)) isError[row] = 1;
  }

  const kindOf = (row) => kindNames[kinds[row]];
  const actionOf = (row) => names[actions[row]];
  const labelOf = (row) => names[labels[row] || 0];
  const faultsOf = (row) => (faults[row] || []).map((each) => names[each]);
  const nameOfStation = (number) => shown(facts.stations[number].id) || "no name";
  const stationOf = (row) => nameOfStation(stations[row]);
  const isEvent = (row) => kinds[row] >= CONNECTED;
  const isAnswer = (row) => kindOf(row) === "RESULT" || kindOf(row) === "ERROR";
  const partnerOf = (row) => (partners[row] ? row + partners[row] : -1);
  const latencyOf = (row) => (isAnswer(row) && partners[row] && times[row] ? Math.max(0, times[row] - times[partnerOf(row)]) / 1e6 : -1);

  const pieces = new Map(); // number of the piece -> its texts, or the promise of them

  function pieceOf(number) {
    if (!pieces.has(number)) {
      const coming = unpack(`texts-${number}`).then((texts) => {
        pieces.set(number, texts);
        return texts;
      });
      pieces.set(number, coming);
    }
    return pieces.get(number);
  }

  // The text of a row; `undefined`: it is being unpacked, and the list is drawn again when it is there.
  function textOf(row) {
    const piece = pieceOf(Math.floor(row / facts.piece));
    if (Array.isArray(piece)) return piece[row % facts.piece];
    piece.then(drawSoon);
    return undefined;
  }

  async function allTexts() {
    for (let number = 0; number * facts.piece < total; number++) await pieceOf(number);
  }

  // Filters

  const filter = { station: -1, action: -1, text: "", errors: false };
  let rows = new Int32Array(0); // those that pass
  let active = 0; // the place in `rows` that the keyboard is at
  let opened = -1; // the row whose details are open
  let applied = 0;

  function pattern(text) {
    return new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "iu");
  }

  async function apply() {
    const turn = ++applied;
    const words = filter.text;
    if (words) {
      byId("count").textContent = "searching ...";
      await allTexts();
      if (turn !== applied) return; // the user went on typing
    }
    const keep = active < rows.length ? rows[active] : -1;
    rows = select(words ? pattern(words) : null);
    active = Math.max(0, place(keep));
    byId("count").textContent = rows.length === total ? plural(total, "row", "rows") : `${count(rows.length)} of ${plural(total, "row", "rows")}`;
    stale = new Set(Object.keys(views));
    drawView();
  }

  function select(wanted) {
    const found = new Int32Array(total);
    const named = wanted && names.map((each) => wanted.test(each));
    let size = 0;
    for (let row = 0; row < total; row++) {
      if (filter.station >= 0 && stations[row] !== filter.station) continue;
      if (filter.action >= 0 && actions[row] !== filter.action) continue;
      if (filter.errors && !isError[row]) continue;
      if (wanted && !isFound(row, wanted, named)) continue;
      found[size++] = row;
    }
    return found.subarray(0, size);
  }

  function isFound(row, wanted, named) {
    if (named[actions[row]] || named[labels[row] || 0]) return true;
    if (faults[row] && faults[row].some((each) => named[each])) return true;
    return wanted.test(pieces.get(Math.floor(row / facts.piece))[row % facts.piece]);
  }

  // The place of the first row in `rows` that is `row` or later.
  function place(row) {
    let low = 0, high = rows.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (rows[middle] < row) low = middle + 1;
      else high = middle;
    }
    return Math.min(low, Math.max(0, rows.length - 1));
  }

  function showRow(row) {
    const passes = rows.length > 0 && rows[place(row)] === row;
    if (!passes) {
      clearFilters();
      rows = select(null);
    }
    active = place(row);
    chooseView("messages");
    if (!passes) apply();
    open(row);
    scrollToActive(true);
    byId("list").focus({ preventScroll: true });
  }

  function clearFilters() {
    filter.station = filter.action = -1;
    filter.text = "";
    filter.errors = false;
    byId("text").value = "";
    byId("action").value = "-1";
    byId("only-errors").checked = false;
    markStation();
  }

  // The list: only the rows that can be seen are in the page.

  const HEIGHT = 32;
  const TALLEST = 8000000; // pixels that every browser can scroll
  const LONG = 60; // seconds without a message that are marked
  let soon = 0;

  function drawSoon() {
    if (!soon) soon = requestAnimationFrame(() => { soon = 0; drawList(); });
  }

  const tall = () => Math.min(TALLEST, rows.length * HEIGHT);

  // The first row in view, as a number with a fraction.
  function topRow() {
    const list = byId("list");
    const most = tall() - list.clientHeight;
    if (most <= 0) return 0;
    return Math.min(1, list.scrollTop / most) * (rows.length - list.clientHeight / HEIGHT);
  }

  function drawList() {
    if (view !== "messages") return;
    const list = byId("list"), win = byId("window");
    byId("space").style.height = `${tall()}px`;
    const top = topRow(), first = Math.floor(top);
    const size = Math.min(rows.length - first, Math.ceil(list.clientHeight / HEIGHT) + 1);
    const partner = rows.length ? partnerOf(rows[active]) : -1;
    const drawn = [];
    for (let index = first; index < first + size; index++) drawn.push(makeRow(index, partner));
    if (!rows.length) drawn.push(make("p", { class: "empty" }, total ? "No message passes the filters." : "The recording has no messages."));
    win.replaceChildren(...drawn);
    win.style.transform = `translateY(${list.scrollTop - (top - first) * HEIGHT}px)`;
    byId("day").textContent = rows.length && times[rows[first]] ? `${day(times[rows[first]])} UTC` : "";
    list.setAttribute("aria-activedescendant", `row-${active}`);
    markOverview(first, size);
  }

  function makeRow(index, partner) {
    const row = rows[index], wrong = isError[row];
    const since = index ? (times[row] - times[rows[index - 1]]) / 1e6 : 0;
    const pause = since >= LONG;
    const classes = ["row", wrong ? "wrong" : "", row === partner ? "partner" : "", pause ? "pause" : ""];
    const latency = latencyOf(row);
    return make(
      "div",
      {
        class: classes.filter(Boolean).join(" "), role: "option", id: `row-${index}`, "data-index": index,
        "aria-selected": index === active ? "true" : "false", "aria-posinset": index + 1, "aria-setsize": rows.length,
      },
      make("span", { class: "time" }, clock(times[row])),
      make("span", { class: "pause-time" }, index && since >= 0.001 ? `+${length(since)}` : ""),
      make("span", { class: "who" }, filter.station < 0 ? stationOf(row) : ""),
      makeLane(row),
      make("span", { class: "peek" }, ...peek(row)),
      make("span", { class: latency >= 1 ? "latency slow" : "latency" }, latency >= 0 ? length(latency) : unanswered.has(row) ? make("span", { class: "bad" }, "no answer") : ""),
    );
  }

  function makeLane(row) {
    const kind = kindOf(row);
    const classes = ["lane", isEvent(row) ? "event" : kind, senders[row] ? "left" : "right", unsent.has(row) ? "unsent" : ""];
    return make("span", { class: classes.filter(Boolean).join(" ") }, make("span", { class: "label" }, nameOf(row)));
  }

  function nameOf(row) {
    const kind = kindOf(row), action = shown(actionOf(row));
    if (isEvent(row)) return kind.toLowerCase();
    if (kind === "CALL" || kind === "SEND") return action || kind;
    if (kind === "RESULT") return action || "answer";
    if (kind === "TEXT") return "not a message";
    return shown(labelOf(row)) || kind;
  }

  function peek(row) {
    const wrong = [...faultsOf(row), unsent.has(row) ? "the write failed" : ""].filter(Boolean);
    if (wrong.length) return [make("span", { class: "fault" }, shown(wrong[0]))];
    if (isEvent(row)) return [shown(labelOf(row))];
    const text = textOf(row);
    return [text === undefined ? "" : shown(payloadOf(text).slice(0, 200))];
  }

  // What stands behind the id, and the action, of a message.
  function payloadOf(text) {
    const head = /^\s*\[\s*\d+\s*,\s*"(?:[^"\\]|\\.)*"\s*,\s*(?:"(?:[^"\\]|\\.)*"\s*,\s*)?/.exec(text);
    return head ? text.slice(head[0].length).replace(/\s*\]\s*$/, "") : text;
  }

  function scrollToActive(toMiddle) {
    const list = byId("list");
    if (!rows.length || !list.clientHeight) return;
    byId("space").style.height = `${tall()}px`;
    const fits = list.clientHeight / HEIGHT, top = topRow();
    let wanted = top;
    if (active < top || active + 1 > top + fits) {
      wanted = active < top ? active : active + 1 - fits;
      if (toMiddle || Math.abs(wanted - top) > fits) wanted = active - fits / 2;
    }
    const span = rows.length - fits;
    if (span > 0) list.scrollTop = (Math.max(0, Math.min(span, wanted)) / span) * (tall() - list.clientHeight);
    drawList();
  }

  function move(to) {
    if (!rows.length) return;
    active = Math.max(0, Math.min(rows.length - 1, to));
    if (opened >= 0) open(rows[active]);
    scrollToActive(false);
  }

  function moveToError(step) {
    for (let index = active + step; index >= 0 && index < rows.length; index += step) {
      if (isError[rows[index]]) return move(index);
    }
  }

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
    const box = canvas.getBoundingClientRect(), scale = window.devicePixelRatio || 1;
    canvas.width = Math.max(1, Math.round(box.width * scale));
    canvas.height = Math.max(1, Math.round(box.height * scale));
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.clearRect(0, 0, box.width, box.height);
    return [pen, box.width, box.height];
  }

  function range(chosen) {
    let first = Infinity, last = -Infinity;
    for (const row of chosen) {
      if (times[row] < first) first = times[row];
      if (times[row] > last) last = times[row];
    }
    return chosen.length ? [first, Math.max(last, first + 1)] : [0, 1];
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
    const step = width / bins.all.length, room = height - 8;
    if (!rows.length) return;
    const x = (row) => ((times[row] - bins.first) / (bins.last - bins.first)) * width;
    const begin = x(rows[from]), end = x(rows[Math.max(from, from + size - 1)]);
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

  // One message

  let isRaw = false;

  async function open(row) {
    opened = row;
    await pieceOf(Math.floor(row / facts.piece));
    if (opened !== row) return;
    const text = textOf(row), latency = latencyOf(row), partner = partnerOf(row);
    const wrong = faultsOf(row);
    if (unsent.has(row)) wrong.push("the write failed: it was not sent, or not whole");
    if (unanswered.has(row)) wrong.push("it has got no answer");
    const details = byId("details");
    const wasHidden = details.hidden;
    details.hidden = false;
    details.replaceChildren(
      make("header", {}, make("h2", {}, titleOf(row)), make("button", { type: "button", "aria-label": "Close the message", onclick: close }, "\u00d7")),
      makeFacts(row, latency),
      wrong.length ? make("ul", { class: "faults", "aria-label": "What is wrong" }, ...wrong.map((each) => make("li", {}, shown(each)))) : "",
      isEvent(row) ? "" : make(
        "div", { class: "actions" },
        partner >= 0 ? make("button", { type: "button", onclick: () => showRow(partner) }, isAnswer(row) ? "Its call" : "Its answer") : "",
        make("button", { type: "button", id: "raw", "aria-pressed": String(isRaw), onclick: () => { isRaw = !isRaw; open(row).then(() => byId("raw").focus()); } }, "Raw"),
        make("button", { type: "button", onclick: (event) => copy(text, event.currentTarget) }, "Copy"),
      ),
      isEvent(row) ? "" : make("pre", { tabindex: "0", "aria-label": "The text of the message" }, ...(isRaw ? [shown(text)] : pretty(text))),
    );
    if (wasHidden) scrollToActive(false);
    else drawList();
  }

  function titleOf(row) {
    const kind = kindOf(row), action = shown(actionOf(row));
    if (isEvent(row)) return kind[0] + kind.slice(1).toLowerCase();
    return [kind === "TEXT" ? "Not a message" : kind, kind === "ERROR" || kind === "RESULTERROR" ? shown(labelOf(row)) : action].filter(Boolean).join(" ");
  }

  function makeFacts(row, latency) {
    const station = stationOf(row);
    const pairs = [["Time", `${dayAndTime(times[row], 3)} UTC`], ["Station", station]];
    if (!isEvent(row)) pairs.push(["From", senders[row] ? `CSMS to ${station}` : `${station} to CSMS`]);
    if (actionOf(row) && isAnswer(row)) pairs.push(["Action", shown(actionOf(row))]);
    if (connections[row]) pairs.push(["Connection", String(connections[row])]);
    if (latency >= 0) pairs.push(["Latency", length(latency)]);
    if (isEvent(row) && labelOf(row)) pairs.push(["Reason", shown(labelOf(row))]);
    return make("dl", {}, ...pairs.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
  }

  function close() {
    if (opened < 0) return false;
    opened = -1;
    byId("details").hidden = true;
    byId("list").focus({ preventScroll: true });
    drawList();
    return true;
  }

  function copy(text, button) {
    const done = () => { button.textContent = "Copied"; };
    const failed = () => { button.textContent = "Not allowed here"; };
    if (navigator.clipboard) navigator.clipboard.writeText(text).then(done, failed);
    else failed();
  }

  // JSON with indents. Its tokens stay as they are: numbers keep their digits, and names that stand twice stay twice.
  function pretty(text) {
    try {
      JSON.parse(text);
    } catch {
      return [shown(text)];
    }
    if (text.length > 200000) return [shown(text)];
    const parts = [], tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) || [];
    let depth = 0;
    const line = () => "\n" + "  ".repeat(depth);
    tokens.forEach((token, index) => {
      const next = tokens[index + 1];
      if (token === "{" || token === "[") {
        if (next === "}" || next === "]") parts.push(token);
        else { depth++; parts.push(token, line()); }
      } else if (token === "}" || token === "]") {
        if (tokens[index - 1] !== "{" && tokens[index - 1] !== "[") { depth--; parts.push(line()); }
        parts.push(token);
      } else if (token === ",") parts.push(",", line());
      else if (token === ":") parts.push(": ");
      else {
        const kind = next === ":" ? "key" : token[0] === '"' ? "string" : "number";
        parts.push(make("span", { class: kind }, shown(token)));
      }
    });
    return parts;
  }

  // Tables

  function makeTable(label, columns, lines, empty) {
    if (!lines.length) return make("p", { class: "empty" }, empty);
    const cell = (tag) => (value, index) => make(tag, { class: columns[index].class, ...(tag === "th" ? { scope: "col" } : {}) }, value);
    return make(
      "table", { "aria-label": label },
      make("thead", {}, make("tr", {}, ...columns.map((each) => each.name).map(cell("th")))),
      make("tbody", {}, ...lines.map((line) => make("tr", line.chosen ? { class: "chosen", "aria-selected": "true" } : {}, ...line.cells.map(cell("td"))))),
    );
  }

  const link = (text, act, label) => make("button", { type: "button", class: "link", onclick: act, "aria-label": label }, text || "-");
  const RIGHT = "right short", SHORT = "short", WIDE = "wide", ACTION = "action", ID = "id";
  const MOST = 1000; // lines of a table

  function more(size) {
    return size > MOST ? make("p", { class: "quiet" }, `The first ${count(MOST)} of ${count(size)}. The filters find the others.`) : "";
  }

  // Latencies

  function percentile(ordered, share) {
    return ordered[Math.max(0, Math.ceil(share * ordered.length) - 1)];
  }

  function drawLatencies() {
    const groups = new Map(), all = [];
    for (const row of rows) {
      const latency = latencyOf(row);
      if (latency < 0) continue;
      const key = actions[row] * 2 + (1 - senders[row]);
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(latency);
      all.push(row);
    }
    const lines = [...groups].map(([key, found]) => [key, Float64Array.from(found).sort()]).sort((a, b) => b[1].length - a[1].length);
    byId("latency-table").replaceChildren(makeTable(
      "Latencies by action",
      [{ name: "Action", class: ACTION }, { name: "Asked by", class: SHORT }, ...["Answers", "p50", "p90", "p99", "Longest"].map((name) => ({ name, class: RIGHT }))],
      lines.map(([key, ordered]) => ({
        cells: [
          link(shown(names[key >> 1]) || "unknown", () => setAction(filter.action === key >> 1 ? -1 : key >> 1), `Only ${shown(names[key >> 1])}`),
          key % 2 ? "CSMS" : "station", count(ordered.length), ...[0.5, 0.9, 0.99].map((share) => length(percentile(ordered, share))), length(ordered[ordered.length - 1]),
        ],
        chosen: filter.action === key >> 1,
      })),
      "No answers pass the filters.",
    ));
    byId("spread").replaceChildren(drawSpread(all));
    drawScatter(all);
  }

  const EDGES = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100];

  function drawSpread(all) {
    const counts = new Array(EDGES.length + 1).fill(0);
    for (const row of all) {
      const latency = latencyOf(row), edge = EDGES.findIndex((each) => latency < each);
      counts[edge < 0 ? EDGES.length : edge]++;
    }
    const used = counts.map((each, index) => (each ? index : -1)).filter((each) => each >= 0);
    const from = Math.max(0, (used[0] ?? 6) - 1), to = Math.min(EDGES.length, (used[used.length - 1] ?? 12) + 1);
    const width = 480, height = 210, room = height - 38, step = (width - 8) / (to - from + 1), most = Math.max(1, ...counts);
    const chart = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "How many answers took how long" });
    chart.append(draw("line", { class: "axis", x1: 0, x2: width, y1: height - 20, y2: height - 20 }));
    for (let bin = from; bin <= to; bin++) {
      const x = 4 + (bin - from) * step, tall = counts[bin] ? Math.max(2, (counts[bin] / most) * room) : 0;
      chart.append(draw("rect", { class: "bar", x: x + 1, y: height - 20 - tall, width: step - 2, height: tall, rx: 2 }));
      if (counts[bin]) chart.append(draw("text", { x: x + step / 2, y: height - 24 - tall, "text-anchor": "middle" }, count(counts[bin])));
      if (bin < to && (to - from < 10 || (bin - from) % 2 === 0)) chart.append(draw("text", { x: x + step, y: height - 5, "text-anchor": "middle" }, edgeText(EDGES[bin])));
    }
    return chart;
  }

  const edgeText = (seconds) => (seconds < 1 ? `${+(seconds * 1000).toPrecision(2)} ms` : `${seconds} s`);

  function drawScatter(all) {
    const [pen, width, height] = prepare(byId("scatter"));
    if (!all.length || width < 80) return;
    const colours = palette(), left = 50, bottom = height - 20, top = 8, right = width - 6;
    const [first, last] = range(all);
    let low = Infinity, high = 0;
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
      pen.fillRect(left + ((times[row] - first) / (last - first)) * (right - left - 3), y(latencyOf(row)) - 1.5, 3, 3);
    }
  }

  // Errors

  function wrongOf(row) {
    const kind = kindOf(row), wrong = [];
    if (kind === "ERROR" || kind === "RESULTERROR") wrong.push(["error", labelOf(row)]);
    if (isEvent(row)) wrong.push([kind.toLowerCase(), labelOf(row)]);
    if (unanswered.has(row)) wrong.push(["no answer", "the call has got no answer"]);
    if (unsent.has(row)) wrong.push(["not sent", "the write failed"]);
    return wrong.concat(faultsOf(row).map((each) => ["rule", each]));
  }

  function drawErrors() {
    const groups = new Map();
    for (const row of rows) {
      if (!isError[row]) continue;
      for (const [kind, text] of wrongOf(row)) {
        const key = JSON.stringify([kind, text, actions[row]]);
        const group = groups.get(key) || { kind, text, action: actions[row], first: row, rows: 0, stations: new Set() };
        group.rows++;
        group.stations.add(stations[row]);
        groups.set(key, group);
      }
    }
    const found = [...groups.values()].sort((a, b) => b.rows - a.rows);
    byId("error-table").replaceChildren(
      makeTable(
        "Errors",
        [{ name: "Kind", class: SHORT }, { name: "What is wrong", class: WIDE }, { name: "Action", class: ACTION }, { name: "Times", class: RIGHT }, { name: "Stations", class: RIGHT }, { name: "First", class: SHORT }],
        found.slice(0, MOST).map((each) => ({
          cells: [
            make("span", { class: "bad" }, each.kind), shown(each.text) || "-", shown(names[each.action]), count(each.rows), count(each.stations.size),
            link(dayAndTime(times[each.first]), () => showRow(each.first), `Show the first message, at ${dayAndTime(times[each.first])}`),
          ],
        })),
        "No errors pass the filters.",
      ),
      more(found.length),
    );
  }

  // Gaps

  const ofStation = (each) => filter.station < 0 || each.station === filter.station;

  function drawGaps() {
    const found = facts.gaps.filter(ofStation);
    byId("gap-chart").replaceChildren(found.length ? drawStrips(found) : "");
    byId("gap-table").replaceChildren(
      makeTable(
        "Gaps",
        [{ name: "Station", class: ID }, { name: "Gap", class: SHORT }, { name: "From", class: SHORT }, { name: "Length", class: RIGHT }, { name: "Reason", class: WIDE }],
        found.slice(0, MOST).map((gap) => ({
          cells: [
            nameOfStation(gap.station), make("span", { class: gap.kind === "silent" ? "" : "bad" }, gap.kind),
            link(dayAndTime(gap.begin), () => showRow(gap.row), `Show the last message before the gap, at ${dayAndTime(gap.begin)}`),
            length((gap.end - gap.begin) / 1e6) + (gap.open ? ", to the end" : ""), shown(gap.reason),
          ],
        })),
        "No station was away or silent for longer than expected.",
      ),
      more(found.length),
    );
  }

  // For each station with gaps, a bar over time.
  function drawStrips(found) {
    const shownStations = [...new Set(found.map((gap) => gap.station))].slice(0, 30);
    let first = Infinity, last = -Infinity;
    for (const time of times) { first = Math.min(first, time); last = Math.max(last, time); }
    const begun = new Map(); // when each station came first
    for (let row = total - 1; row >= 0; row--) begun.set(stations[row], times[row]);
    const width = 1000, left = 150, step = 22, height = shownStations.length * step + 22;
    const x = (time) => left + ((time - first) / Math.max(1, last - first)) * (width - left);
    const chart = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "When each station was there" });
    shownStations.forEach((station, index) => {
      const y = index * step, name = nameOfStation(station);
      chart.append(
        draw("text", { class: "name-text", x: 0, y: y + 14 }, name.length > 22 ? name.slice(0, 21) + "\u2026" : name),
        draw("rect", { class: "there", x: x(begun.get(station)), y: y + 3, width: Math.max(1, width - x(begun.get(station))), height: 14, rx: 2 }),
      );
      for (const gap of found.filter((each) => each.station === station)) {
        const bar = draw("rect", { class: gap.kind === "silent" ? "silent" : "lost", x: x(gap.begin), y: y + 3, width: Math.max(1.5, x(gap.end) - x(gap.begin)), height: 14 });
        bar.append(draw("title", {}, `${gap.kind}, ${length((gap.end - gap.begin) / 1e6)}`));
        chart.append(bar);
      }
    });
    chart.append(
      draw("text", { x: left, y: height - 5 }, dayAndTime(first)),
      draw("text", { x: width, y: height - 5, "text-anchor": "end" }, dayAndTime(last)),
    );
    return make(
      "figure", {},
      make("figcaption", {}, "There (green), silent for longer than expected (amber), not connected (red). Times are UTC."),
      chart,
    );
  }

  // Transactions

  let chosenTransaction = 0;
  const kilo = (value, unit) => (value === null || value === undefined ? "" : `${(value / 1000).toFixed(Math.abs(value) < 100000 ? 2 : 1)} ${unit}`);

  function drawTransactions() {
    const found = facts.transactions.map((each, number) => ({ ...each, number })).filter(ofStation);
    const chosen = found.find((each) => each.number === chosenTransaction) || found.find((each) => each.energy.length > 1) || found[0];
    byId("transaction-chart").replaceChildren(chosen ? drawCurves(chosen) : "");
    byId("transaction-table").replaceChildren(
      makeTable(
        "Transactions",
        [
          { name: "Transaction", class: ID }, { name: "Station", class: ID }, { name: "Connector", class: RIGHT }, { name: "Id tag", class: ID },
          { name: "Begin", class: SHORT }, { name: "Length", class: RIGHT }, { name: "Energy", class: RIGHT }, { name: "Highest power", class: RIGHT }, { name: "End", class: ID }, { name: "", class: "short screen" },
        ],
        found.slice(0, MOST).map((each) => ({
          cells: [
            link(shown(each.id) || "no id", () => { chosenTransaction = each.number; drawTransactions(); focusChosen(); }, `Show the curves of transaction ${shown(each.id)}`),
            nameOfStation(each.station), shown(each.connector), shown(each.tag), each.begin === null ? "before" : dayAndTime(each.begin),
            each.begin === null || each.end === null ? "" : length((each.end - each.begin) / 1e6), kilo(each.wh, "kWh"), kilo(each.max, "kW"),
            each.end === null ? "goes on" : shown(each.reason), link("messages", () => showRow(each.row), `Show the first message of transaction ${shown(each.id)}`),
          ],
          chosen: each === chosen,
        })),
        "There are no transactions.",
      ),
      more(found.length),
    );
  }

  function focusChosen() {
    const line = byId("transaction-table").querySelector("tr.chosen button");
    if (line) line.focus();
  }

  // A number with one digit that is not 0, or 2 or 5, so that `steps` of it are enough for `most`.
  function niceStep(most, steps) {
    const power = 10 ** Math.floor(Math.log10(most / steps));
    return [1, 2, 5, 10].map((each) => each * power).find((each) => each * steps >= most * 0.999);
  }

  function drawCurves(each) {
    const energy = each.energy.map(([time, value]) => [time, (value - each.energy[0][1]) / 1000]);
    const power = each.power.map(([time, value]) => [time, value / 1000]);
    const caption = make(
      "figcaption", {},
      make("b", {}, `Transaction ${shown(each.id) || "without an id"}, ${nameOfStation(each.station)}`),
      make("span", { class: "key-energy" }, "energy in kWh"),
      make("span", { class: "key-power" }, each.said ? "power in kW, as the station has said it" : "power in kW, on average between two readings"),
      make("span", { id: "reading" }, ""),
    );
    const all = [...energy, ...power].map(([time]) => time);
    if (all.length < 2) return make("figure", {}, caption, make("p", { class: "empty" }, "It has no readings over time."));
    let first = Infinity, last = -Infinity;
    for (const time of all) { first = Math.min(first, time); last = Math.max(last, time); }
    const width = 1000, height = 240, left = 44, right = width - 44, top = 10, bottom = height - 22;
    const x = (time) => left + ((time - first) / Math.max(1, last - first)) * (right - left);
    const scaleOf = (curve) => { const step = niceStep(Math.max(0.01, ...curve.map(([, value]) => value)), 4); return { step, most: step * 4 }; };
    const ofEnergy = scaleOf(energy), ofPower = scaleOf(power);
    const y = (value, scale) => bottom - (Math.max(0, value) / scale.most) * (bottom - top);
    const chart = draw("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": "Energy and power over time" });
    const axisText = (value, step) => value.toFixed(step < 0.01 ? 3 : step < 0.1 ? 2 : step < 1 ? 1 : 0);
    for (let line = 0; line <= 4; line++) {
      const at = bottom - (line / 4) * (bottom - top);
      chart.append(draw("line", { class: "axis", x1: left, x2: right, y1: at, y2: at }));
      if (energy.length) chart.append(draw("text", { class: "energy-text", x: left - 6, y: at + 4, "text-anchor": "end" }, axisText(line * ofEnergy.step, ofEnergy.step)));
      if (power.length) chart.append(draw("text", { class: "power-text", x: right + 6, y: at + 4 }, axisText(line * ofPower.step, ofPower.step)));
    }
    for (let mark = 0; mark <= 4; mark++) {
      const time = first + (mark / 4) * (last - first);
      chart.append(draw("text", { x: x(time), y: height - 5, "text-anchor": ["start", "middle", "middle", "middle", "end"][mark] }, clock(time, 0)));
    }
    const points = (curve, scale) => curve.map(([time, value]) => `${x(time).toFixed(1)},${y(value, scale).toFixed(1)}`).join(" ");
    if (energy.length > 1) {
      const line = points(energy, ofEnergy), begin = x(energy[0][0]), end = x(energy[energy.length - 1][0]);
      chart.append(draw("polygon", { class: "energy-area", points: `${begin},${bottom} ${line} ${end},${bottom}` }), draw("polyline", { class: "energy", points: line }));
    }
    if (power.length) chart.append(draw("polyline", { class: "power", points: each.said ? points(power, ofPower) : steps(energy, power, x, (value) => y(value, ofPower)) }));
    followPointer(chart, caption, { energy, power, first, last, left, right, top, bottom, width, x });
    return make("figure", {}, caption, chart);
  }

  // A mean holds from one reading to the next.
  function steps(energy, power, x, y) {
    let since = energy[0][0];
    return power.flatMap(([time, value]) => {
      const both = [`${x(since).toFixed(1)},${y(value).toFixed(1)}`, `${x(time).toFixed(1)},${y(value).toFixed(1)}`];
      since = time;
      return both;
    }).join(" ");
  }

  function followPointer(chart, caption, about) {
    const cross = draw("line", { class: "cross", y1: about.top, y2: about.bottom, x1: -9, x2: -9 });
    chart.append(cross);
    const near = (curve, time) => curve.reduce((best, each) => (!best || Math.abs(each[0] - time) < Math.abs(best[0] - time) ? each : best), null);
    chart.addEventListener("pointermove", (event) => {
      const box = chart.getBoundingClientRect();
      const at = ((event.clientX - box.left) / box.width) * about.width;
      const time = about.first + ((at - about.left) / (about.right - about.left)) * (about.last - about.first);
      const energy = near(about.energy, time), power = near(about.power, time);
      const moment = (energy || power)[0];
      cross.setAttribute("x1", about.x(moment));
      cross.setAttribute("x2", about.x(moment));
      caption.querySelector("#reading").textContent = [clock(moment, 0), energy ? `${energy[1].toFixed(3)} kWh` : "", power ? `${power[1].toFixed(2)} kW` : ""].filter(Boolean).join("  \u00b7  ");
    });
  }

  // Views

  const views = {
    messages: () => { bins = null; drawOverview(); scrollToActive(false); drawList(); },
    latencies: drawLatencies, errors: drawErrors, gaps: drawGaps, transactions: drawTransactions,
  };
  let view = "messages";
  let stale = new Set(Object.keys(views)); // the views that the filters have changed since they were drawn

  function drawView() {
    if (stale.delete(view)) views[view]();
  }

  function chooseView(name) {
    view = name;
    for (const each of Object.keys(views)) {
      byId(each).hidden = each !== name;
      const tab = byId(`tab-${each}`);
      tab.setAttribute("aria-selected", String(each === name));
      tab.tabIndex = each === name ? 0 : -1;
    }
    drawView();
  }

  function setAction(number) {
    filter.action = number;
    byId("action").value = String(number);
    apply();
  }

  // Stations

  function drawStations() {
    const wanted = byId("find-station").value.toLowerCase();
    const sums = facts.stations.map(() => ({ all: 0, wrong: 0 }));
    for (let row = 0; row < total; row++) {
      sums[stations[row]].all += isEvent(row) ? 0 : 1;
      sums[stations[row]].wrong += isError[row];
    }
    const found = facts.stations.map((each, number) => ({ ...each, number })).filter((each) => each.id.toLowerCase().includes(wanted));
    const all = sums.reduce((sum, each) => ({ all: sum.all + each.all, wrong: sum.wrong + each.wrong }), { all: 0, wrong: 0 });
    byId("stations").replaceChildren(
      makeStation(-1, "All stations", `${plural(all.all, "message", "messages")}`, all.wrong),
      ...found.slice(0, MOST).map((each) => makeStation(each.number, nameOfStation(each.number), [each.versions.map(shown).join(", "), plural(sums[each.number].all, "message", "messages")].filter(Boolean).join(" \u00b7 "), sums[each.number].wrong)),
      found.length > MOST ? make("li", { class: "quiet" }, `${count(found.length - MOST)} more`) : "",
    );
    markStation();
  }

  function makeStation(number, name, about, wrong) {
    return make("li", {}, make(
      "button", { type: "button", "data-station": number, title: name, onclick: () => chooseStation(number) },
      make("span", { class: "id" }, name),
      make("span", { class: "wrong", "aria-label": wrong ? plural(wrong, "error", "errors") : null }, wrong ? count(wrong) : ""),
      make("small", {}, about),
    ));
  }

  function chooseStation(number) {
    filter.station = number;
    markStation();
    apply();
  }

  function markStation() {
    for (const button of byId("stations").querySelectorAll("button")) {
      button.setAttribute("aria-current", String(Number(button.dataset.station) === filter.station));
    }
    const only = filter.station >= 0 ? filter.station : facts.stations.length === 1 ? 0 : -1;
    byId("messages").classList.toggle("one", only >= 0);
    byId("left-end").textContent = only < 0 ? "station" : nameOfStation(only).slice(0, 24);
  }

  // Theme

  const THEMES = ["auto", "light", "dark"];
  let theme = "auto";

  function setTheme(name) {
    theme = name;
    if (name === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    byId("theme").textContent = `Theme: ${name}`;
    stale.add("latencies").add("messages");
    drawView();
  }

  function nextTheme() {
    setTheme(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]);
    try {
      localStorage.setItem("ocppj-report-theme", theme);
    } catch { /* not allowed here */ }
  }

  function rememberedTheme() {
    try {
      const found = localStorage.getItem("ocppj-report-theme");
      return THEMES.includes(found) ? found : "auto";
    } catch {
      return "auto";
    }
  }

  // Print: all views, one below the other, in light colours. Of the messages those that pass the filters.

  const PRINTED = 1000;

  function beforePrint() {
    document.documentElement.dataset.theme = "light";
    for (const name of ["latencies", "errors", "gaps", "transactions"]) {
      byId(name).hidden = false;
      views[name]();
    }
    const lines = [...rows.slice(0, PRINTED)].map((row) => ({
      cells: [
        clock(times[row]), stationOf(row), isEvent(row) ? "" : senders[row] ? "\u2190" : "\u2192",
        kindOf(row), shown(actionOf(row)) + (labelOf(row) ? ` ${shown(labelOf(row))}` : ""), latencyOf(row) >= 0 ? length(latencyOf(row)) : "", make("span", { class: "bad" }, wrongOfPrinted(row)),
      ],
    }));
    byId("printed-messages").replaceChildren(
      make("p", { class: "quiet" }, rows.length > PRINTED ? `The first ${count(PRINTED)} of ${count(rows.length)}. Filters choose others. \u2192 from the station, \u2190 from the CSMS.` : "\u2192 from the station, \u2190 from the CSMS. Times are UTC."),
      makeTable("Messages", [["Time", SHORT], ["Station", WIDE], ["", SHORT], ["Kind", SHORT], ["Action", ACTION], ["Latency", RIGHT], ["What is wrong", WIDE]].map(([name, kind]) => ({ name, class: kind })), lines, "No message passes the filters."),
    );
  }

  const wrongOfPrinted = (row) => (isError[row] && !isEvent(row) ? wrongOf(row).map(([, text]) => shown(text)).join("; ") : "");

  function afterPrint() {
    byId("printed-messages").replaceChildren();
    setTheme(theme);
    chooseView(view);
  }

  // Keys

  const KEYS = {
    j: () => move(active + 1), ArrowDown: () => move(active + 1),
    k: () => move(active - 1), ArrowUp: () => move(active - 1),
    PageDown: () => move(active + page()), PageUp: () => move(active - page()),
    Home: () => move(0), End: () => move(rows.length - 1),
    Enter: () => { if (rows.length) open(rows[active]); },
    n: () => moveToError(1), N: () => moveToError(-1),
    p: () => { const partner = rows.length ? partnerOf(rows[active]) : -1; if (partner >= 0) showRow(partner); },
  };
  const page = () => Math.max(1, Math.floor(byId("list").clientHeight / HEIGHT) - 1);

  function onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
    const target = event.target, isField = target.matches("input:not([type=checkbox]), select, textarea");
    if (event.key === "Escape") return onEscape(target);
    if (isField || !facts) return;
    if (target.getAttribute("role") === "tab" && moveTab(event)) return;
    if (onGlobalKey(event.key)) return event.preventDefault();
    const isButton = target.matches("button, a, pre, #details, input");
    const act = view === "messages" && (!isButton || event.key.length === 1) ? KEYS[event.key] : undefined;
    if (act) {
      event.preventDefault();
      if (document.activeElement === document.body) byId("list").focus({ preventScroll: true });
      act();
    }
  }

  function onGlobalKey(key) {
    const number = Number(key);
    if (key === "/") byId("text").focus();
    else if (key === "?") byId("help").showModal();
    else if (key === "t") nextTheme();
    else if (key === "e") byId("only-errors").click();
    else if (number >= 1 && number <= 5) {
      chooseView(Object.keys(views)[number - 1]);
      byId(`tab-${view}`).focus();
    } else return false;
    return true;
  }

  function onEscape(target) {
    if (target.id === "text" || target.id === "find-station") {
      const had = target.value;
      target.value = "";
      if (had) target.dispatchEvent(new Event("input"));
      else byId("list").focus({ preventScroll: true });
    } else close();
  }

  function moveTab(event) {
    const all = Object.keys(views), at = all.indexOf(view);
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return false;
    chooseView(all[(at + step + all.length) % all.length]);
    byId(`tab-${view}`).focus();
    event.preventDefault();
    return true;
  }

  // The begin

  function fillActions() {
    const used = new Map();
    for (let row = 0; row < total; row++) if (actions[row]) used.set(actions[row], (used.get(actions[row]) || 0) + 1);
    const sorted = [...used].sort((a, b) => (names[a[0]] < names[b[0]] ? -1 : 1));
    byId("action").replaceChildren(
      make("option", { value: "-1" }, "All actions"),
      ...sorted.slice(0, MOST).map(([number, size]) => make("option", { value: number }, `${shown(names[number]).slice(0, 60)} (${count(size)})`)),
    );
  }

  function fillHead() {
    byId("title").textContent = shown(facts.title) || "OCPP report";
    const events = kinds.reduce((sum, each) => sum + (each >= CONNECTED ? 1 : 0), 0);
    const wrong = isError.reduce((sum, each) => sum + each, 0);
    const parts = [plural(total - events, "message", "messages"), plural(facts.stations.length, "station", "stations"), plural(wrong, "error", "errors")];
    if (times.some(Boolean)) {
      const [first, last] = range(times.map((_, row) => row));
      parts.unshift(`${dayAndTime(first)} to ${day(first) === day(last) ? clock(last, 0) : dayAndTime(last)} UTC`);
    }
    byId("about").textContent = parts.join("  \u00b7  ");
    for (const [name, size] of [["errors", wrong], ["gaps", facts.gaps.length], ["transactions", facts.transactions.length]]) {
      byId(`tab-${name}`).append(" ", make("span", { class: size && name === "errors" ? "wrong" : "quiet" }, count(size)));
    }
    if (facts.lost.length) notice(`The recording lacks lines: ${facts.lost.map(shown).join("; ")}`);
  }

  function notice(text) {
    byId("notice").textContent = text;
    byId("notice").hidden = false;
  }

  let typing = 0;

  function listen() {
    byId("text").addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => { filter.text = byId("text").value; apply(); }, 120);
    });
    byId("action").addEventListener("change", () => setAction(Number(byId("action").value)));
    byId("only-errors").addEventListener("change", () => { filter.errors = byId("only-errors").checked; apply(); });
    byId("clear").addEventListener("click", () => { clearFilters(); apply(); });
    byId("find-station").addEventListener("input", drawStations);
    document.querySelector(".filters").addEventListener("submit", (event) => event.preventDefault());
    byId("list").addEventListener("scroll", drawSoon, { passive: true });
    byId("list").addEventListener("click", (event) => {
      const line = event.target.closest(".row");
      if (!line) return;
      active = Number(line.dataset.index);
      open(rows[active]);
    });
    byId("overview").addEventListener("click", goToTime);
    for (const name of Object.keys(views)) byId(`tab-${name}`).addEventListener("click", () => chooseView(name));
    byId("theme").addEventListener("click", nextTheme);
    byId("keys").addEventListener("click", () => byId("help").showModal());
    document.addEventListener("keydown", onKey);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => setTheme(theme));
    window.addEventListener("resize", () => { stale.add("latencies").add("messages"); drawView(); });
    new ResizeObserver(drawSoon).observe(byId("list"));
    window.addEventListener("beforeprint", beforePrint);
    window.addEventListener("afterprint", afterPrint);
  }

  async function begin() {
    if (typeof DecompressionStream === "undefined") return notice("This browser is too old to unpack the data. Any browser of 2023 or later can.");
    readFacts(await unpack("facts"));
    fillHead();
    fillActions();
    drawStations();
    listen();
    setTheme(rememberedTheme());
    await apply();
    chooseView("messages");
    document.documentElement.dataset.ready = "true";
  }

  begin().catch((error) => notice(`The page cannot show its data: ${error}`));
})();
