// Dark and light.

const THEMES = ["auto", "light", "dark"];
let theme = "auto";

function setTheme(name) {
  theme = name;
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
  byId("theme").textContent = `Theme: ${name}`;
  stale.add("latencies").add("messages");
  drawView();
}

function nextTheme() {
  setTheme(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]);
  try {
    localStorage.setItem("ocppj-report-theme", theme);
  } catch {
    /* not allowed here */
  }
}

function rememberedTheme() {
  try {
    const found = localStorage.getItem("ocppj-report-theme");
    return THEMES.includes(found) ? found : "auto";
  } catch {
    return "auto";
  }
}
