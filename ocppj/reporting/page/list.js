// The list: only the rows that can be seen are in the page.

const HEIGHT = 32;
const TALLEST = 8000000; // pixels that every browser can scroll
const LONG = 60; // seconds without a message that are marked
let soon = 0;

function drawSoon() {
  if (!soon)
    soon = requestAnimationFrame(() => {
      soon = 0;
      drawList();
    });
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
  const list = byId("list"),
    win = byId("window");
  byId("space").style.height = `${tall()}px`;
  const top = topRow(),
    first = Math.floor(top);
  const size = Math.min(rows.length - first, Math.ceil(list.clientHeight / HEIGHT) + 1);
  const partner = rows.length ? partnerOf(rows[active]) : -1;
  const drawn = [];
  for (let index = first; index < first + size; index++) drawn.push(makeRow(index, partner));
  if (!rows.length)
    drawn.push(
      make("p", { class: "empty" }, total ? "No message passes the filters." : "The recording has no messages."),
    );
  win.replaceChildren(...drawn);
  win.style.transform = `translateY(${list.scrollTop - (top - first) * HEIGHT}px)`;
  byId("day").textContent = rows.length && times[rows[first]] ? `${day(times[rows[first]])} UTC` : "";
  list.setAttribute("aria-activedescendant", `row-${active}`);
  markOverview(first, size);
}

function makeRow(index, partner) {
  const row = rows[index],
    wrong = isError[row];
  const before = index ? times[rows[index - 1]] : 0;
  const since = before && times[row] ? (times[row] - before) / 1e6 : 0;
  const pause = since >= LONG;
  const classes = ["row", wrong ? "wrong" : "", row === partner ? "partner" : "", pause ? "pause" : ""];
  const latency = latencyOf(row);
  return make(
    "div",
    {
      class: classes.filter(Boolean).join(" "),
      role: "option",
      id: `row-${index}`,
      "data-index": index,
      "aria-selected": index === active ? "true" : "false",
      "aria-posinset": index + 1,
      "aria-setsize": rows.length,
    },
    make("span", { class: "time" }, clock(times[row])),
    make("span", { class: "pause-time" }, since >= 0.001 ? `+${length(since)}` : ""),
    make("span", { class: "who" }, filter.station < 0 ? stationOf(row) : ""),
    makeLane(row),
    make("span", { class: "peek" }, ...peek(row)),
    make(
      "span",
      { class: latency >= 1 ? "latency slow" : "latency" },
      latency >= 0 ? length(latency) : unanswered.has(row) ? make("span", { class: "bad" }, "no answer") : "",
    ),
  );
}

function makeLane(row) {
  const kind = kindOf(row);
  const classes = [
    "lane",
    isEvent(row) ? "event" : kind,
    senders[row] ? "left" : "right",
    unsent.has(row) ? "unsent" : "",
  ];
  return make("span", { class: classes.filter(Boolean).join(" ") }, make("span", { class: "label" }, nameOf(row)));
}

function nameOf(row) {
  const kind = kindOf(row),
    action = shown(actionOf(row));
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
  const fits = list.clientHeight / HEIGHT,
    top = topRow();
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
