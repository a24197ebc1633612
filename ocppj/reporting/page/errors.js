// The view "errors".

function wrongOf(row) {
  const kind = kindOf(row),
    wrong = [];
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
      const group = groups.get(key) || {
        kind,
        text,
        action: actions[row],
        first: row,
        rows: 0,
        stations: new Set(),
      };
      group.rows++;
      group.stations.add(stations[row]);
      groups.set(key, group);
    }
  }
  const found = [...groups.values()].sort((a, b) => b.rows - a.rows);
  byId("error-table").replaceChildren(
    makeTable(
      "Errors",
      [
        { name: "Kind", class: SHORT },
        { name: "What is wrong", class: WIDE },
        { name: "Action", class: ACTION },
        { name: "Times", class: RIGHT },
        { name: "Stations", class: RIGHT },
        { name: "First", class: SHORT },
      ],
      found.slice(0, MOST).map((each) => ({
        cells: [
          make("span", { class: "bad" }, each.kind),
          shown(each.text) || "-",
          shown(names[each.action]),
          count(each.rows),
          count(each.stations.size),
          link(
            dayAndTime(times[each.first]),
            () => showRow(each.first),
            `Show the first message, at ${dayAndTime(times[each.first])}`,
          ),
        ],
      })),
      "No errors pass the filters.",
    ),
    more(found.length),
  );
}
