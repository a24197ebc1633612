"""`tools/type_reference.py`: what Sphinx is told of the types of a version."""

import importlib
import re

import pytest

from tests.test_public_surface import VERSIONS
from tools.type_reference import KINDS, describe


def entry(package: str, kind: str, name: str) -> str:
    """Return what is said of one name, in one line."""
    text = "\n".join(describe(package, kind))
    found = re.search(rf"^\.\. py:\w+:: ({name}\b.*?)(?=^\.\. |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, name
    return " ".join(found[1].split())


@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_is_there_once(version: str) -> None:
    package = f"ocppj.{version}"
    text = "\n".join(line for kind in KINDS for line in describe(package, kind))
    described = re.findall(r"^\.\. py:(?:class|data):: (\w+)", text, re.MULTILINE)
    assert sorted(described) == sorted(importlib.import_module(package).__all__)


def test_a_message_has_its_fields_with_their_types() -> None:
    assert entry("ocppj.v16", "messages", "AuthorizeRequest") == (
        "AuthorizeRequest(id_tag: str) Authorize, sent by the charge point."
    )
    assert entry("ocppj.v16", "messages", "ResetRequest").startswith("ResetRequest(type: Union[ResetType, str]) ")


def test_a_field_that_may_be_left_out_has_its_default() -> None:
    shown = entry("ocppj.v16", "datatypes", "IdTagInfo")
    assert "status: Union[AuthorizationStatus, str], expiry_date: Optional[datetime] = None" in shown


def test_an_enum_has_its_members() -> None:
    assert entry("ocppj.v16", "enums", "ResetType").endswith(" ``HARD`` (Hard), ``SOFT`` (Soft).")


def test_a_profile_has_its_actions() -> None:
    assert entry("ocppj.v16", "profiles", "RESERVATION") == "RESERVATION CancelReservation, ReserveNow."
    assert entry("ocppj.v16", "profiles", "PROFILES").startswith("PROFILES Core, ")
