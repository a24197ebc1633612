"""A report as one page for a browser. It needs no network."""

from __future__ import annotations

from html import escape
from typing import Any, Dict, Iterator

from ..outcomes import Report
from ..verdicts import VERDICTS
from .values import values_of

__all__ = ["html_page"]

_STYLE = """
:root { color-scheme: light dark; --fail: #c62828; --suspicious: #b26a00; --pass: #2e7d32; --na: #757575; }
@media (prefers-color-scheme: dark) {
  :root { --fail: #ff8a80; --suspicious: #ffb74d; --pass: #81c784; --na: #9e9e9e; }
}
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; } nav { display: flex; flex-wrap: wrap; gap: .5rem; margin: 1rem 0; }
nav button, nav input, nav select { font: inherit; padding: .2rem .7rem; }
button[aria-pressed=true] { font-weight: bold; outline: 2px solid currentColor; }
details { border-top: 1px solid #8886; padding: .35rem 0; } summary { cursor: pointer; }
.verdict { display: inline-block; min-width: 7.5rem; font-weight: bold; }
.fail { color: var(--fail); } .suspicious { color: var(--suspicious); } .pass { color: var(--pass); }
.not-applicable { color: var(--na); } code, table { font: 13px/1.45 ui-monospace, monospace; }
table { border-collapse: collapse; width: 100%; } td { padding: .1rem .6rem .1rem 0; vertical-align: top; }
td:last-child { overflow-wrap: anywhere; white-space: pre-wrap; width: 100%; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; margin: .4rem 0; } dd { margin: 0; }
.ended { border: 2px solid var(--fail); padding: .5rem 1rem; }
@media print { nav { display: none; } details:not([open]) > :not(summary) { display: none; } }
"""

_SCRIPT = """
const cases = [...document.querySelectorAll("details")];
const buttons = [...document.querySelectorAll("nav button[data-verdict]")];
const text = document.querySelector("nav input"), version = document.querySelector("nav select");
let chosen = "";
function filter() {
  const wanted = text.value.toLowerCase();
  for (const each of cases) {
    const fits = (!chosen || each.dataset.verdict === chosen)
      && (!version.value || each.dataset.version === version.value)
      && (!wanted || each.textContent.toLowerCase().includes(wanted));
    each.hidden = !fits;
  }
}
for (const button of buttons) button.addEventListener("click", () => {
  chosen = chosen === button.dataset.verdict ? "" : button.dataset.verdict;
  for (const each of buttons) each.setAttribute("aria-pressed", String(each.dataset.verdict === chosen));
  filter();
});
text.addEventListener("input", filter); version.addEventListener("change", filter);
"""


def html_page(report: Report, show_secrets: bool = False) -> str:
    """Return the page: the counts, and each case with its rule, its verdict and its frames. Failures come first.

    Args:
        report: The report.
        show_secrets: Whether passwords and keys are shown. Else ``***`` stands for them.
    """
    return "\n".join(_parts(report, values_of(report, show_secrets)))


def _parts(report: Report, values: Dict[str, Any]) -> Iterator[str]:
    what = "Central system" if values["role"] == "csms" else "Charging station"
    yield '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{what} {escape(values['peer'])}: ocppj check</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>{what} <code>{escape(values['peer'])}</code></h1>"
    yield f"<p>{escape(values['begun'])}, {len(values['cases'])} cases in {values['seconds']:.1f} s.</p>"
    if values["ended"]:
        rest = f"{values['not_run']} cases were not run."
        yield f"<p class=ended>The run ended early: {escape(values['ended'])}. {rest}</p>"
    yield from _filters(values, report.counts())
    rank = {verdict: number for number, verdict in enumerate(VERDICTS)}
    for case in sorted(values["cases"], key=lambda each: rank[each["verdict"]]):
        yield from _case(case)
    yield f"<script>{_SCRIPT}</script></body></html>"


def _filters(values: Dict[str, Any], counts: Dict[str, int]) -> Iterator[str]:
    yield "<nav>"
    for verdict, count in counts.items():
        name = verdict.replace(" ", "-")
        yield f'<button class={name} data-verdict="{verdict}" aria-pressed=false>{verdict}: {count}</button>'
    yield '<select aria-label="OCPP version"><option value="">all versions</option>'
    for version in dict.fromkeys(each["version"] for each in values["cases"]):
        yield f"<option>{escape(version)}</option>"
    yield '</select><input type=search placeholder="text" aria-label="text"></nav>'


def _case(case: Dict[str, Any]) -> Iterator[str]:
    name = case["verdict"].replace(" ", "-")
    is_open = " open" if case["verdict"] == "fail" else ""
    yield f'<details data-verdict="{case["verdict"]}" data-version="{escape(case["version"])}"{is_open}>'
    yield f"<summary><span class='verdict {name}'>{case['verdict']}</span> <code>{escape(case['id'])}</code> "
    yield f"{escape(case['version'])}: {escape(case['title'])}</summary><dl>"
    if case["reason"]:
        yield f"<dt>Reason<dd>{escape(case['reason'])}"
    yield f"<dt>Expected<dd>{escape(case['expects'])}<dt>Rule<dd>{escape(case['section'])}</dl><table>"
    for frame in case["frames"]:
        yield f"<tr><td>{frame['at']:.3f}<td>{escape(frame['from'])}<td>{escape(frame['text'])}</tr>"
    yield "</table></details>"
