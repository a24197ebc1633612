"""The page of a report, as a file."""

import base64
import hashlib
import io
import json
import re
import zlib
from pathlib import Path
from typing import Any, List, Union

import ocppj
from ocppj.recording import Recorded, read_recording
from ocppj.reporting import write_page
from tests.reporting.recorded_days import EVIL, demo, large

FOLDER = Path(ocppj.__file__).parent / "reporting" / "page"


def page(recording: Union[str, List[Recorded]], **options: Any) -> str:
    out = io.StringIO()
    recorded = read_recording(recording.splitlines()) if isinstance(recording, str) else recording
    write_page(recorded, out, title=f"{EVIL}.jsonl", **options)
    return out.getvalue()


def data(html: str, name: str) -> Any:
    match = re.search(rf'<script type="text/plain" id="{name}">([A-Za-z0-9+/=]*)</script>', html)
    assert match, name
    return json.loads(zlib.decompress(base64.b64decode(match[1])))


def test_it_is_small_and_asks_no_network() -> None:
    html = page(demo())
    assert len(html.encode("utf-8")) < 1_000_000
    assert "http://" not in html.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in html
    assert "@import" not in html
    assert "url(" not in html


def test_what_a_peer_sends_is_nowhere_in_the_page_but_in_the_data() -> None:
    html = page(demo())
    assert "<img" not in html
    assert "\u202e" not in html
    scripts = re.findall(r"<script[^>]*>", html)
    assert len(scripts) == html.count("</script>") == 3
    assert [each for each in scripts if "text/plain" not in each] == ["<script>"]
    assert EVIL in json.dumps(data(html, "texts-0"), ensure_ascii=False).replace("\\\\", "\\").replace('\\"', '"')


def test_the_policy_allows_what_the_page_has_and_nothing_else() -> None:
    html = page(demo())
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy
    assert "default-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]
    for tag in ("style", "script"):
        inner = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
        assert len(inner) == 1
        digest = base64.b64encode(hashlib.sha256(inner[0].encode("utf-8")).digest()).decode("ascii")
        assert f"{tag}-src 'sha256-{digest}'" in policy[1]


def test_its_data() -> None:
    html = page(demo())
    facts, texts = data(html, "facts"), data(html, "texts-0")
    rows = facts["rows"]
    size = len(texts)
    assert {len(rows[name]) for name in ("times", "stations", "kinds", "senders", "actions", "partners")} == {size}
    assert [each["id"] for each in facts["stations"]][:2] == ["CP_1", "CS_2"]
    answer = next(row for row in range(size) if texts[row].startswith("[3,"))
    call = answer + rows["partners"][answer]
    assert json.loads(texts[call])[1] == json.loads(texts[answer])[1]
    assert call + rows["partners"][call] == answer


def test_texts_come_in_pieces() -> None:
    html = page(large(5000))
    assert [len(data(html, f"texts-{piece}")) for piece in range(3)][:2] == [2000, 2000]


def test_secrets_are_hidden_in_it() -> None:
    assert "hunter2" not in json.dumps(data(page(demo()), "texts-0"))
    assert "hunter2" in json.dumps(data(page(demo(), show_secrets=True), "texts-0"))


def test_it_has_all_parts_of_its_script() -> None:
    html = page(demo())
    for file in FOLDER.glob("*.js"):
        assert file.read_text("utf-8") in html, file.name


def test_installed_packages_have_its_files() -> None:
    """What setup.cfg does not name is missing in a wheel."""
    setup = Path(__file__).resolve().parents[2] / "setup.cfg"
    section = setup.read_text("utf-8").split("[options.package_data]")[1].split("[")[0]
    for file in FOLDER.iterdir():
        assert f"page/*{file.suffix}" in section, file.name
