// The view "transactions".

let chosenTransaction = 0;
const kilo = (value, unit) =>
  value === null || value === undefined
    ? ""
    : `${(value / 1000).toFixed(Math.abs(value) < 100000 ? 2 : 1)} ${unit}`;

function drawTransactions() {
  const found = facts.transactions.map((each, number) => ({ ...each, number })).filter(ofStation);
  const chosen =
    found.find((each) => each.number === chosenTransaction) ||
    found.find((each) => each.energy.length > 1) ||
    found[0];
  byId("transaction-chart").replaceChildren(chosen ? drawCurves(chosen) : "");
  byId("transaction-table").replaceChildren(
    makeTable(
      "Transactions",
      [
        { name: "Transaction", class: ID },
        { name: "Station", class: ID },
        { name: "Connector", class: RIGHT },
        { name: "Id tag", class: ID },
        { name: "Begin", class: SHORT },
        { name: "Length", class: RIGHT },
        { name: "Energy", class: RIGHT },
        { name: "Highest power", class: RIGHT },
        { name: "End", class: ID },
        { name: "", class: "short screen" },
      ],
      found.slice(0, MOST).map((each) => ({
        cells: [
          link(
            shown(each.id) || "no id",
            () => {
              chosenTransaction = each.number;
              drawTransactions();
              focusChosen();
            },
            `Show the curves of transaction ${shown(each.id)}`,
          ),
          nameOfStation(each.station),
          shown(each.connector),
          shown(each.tag),
          each.begin === null ? "before" : dayAndTime(each.begin),
          each.begin === null || each.end === null ? "" : length((each.end - each.begin) / 1e6),
          kilo(each.wh, "kWh"),
          kilo(each.max, "kW"),
          each.end === null ? "goes on" : shown(each.reason),
          link("messages", () => showRow(each.row), `Show the first message of transaction ${shown(each.id)}`),
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
    "figcaption",
    {},
    make("b", {}, `Transaction ${shown(each.id) || "without an id"}, ${nameOfStation(each.station)}`),
    make("span", { class: "key-energy" }, "energy in kWh"),
    make(
      "span",
      { class: "key-power" },
      each.said ? "power in kW, as the station has said it" : "power in kW, on average between two readings",
    ),
    make("span", { id: "reading" }, ""),
  );
  const all = [...energy, ...power].map(([time]) => time);
  if (all.length < 2)
    return make("figure", {}, caption, make("p", { class: "empty" }, "It has no readings over time."));
  let first = Infinity,
    last = -Infinity;
  for (const time of all) {
    first = Math.min(first, time);
    last = Math.max(last, time);
  }
  const width = 1000,
    height = 240,
    left = 44,
    right = width - 44,
    top = 10,
    bottom = height - 22;
  const x = (time) => left + ((time - first) / Math.max(1, last - first)) * (right - left);
  const scaleOf = (curve) => {
    const step = niceStep(Math.max(0.01, ...curve.map(([, value]) => value)), 4);
    return { step, most: step * 4 };
  };
  const ofEnergy = scaleOf(energy),
    ofPower = scaleOf(power);
  const y = (value, scale) => bottom - (Math.max(0, value) / scale.most) * (bottom - top);
  const chart = draw("svg", {
    viewBox: `0 0 ${width} ${height}`,
    role: "img",
    "aria-label": "Energy and power over time",
  });
  const axisText = (value, step) => value.toFixed(step < 0.01 ? 3 : step < 0.1 ? 2 : step < 1 ? 1 : 0);
  for (let line = 0; line <= 4; line++) {
    const at = bottom - (line / 4) * (bottom - top);
    chart.append(draw("line", { class: "axis", x1: left, x2: right, y1: at, y2: at }));
    if (energy.length)
      chart.append(
        draw(
          "text",
          { class: "energy-text", x: left - 6, y: at + 4, "text-anchor": "end" },
          axisText(line * ofEnergy.step, ofEnergy.step),
        ),
      );
    if (power.length)
      chart.append(
        draw("text", { class: "power-text", x: right + 6, y: at + 4 }, axisText(line * ofPower.step, ofPower.step)),
      );
  }
  for (let mark = 0; mark <= 4; mark++) {
    const time = first + (mark / 4) * (last - first);
    chart.append(
      draw(
        "text",
        { x: x(time), y: height - 5, "text-anchor": ["start", "middle", "middle", "middle", "end"][mark] },
        clock(time, 0),
      ),
    );
  }
  const points = (curve, scale) =>
    curve.map(([time, value]) => `${x(time).toFixed(1)},${y(value, scale).toFixed(1)}`).join(" ");
  if (energy.length > 1) {
    const line = points(energy, ofEnergy),
      begin = x(energy[0][0]),
      end = x(energy[energy.length - 1][0]);
    chart.append(
      draw("polygon", { class: "energy-area", points: `${begin},${bottom} ${line} ${end},${bottom}` }),
      draw("polyline", { class: "energy", points: line }),
    );
  }
  if (power.length)
    chart.append(
      draw("polyline", {
        class: "power",
        points: each.said ? points(power, ofPower) : steps(energy, power, x, (value) => y(value, ofPower)),
      }),
    );
  followPointer(chart, caption, { energy, power, first, last, left, right, top, bottom, width, x });
  return make("figure", {}, caption, chart);
}

// A mean holds from one reading to the next.
function steps(energy, power, x, y) {
  let since = energy[0][0];
  return power
    .flatMap(([time, value]) => {
      const both = [
        `${x(since).toFixed(1)},${y(value).toFixed(1)}`,
        `${x(time).toFixed(1)},${y(value).toFixed(1)}`,
      ];
      since = time;
      return both;
    })
    .join(" ");
}

function followPointer(chart, caption, about) {
  const cross = draw("line", { class: "cross", y1: about.top, y2: about.bottom, x1: -9, x2: -9 });
  chart.append(cross);
  const near = (curve, time) =>
    curve.reduce(
      (best, each) => (!best || Math.abs(each[0] - time) < Math.abs(best[0] - time) ? each : best),
      null,
    );
  chart.addEventListener("pointermove", (event) => {
    const box = chart.getBoundingClientRect();
    const at = ((event.clientX - box.left) / box.width) * about.width;
    const time = about.first + ((at - about.left) / (about.right - about.left)) * (about.last - about.first);
    const energy = near(about.energy, time),
      power = near(about.power, time);
    const moment = (energy || power)[0];
    cross.setAttribute("x1", about.x(moment));
    cross.setAttribute("x2", about.x(moment));
    caption.querySelector("#reading").textContent = [
      clock(moment, 0),
      energy ? `${energy[1].toFixed(3)} kWh` : "",
      power ? `${power[1].toFixed(2)} kW` : "",
    ]
      .filter(Boolean)
      .join("  \u00b7  ");
  });
}
