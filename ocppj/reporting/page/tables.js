// Tables.

function makeTable(label, columns, lines, empty) {
  if (!lines.length) return make("p", { class: "empty" }, empty);
  const cell = (tag) => (value, index) =>
    make(tag, { class: columns[index].class, ...(tag === "th" ? { scope: "col" } : {}) }, value);
  return make(
    "table",
    { "aria-label": label },
    make("thead", {}, make("tr", {}, ...columns.map((each) => each.name).map(cell("th")))),
    make(
      "tbody",
      {},
      ...lines.map((line) =>
        make("tr", line.chosen ? { class: "chosen", "aria-selected": "true" } : {}, ...line.cells.map(cell("td"))),
      ),
    ),
  );
}

const link = (text, act, label) =>
  make("button", { type: "button", class: "link", onclick: act, "aria-label": label }, text || "-");
const RIGHT = "right short",
  SHORT = "short",
  WIDE = "wide",
  ACTION = "action",
  ID = "id";
const MOST = 1000; // lines of a table

function more(size) {
  return size > MOST
    ? make("p", { class: "quiet" }, `The first ${count(MOST)} of ${count(size)}. The filters find the others.`)
    : "";
}
