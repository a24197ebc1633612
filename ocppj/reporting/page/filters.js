// The filters, and the rows that pass them.

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
  byId("count").textContent =
    rows.length === total
      ? plural(total, "row", "rows")
      : `${count(rows.length)} of ${plural(total, "row", "rows")}`;
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
  let low = 0,
    high = rows.length;
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
