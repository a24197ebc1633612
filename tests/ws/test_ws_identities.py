"""How a server learns the identity of a client: templates of paths, and functions."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocppj.errors import UsageError
from ocppj.ws.handshake.identities import BadIdentity, PathTemplates, identification
from ocppj.ws.handshake.request import HandshakeRequest
from ocppj.ws.handshake.urls import connection_url, split_target

NO_CONTROLS = st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp"))


def found(target, *templates):
    """Return the identity and the values of the placeholders; ``None`` for another path."""
    path, query = split_target(target)
    request = HandshakeRequest("", path, query, {}, "here", ())
    identified = PathTemplates(list(templates) or "/ocpp/{id}").identify(request)
    return identified and (identified.identity, identified.values)


def identity(target, template="/ocpp/{id}"):
    answer = found(target, template)
    return answer and answer[0]


@given(st.text(NO_CONTROLS, min_size=1, max_size=48).filter(lambda text: text not in (".", "..")))
def test_every_identity_survives_the_url(text):
    target = connection_url("ws://csms/ocpp", text)[len("ws://csms") :]
    assert identity(target) == text


@given(st.lists(st.sampled_from(["/", "ocpp", "%", "%2F", "%c3", ".", "CP", "\xe9", "{id}", "\x00", "?"]), max_size=9))
def test_no_path_breaks_it(parts):
    for templates in (["/{id}", "/ocpp/{id}"], ["/{tenant}/{id}/x", "/{id}"]):
        with suppress(BadIdentity):
            found("".join(parts), *templates)


@pytest.mark.parametrize("target", ["/ocpp", "/", "/OCPP/CP", "/ocpp/CP/x", "/x/ocpp/CP", "/ocpp/%zz/CP", "*", ""])
def test_other_paths(target):
    assert found(target) is None


@pytest.mark.parametrize("target", ["/ocpp//CP", "//ocpp/CP", "/ocpp/CP/", "///ocpp///CP///", "//ocpp/CP/?x=/y/"])
def test_empty_segments_are_forgiven(target):
    assert identity(target) == "CP"


@pytest.mark.parametrize(
    "target",
    [
        *["/ocpp/", "/ocpp/%", "/ocpp/%zz", "/ocpp/%FF", "/ocpp/%00", "/ocpp/a%0Ab", "/ocpp/\xe9", "/ocpp/%C1%83P"],
        *["/ocpp/.", "/ocpp/..", "/ocpp/%2E%2e", "/ocpp/" + "x" * 256, "/ocpp/%ED%A0%80", "//ocpp//"],
    ],
    ids=lambda target: target[:20],
)
def test_bad_identities(target):
    with pytest.raises(BadIdentity, match="the identity"):
        found(target)


def test_unusual_targets():
    assert identity("http://host/ocpp/CP?x=1") == "CP"
    assert identity("/ocpp/\xc3\xbc") == "ü"  # raw UTF-8, as ISO 8859-1 shows it
    assert identity("/%6Fcpp/a%2Fb") == "a/b"
    assert identity("/CP", "/{id}") == "CP"
    assert identity("/%C3%BC%20x/CP", "/ü x/{id}") == "CP"
    assert identity("/ü x/CP".encode().decode("latin-1"), "/%C3%BC%20x/{id}") == "CP"
    assert identity("/a%2541/CP", "/a%2541/{id}") == "CP"
    assert identity("/a%41/CP", "/a%2541/{id}") is None
    assert identity("/ocpp/" + "%C3%BC" * 255) == "ü" * 255


@pytest.mark.parametrize("target", ["http://host?x=/ocpp/CP", "http://host?/ocpp/CP", "x?://host/ocpp/CP", "?/ocpp/CP"])
def test_a_query_is_no_path(target):
    """A proxy that forwards requests by their path has looked at another one."""
    assert found(target) is None
    assert split_target(target)[1] == target.partition("?")[2]


@pytest.mark.parametrize(
    ("target", "templates", "expected"),
    [
        ("/CP", ["/{id}", "/ocpp/{id}"], ("CP", {})),
        ("/ocpp/CP", ["/{id}", "/ocpp/{id}"], ("CP", {})),
        ("/ocpp/CP", ["/ocpp/{id}", "/{tenant}/{id}"], ("CP", {})),
        ("/n%2F%C3%BC/CP", ["/ocpp/{id}", "/{tenant}/{id}"], ("CP", {"tenant": "n/ü"})),
        ("/eu/v16/CP/", ["/{region}/{kind}/{id}"], ("CP", {"region": "eu", "kind": "v16"})),
        ("/CP/ocpp", ["/{id}/ocpp"], ("CP", {})),
        ("/a/CP/b", ["/{x}/{id}/{y}"], ("CP", {"x": "a", "y": "b"})),
        ("/x/CP", ["/ocpp/{id}", "/webServices/{id}"], None),
        ("/a/b/CP", ["/{id}", "/{tenant}/{id}"], None),
    ],
)
def test_several_templates_and_placeholders(target, templates, expected):
    assert found(target, *templates) == expected


@pytest.mark.parametrize("tenant", ["%zz", "%FF", "%0a", "..", "%2e", "x" * 256])
def test_bad_values_of_other_placeholders(tenant):
    with pytest.raises(BadIdentity, match="the {tenant} of the path"):
        found(f"/{tenant}/CP", "/{tenant}/{id}")


@pytest.mark.parametrize(
    ("path", "story"),
    [
        ("*", "begins with '/'"),
        ("ocpp/{id}", "begins with '/'"),
        ("", "begins with '/'"),
        ("/ocpp", "no segment '{id}'"),
        ("/", "no segment '{id}'"),
        ("/ocpp/:id", "no segment '{id}'"),
        ("/{ID}", "no segment '{id}'"),
        ("/*/{id}", "'*' stands for nothing"),
        ("/ocpp/CP-{id}", "'CP-{id}' is none"),
        ("/{id}{x}", "'{id}{x}' is none"),
        ("/{}/{id}", "'{}' is none"),
        ("/{a b}/{id}", "'{a b}' is none"),
        ("/{id:str}", "'{id:str}' is none"),
        ("/{id}/{id}", "{id} stands in it twice"),
        ("/{a}/{a}/{id}", "{a} stands in it twice"),
        ("/ocpp/{id}?x=1", "'{id}?x=1' is none"),
        ("/ocpp?x/{id}", "neither a query"),
        ("/%zz/{id}", "cannot be decoded"),
        ("/\ud800/{id}", "cannot be decoded"),
        ("/../{id}", "no client sends"),
        ([], "the list is empty"),
        ((), "the list is empty"),
        (["/{id}", "*"], "begins with '/'"),
        (["/{id}", None], "not NoneType"),
        (None, "not NoneType"),
        (7, "not int"),
        (b"/{id}", "not bytes"),
        ({"/{id}"}, "not set"),
        (["/{id}", "/{id}"], "never reached"),
        (["/{tenant}/{id}", "/ocpp/{id}"], "'/ocpp/{id}' is never reached: '/{tenant}/{id}' stands before it"),
        (["/{id}/{tenant}", "/{tenant}/{id}"], "never reached"),
    ],
    ids=ascii,
)
def test_what_cannot_be_meant(path, story):
    with pytest.raises(UsageError) as caught:
        identification(path, None)
    assert story in str(caught.value)


@pytest.mark.parametrize(
    ("path", "prefix"),
    [
        ("/{id}", ""),
        ("/ocpp/{id}/", "/ocpp"),
        ("/a//b/{tenant}/{id}", "/a/b"),
        ("/{tenant}/{id}", ""),
        (["/ocpp/{id}", "/{id}"], "/ocpp"),
        ("/ü x/{id}", "/%C3%BC%20x"),
        ("/steve/websocket/CentralSystemService/{id}", "/steve/websocket/CentralSystemService"),
        ("/a:b@c+d/{id}", "/a:b@c+d"),
    ],
)
def test_the_path_of_the_servers_url(path, prefix):
    assert identification(path, None).prefix == prefix


def test_a_function_stands_in_place_of_a_path():
    assert identification("/{id}", lambda request: None).prefix == ""
    for path, identify in [("/ocpp/{id}", lambda request: None), (["/{id}"], lambda request: None), ("/{id}", 7)]:
        with pytest.raises(UsageError, match="identify"):
            identification(path, identify)
