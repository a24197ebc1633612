// The begin: reads the data, and listens to the user.

function fillActions() {
  const used = new Map();
  for (let row = 0; row < total; row++) if (actions[row]) used.set(actions[row], (used.get(actions[row]) || 0) + 1);
  const sorted = [...used].sort((a, b) => (names[a[0]] < names[b[0]] ? -1 : 1));
  byId("action").replaceChildren(
    make("option", { value: "-1" }, "All actions"),
    ...sorted
      .slice(0, MOST)
      .map(([number, size]) =>
        make("option", { value: number }, `${shown(names[number]).slice(0, 60)} (${count(size)})`),
      ),
  );
}

function fillHead() {
  byId("title").textContent = shown(facts.title) || "OCPP report";
  const events = kinds.reduce((sum, each) => sum + (each >= CONNECTED ? 1 : 0), 0);
  const wrong = isError.reduce((sum, each) => sum + each, 0);
  const parts = [
    plural(total - events, "message", "messages"),
    plural(facts.stations.length, "station", "stations"),
    plural(wrong, "error", "errors"),
  ];
  if (times.some(Boolean)) {
    const [first, last] = range(times.map((_, row) => row));
    parts.unshift(`${dayAndTime(first)} to ${day(first) === day(last) ? clock(last, 0) : dayAndTime(last)} UTC`);
  }
  byId("about").textContent = parts.join("  \u00b7  ");
  for (const [name, size] of [
    ["errors", wrong],
    ["gaps", facts.gaps.length],
    ["transactions", facts.transactions.length],
  ]) {
    byId(`tab-${name}`).append(
      " ",
      make("span", { class: size && name === "errors" ? "wrong" : "quiet" }, count(size)),
    );
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
    typing = setTimeout(() => {
      filter.text = byId("text").value;
      apply();
    }, 120);
  });
  byId("action").addEventListener("change", () => setAction(Number(byId("action").value)));
  byId("only-errors").addEventListener("change", () => {
    filter.errors = byId("only-errors").checked;
    apply();
  });
  byId("clear").addEventListener("click", () => {
    clearFilters();
    apply();
  });
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
  window.addEventListener("resize", () => {
    stale.add("latencies").add("messages");
    drawView();
  });
  new ResizeObserver(drawSoon).observe(byId("list"));
  window.addEventListener("beforeprint", beforePrint);
  window.addEventListener("afterprint", afterPrint);
}

async function begin() {
  if (typeof DecompressionStream === "undefined")
    return notice("This browser is too old to unpack the data. Any browser of 2024 or later can.");
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
