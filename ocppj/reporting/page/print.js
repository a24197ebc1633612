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
      clock(times[row]),
      stationOf(row),
      isEvent(row) ? "" : senders[row] ? "\u2190" : "\u2192",
      kindOf(row),
      shown(actionOf(row)) + (labelOf(row) ? ` ${shown(labelOf(row))}` : ""),
      latencyOf(row) >= 0 ? length(latencyOf(row)) : "",
      make("span", { class: "bad" }, wrongOfPrinted(row)),
    ],
  }));
  byId("printed-messages").replaceChildren(
    make(
      "p",
      { class: "quiet" },
      rows.length > PRINTED ? `The first ${count(PRINTED)} of ${count(rows.length)}. Filters choose others. ` : "",
      "\u2192 from the station, \u2190 from the CSMS. Times are UTC.",
    ),
    makeTable(
      "Messages",
      [
        ["Time", SHORT],
        ["Station", WIDE],
        ["", SHORT],
        ["Kind", SHORT],
        ["Action", ACTION],
        ["Latency", RIGHT],
        ["What is wrong", WIDE],
      ].map(([name, kind]) => ({ name, class: kind })),
      lines,
      "No message passes the filters.",
    ),
  );
}

const wrongOfPrinted = (row) =>
  isError[row] && !isEvent(row)
    ? wrongOf(row)
        .map(([, text]) => shown(text))
        .join("; ")
    : "";

function afterPrint() {
  byId("printed-messages").replaceChildren();
  setTheme(theme);
  chooseView(view);
}
