// The view "gaps".

const ofStation = (each) => filter.station < 0 || each.station === filter.station;

function drawGaps() {
  const found = facts.gaps.filter(ofStation);
  byId("gap-chart").replaceChildren(found.length ? drawStrips(found) : "");
  byId("gap-table").replaceChildren(
    makeTable(
      "Gaps",
      [
        { name: "Station", class: ID },
        { name: "Gap", class: SHORT },
        { name: "From", class: SHORT },
        { name: "Length", class: RIGHT },
        { name: "Reason", class: WIDE },
      ],
      found.slice(0, MOST).map((gap) => ({
        cells: [
          nameOfStation(gap.station),
          make("span", { class: gap.kind === "silent" ? "" : "bad" }, gap.kind),
          link(
            dayAndTime(gap.begin),
            () => showRow(gap.row),
            `Show the last message before the gap, at ${dayAndTime(gap.begin)}`,
          ),
          length((gap.end - gap.begin) / 1e6) + (gap.open ? ", to the end" : ""),
          shown(gap.reason),
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
  const [first, last] = range(times.map((_, row) => row));
  const begun = new Map(); // when each station came first
  for (let row = total - 1; row >= 0; row--) if (times[row]) begun.set(stations[row], times[row]);
  const width = 1000,
    left = 150,
    step = 22,
    height = shownStations.length * step + 22;
  const x = (time) => left + ((time - first) / Math.max(1, last - first)) * (width - left);
  const chart = draw("svg", {
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": "When each station was there",
  });
  shownStations.forEach((station, index) => {
    const y = index * step,
      name = nameOfStation(station);
    chart.append(
      draw("text", { class: "name-text", x: 0, y: y + 14 }, name.length > 22 ? name.slice(0, 21) + "\u2026" : name),
      draw("rect", {
        class: "there",
        x: x(begun.get(station)),
        y: y + 3,
        width: Math.max(1, width - x(begun.get(station))),
        height: 14,
        rx: 2,
      }),
    );
    for (const gap of found.filter((each) => each.station === station)) {
      const bar = draw("rect", {
        class: gap.kind === "silent" ? "silent" : "lost",
        x: x(gap.begin),
        y: y + 3,
        width: Math.max(1.5, x(gap.end) - x(gap.begin)),
        height: 14,
      });
      bar.append(draw("title", {}, `${gap.kind}, ${length((gap.end - gap.begin) / 1e6)}`));
      chart.append(bar);
    }
  });
  chart.append(
    draw("text", { x: left, y: height - 5 }, dayAndTime(first)),
    draw("text", { x: width, y: height - 5, "text-anchor": "end" }, dayAndTime(last)),
  );
  return make(
    "figure",
    {},
    make(
      "figcaption",
      {},
      "There (green), silent for longer than expected (amber), not connected (red). Times are UTC.",
    ),
    chart,
  );
}
