// The keyboard.

const KEYS = {
  j: () => move(active + 1),
  ArrowDown: () => move(active + 1),
  k: () => move(active - 1),
  ArrowUp: () => move(active - 1),
  PageDown: () => move(active + page()),
  PageUp: () => move(active - page()),
  Home: () => move(0),
  End: () => move(rows.length - 1),
  Enter: () => {
    if (rows.length) open(rows[active]);
  },
  n: () => moveToError(1),
  N: () => moveToError(-1),
  p: () => {
    const partner = rows.length ? partnerOf(rows[active]) : -1;
    if (partner >= 0) showRow(partner);
  },
};
const page = () => Math.max(1, Math.floor(byId("list").clientHeight / HEIGHT) - 1);

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const target = event.target,
    isField = target.matches("input:not([type=checkbox]), select, textarea");
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
  const all = Object.keys(views),
    at = all.indexOf(view);
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return false;
  chooseView(all[(at + step + all.length) % all.length]);
  byId(`tab-${view}`).focus();
  event.preventDefault();
  return true;
}
