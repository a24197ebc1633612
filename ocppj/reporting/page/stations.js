// The list of stations.

function drawStations() {
  const wanted = byId("find-station").value.toLowerCase();
  const sums = facts.stations.map(() => ({ all: 0, wrong: 0 }));
  for (let row = 0; row < total; row++) {
    sums[stations[row]].all += isEvent(row) ? 0 : 1;
    sums[stations[row]].wrong += isError[row];
  }
  const found = facts.stations
    .map((each, number) => ({ ...each, number }))
    .filter((each) => each.id.toLowerCase().includes(wanted));
  const all = sums.reduce((sum, each) => ({ all: sum.all + each.all, wrong: sum.wrong + each.wrong }), {
    all: 0,
    wrong: 0,
  });
  byId("stations").replaceChildren(
    makeStation(-1, "All stations", `${plural(all.all, "message", "messages")}`, all.wrong),
    ...found
      .slice(0, MOST)
      .map((each) =>
        makeStation(
          each.number,
          nameOfStation(each.number),
          [each.versions.map(shown).join(", "), plural(sums[each.number].all, "message", "messages")]
            .filter(Boolean)
            .join(" \u00b7 "),
          sums[each.number].wrong,
        ),
      ),
    found.length > MOST ? make("li", { class: "quiet" }, `${count(found.length - MOST)} more`) : "",
  );
  markStation();
}

function makeStation(number, name, about, wrong) {
  return make(
    "li",
    {},
    make(
      "button",
      { type: "button", "data-station": number, title: name, onclick: () => chooseStation(number) },
      make("span", { class: "id" }, name),
      make(
        "span",
        { class: "wrong", "aria-label": wrong ? plural(wrong, "error", "errors") : null },
        wrong ? count(wrong) : "",
      ),
      make("small", {}, about),
    ),
  );
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
