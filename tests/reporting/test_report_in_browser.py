"""The page of a report in a real browser: it is clicked, filtered, printed, and measured."""

import base64
import os
from pathlib import Path
from typing import Iterable, Iterator, List

import pytest

from ocppj.recording import Recorded, find_frames, read_recording
from ocppj.reporting import write_page
from tests.helpers import seconds
from tests.reporting.recorded_days import demo, large

pytest.importorskip("selenium", reason="selenium, which needs Python 3.10, is not installed")
from selenium.webdriver.common.keys import Keys

from tests.reporting.chromium import MISSING, Browser, driver, must_be_here, needs_chromium

#: People who want to look at the screenshots name a folder.
SHOTS = "OCPPJ_TEST_SHOTS"


def make(folder: Path, recording: Iterable[Recorded]) -> Path:
    path = folder / "page.html"
    with open(path, "w", encoding="utf-8") as out:
        write_page(recording, out, title="s.jsonl")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    shots = Path(os.environ.get(SHOTS) or tmp_path_factory.mktemp("shots"))
    shots.mkdir(parents=True, exist_ok=True)
    with Browser(shots) as opened:
        yield opened


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("page"), read_recording(demo().splitlines()))


@pytest.fixture
def page(browser: Browser, path: Path) -> Iterator[Browser]:
    browser.resize(1400, 850)
    browser.emulate("light")
    browser.open(path)
    yield browser
    assert browser.complaints() == []  # no error, and nothing that the policy of the page has stopped


def test_ci_has_the_browser() -> None:
    assert driver() or not must_be_here(), MISSING


@needs_chromium
def test_it_shows_the_messages_and_loads_nothing(page: Browser) -> None:
    page.wait("document.querySelectorAll('.row').length > 10")
    page.wait("document.querySelector('.row:nth-child(3) .peek').innerText.includes('chargePointVendor')")
    page.shot("messages")
    assert page.text("#about").startswith("2026-11-30 08:00:00 to 10:25:19 UTC")
    assert page.text("#count") == "141 rows"
    assert page.text(".row .label") == "connected"
    assert len(page.texts(".row")) < 40  # only those that can be seen are in the page
    assert page.run("return performance.getEntriesByType('resource').length") == 0


@needs_chromium
def test_what_a_peer_sends_stays_text(page: Browser) -> None:
    assert page.run("return document.title") == "s.jsonl - OCPP report"
    assert page.run("return document.images.length") == 0
    name = page.texts("#stations .id")[3]
    assert name.startswith('CP_</script><script>document.title="broken"')
    page.click("#stations li:nth-child(4) button")
    page.wait("document.querySelector('#count').innerText === '14 of 141 rows'")
    assert "\\u202e" in page.text("#left-end") or "</script>" in page.text("#left-end")
    page.click("#only-errors")
    page.wait("document.querySelectorAll('.row').length === 1")
    page.click(".row")
    page.wait("!document.querySelector('#details').hidden")
    assert "\\u202egpj.exe" in page.text("#details pre")
    assert "\u202e" not in page.run("return document.body.innerText")
    page.shot("evil")


@needs_chromium
def test_a_message_opens_with_its_faults_and_leads_to_its_answer(page: Browser) -> None:
    page.click("#list .row:nth-child(3)")
    page.wait("!document.querySelector('#details').hidden")
    assert page.text("#details h2") == "CALL BootNotification"
    assert '"chargePointVendor": "Vendor"' in page.text("#details pre")
    page.shot("details")
    page.click("#details .actions button")
    page.wait("document.querySelector('#details h2').innerText === 'RESULT BootNotification'")
    assert "120 ms" in page.text("#details dl")
    page.click("#raw")
    page.wait("document.querySelector('#details pre').innerText.startsWith('[3, ')")
    page.press("n")
    page.wait("document.querySelector('.faults')")
    assert "'Sleeping'" in page.text(".faults")
    page.shot("faults")
    page.press(Keys.ESCAPE)
    assert page.run("return document.querySelector('#details').hidden")


@needs_chromium
def test_filters(page: Browser) -> None:
    page.click("#stations li:nth-child(3) button")
    page.wait("document.querySelector('#count').innerText === '61 of 141 rows'")
    page.run(
        "const a = document.querySelector('#action'); a.value = [...a.options].find((o) => o.text.startsWith("
        "'TransactionEvent')).value; a.dispatchEvent(new Event('change'))"
    )
    page.wait("document.querySelector('#count').innerText === '18 of 141 rows'")
    assert set(page.texts(".row .label")) == {"TransactionEvent"}
    page.press("/", "CARD7")
    page.wait("document.querySelector('#count').innerText === '1 of 141 rows'")
    page.shot("filters")
    page.click("#clear")
    page.wait("document.querySelector('#count').innerText === '141 rows'")
    page.press("/", "network failed")
    page.wait("document.querySelector('#count').innerText === '1 of 141 rows'")
    assert page.texts(".row .label") == ["disconnected"]
    page.press(Keys.ESCAPE)
    page.wait("document.querySelector('#count').innerText === '141 rows'")
    page.press("/", "no such text")
    page.wait("document.querySelector('.empty')")
    assert page.text("#list") == "No message passes the filters."


@needs_chromium
def test_keys_do_all(page: Browser) -> None:
    def active() -> str:
        return page.text(".row[aria-selected=true] .label")

    page.press("j", "j")
    assert active() == "BootNotification"
    page.press("k", Keys.ARROW_DOWN, Keys.ENTER)
    page.wait("!document.querySelector('#details').hidden")
    page.press("p")
    page.wait("document.querySelector('#details h2').innerText === 'RESULT BootNotification'")
    page.press(Keys.ESCAPE, Keys.END)
    assert page.run("return document.querySelector('#list').getAttribute('aria-activedescendant')") == "row-140"
    page.press(Keys.HOME, "n")
    assert active() == "StatusNotification"
    page.press("e")
    page.wait("document.querySelector('#count').innerText === '5 of 141 rows'")
    page.press("e", "5")
    page.wait("!document.querySelector('#transactions').hidden")
    page.press(Keys.ARROW_LEFT)
    page.wait("!document.querySelector('#gaps').hidden")
    assert page.run("return document.activeElement.id") == "tab-gaps"
    outline = page.run("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.press("?")
    page.wait("document.querySelector('#help').open")
    page.shot("keys")
    page.press(Keys.ESCAPE)
    page.wait("!document.querySelector('#help').open")


@needs_chromium
def test_latencies_errors_gaps_and_transactions(page: Browser) -> None:
    page.press("2")
    page.wait("document.querySelector('#latency-table tbody')")
    assert page.text("#latency-table tbody tr").split("\t")[:3] == ["Heartbeat", "station", "36"]
    page.shot("latencies")
    page.press("3")
    page.wait("document.querySelector('#error-table tbody')")
    assert len(page.texts("#error-table tbody tr")) == 5
    page.shot("errors")
    page.press("4")
    page.wait("document.querySelector('#gap-table tbody')")
    assert [each.split("\t")[1] for each in page.texts("#gap-table tbody tr")] == ["silent", "not connected", "silent"]
    page.shot("gaps")
    page.press("5")
    page.wait("document.querySelector('#transaction-chart polyline.power')")
    page.shot("transactions")
    page.click("#transaction-table tbody tr:nth-child(2) button")
    page.wait("document.querySelector('#transaction-chart b').innerText === 'Transaction tx-2, CS_2'")
    assert "on average" in page.text("#transaction-chart figcaption")
    page.shot("transactions-2")
    page.click("#transaction-table tbody tr:nth-child(2) td:last-child button")
    page.wait("!document.querySelector('#messages').hidden && !document.querySelector('#details').hidden")
    assert page.text("#details h2") == "CALL TransactionEvent"
    assert '"Started"' in page.text("#details pre")


CONTRASTS = """
const probe = document.createElement('span');
document.body.append(probe);
const rgb = (name) => {
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map((each) => {
    const part = each / 255;
    return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
};
const light = (name) => { const [r, g, b] = rgb(name); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
const found = {};
for (const front of ['text', 'quiet', 'accent', 'call', 'result', 'error', 'warn', 'event']) {
  for (const back of ['ground', 'raised', 'chosen', 'error-ground']) {
    const [high, low] = [light(front), light(back)].sort((a, b) => b - a);
    found[`${front} on ${back}`] = (high + 0.05) / (low + 0.05);
  }
}
probe.remove();
return found;
"""


@needs_chromium
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_dark_and_light_can_be_read(page: Browser, scheme: str) -> None:
    other = "dark" if scheme == "light" else "light"
    ground = "return getComputedStyle(document.body).backgroundColor"
    page.emulate(scheme)
    as_system = page.run(ground)
    page.emulate(other)
    assert page.run(ground) != as_system
    while page.text("#theme") != f"Theme: {scheme}":
        page.press("t")
    assert page.run(ground) == as_system
    weak = {pair: ratio for pair, ratio in page.run(CONTRASTS).items() if ratio < 4.5}
    assert not weak
    page.press("n", Keys.ENTER)
    page.wait("document.querySelector('.faults')")
    page.shot(scheme)
    while page.text("#theme") != "Theme: auto":
        page.press("t")


@needs_chromium
def test_print(page: Browser) -> None:
    page.press("t", "t", "2")  # dark is printed in light colours, too
    page.wait("document.querySelector('#latency-table tbody')")
    assert base64.b64decode(page.pdf()).startswith(b"%PDF")
    assert page.text("#theme") == "Theme: dark"
    assert page.run("return [...document.querySelectorAll('.panel')].filter((each) => !each.hidden).length") == 1
    page.resize(800, 1100)
    page.emulate(media="print")
    page.run("window.dispatchEvent(new Event('beforeprint'))")
    printed: List[str] = page.texts("h2.printed")
    assert printed == ["Messages", "Latencies", "Errors", "Gaps", "Transactions"]
    assert len(page.texts("#printed-messages tbody tr")) == 141
    assert page.run("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    page.resize(800, 2400)
    page.shot("print")
    page.run("window.dispatchEvent(new Event('afterprint'))")
    page.press("t")


@needs_chromium
def test_a_small_window_is_enough(page: Browser) -> None:
    page.resize(500, 800)
    page.wait("document.querySelectorAll('.row').length > 3")
    assert page.run("return document.documentElement.scrollWidth <= innerWidth")
    page.click(".row:nth-child(2)")
    page.wait("!document.querySelector('#details').hidden")
    page.shot("small")


NAMELESS = """
const all = [...document.querySelectorAll('button, input, select, canvas, svg, nav, aside, [role=listbox]')];
const label = (each) => each.getAttribute('aria-label') || each.textContent.trim() || (each.labels || []).length;
return all.filter((each) => !label(each)).map((each) => each.outerHTML);
"""


@needs_chromium
def test_all_has_names_for_screen_readers(page: Browser) -> None:
    assert page.run("return ['header', 'nav', 'main'].every((each) => document.querySelector(each))")
    page.click(".row:nth-child(3)")
    page.wait("!document.querySelector('#details').hidden")
    nameless = page.run(NAMELESS)
    assert nameless == []


@needs_chromium
def test_messages_without_a_time_do_not_stretch_the_time(browser: Browser, tmp_path: Path) -> None:
    lines = [
        '[2,"1","Heartbeat",{}]',
        *(f'2026-11-30 08:0{minute}:00 [2,"{minute + 2}","Heartbeat",{{}}]' for minute in (1, 2)),
    ]
    browser.open(make(tmp_path, find_frames(lines)))
    assert browser.text("#about").startswith("2026-11-30 08:01:00 to 08:02:00 UTC")
    assert browser.texts(".row .time") == ["no time", "08:01:00.000", "08:02:00.000"]
    assert browser.texts(".row .pause-time") == ["", "", "+60 s"]
    assert browser.complaints() == []


MEASURED = """
const found = {}, byId = (id) => document.getElementById(id);
const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));
const timed = async (name, act, until) => {
  const begin = performance.now();
  act();
  while (!until()) await frame();
  await frame();
  found[name] = Math.max(found[name] || 0, performance.now() - begin);
};
const count = () => byId('count').textContent;
const type = (text) => { byId('text').value = text; byId('text').dispatchEvent(new Event('input')); };
const station = (number) => document.querySelectorAll('#stations button')[number].click();
const list = byId('list'), top = () => document.querySelector('.row').dataset.index;
await timed('first search', () => type('needle2500'), () => count() === '2 of 100,000 rows');
await timed('filter', () => type(''), () => count() === '100,000 rows');
await timed('filter', () => byId('only-errors').click(), () => /^[\\d,]+ of/.test(count()));
await timed('filter', () => byId('only-errors').click(), () => count() === '100,000 rows');
await timed('filter', () => station(3), () => /^[\\d,]+ of/.test(count()));
await timed('filter', () => station(0), () => count() === '100,000 rows');
await timed('filter', () => type('needle'), () => /^[\\d,]+ of/.test(count()));
await timed('filter', () => type(''), () => count() === '100,000 rows');
for (let step = 1; step <= 30; step++) {
  const before = top();
  await timed('scroll', () => { list.scrollTop = step * 90000; }, () => top() !== before);
}
for (let step = 1; step <= 30; step++) {
  const before = top();
  const press = () => list.dispatchEvent(new KeyboardEvent('keydown', {key: 'PageUp', bubbles: true}));
  await timed('key', press, () => top() !== before);
}
for (const name of ['latencies', 'errors', 'gaps', 'transactions', 'messages']) {
  await timed('view', () => byId(`tab-${name}`).click(), () => !byId(name).hidden);
}
found.rows = document.querySelectorAll('.row').length;
return found;
"""


@needs_chromium
@pytest.mark.alone
def test_100_000_messages_stay_quick(browser: Browser, tmp_path: Path) -> None:
    path = make(tmp_path, large(100_000))
    assert path.stat().st_size < 8_000_000
    browser.resize(1400, 850)
    browser.open(path)
    found = browser.run_async(MEASURED)
    browser.shot("large")
    print(found)
    assert found.pop("rows") < 40
    limits = {"first search": 3000, "filter": 700, "scroll": 250, "key": 250, "view": 700}
    slow = {name: milliseconds for name, milliseconds in found.items() if milliseconds > seconds(limits[name])}
    assert not slow, found
    assert browser.complaints() == []
