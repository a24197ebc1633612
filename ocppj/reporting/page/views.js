// The views: each is drawn when it is looked at.

const views = {
  messages: () => {
    bins = null;
    drawOverview();
    scrollToActive(false);
    drawList();
  },
  latencies: drawLatencies,
  errors: drawErrors,
  gaps: drawGaps,
  transactions: drawTransactions,
};
let view = "messages";
let stale = new Set(Object.keys(views)); // the views that the filters have changed since they were drawn

function drawView() {
  if (stale.delete(view)) views[view]();
}

function chooseView(name) {
  view = name;
  for (const each of Object.keys(views)) {
    byId(each).hidden = each !== name;
    const tab = byId(`tab-${each}`);
    tab.setAttribute("aria-selected", String(each === name));
    tab.tabIndex = each === name ? 0 : -1;
  }
  drawView();
}

function setAction(number) {
  filter.action = number;
  byId("action").value = String(number);
  apply();
}
