"""`ocppj.rpc.dialect`: the differences between the OCPP versions."""

import pytest

from ocppj import ErrorCode, MessageType, is_error_code_valid
from ocppj.rpc.dialect import DIALECTS, V16, V21, V201

SPELT_IN_16 = [
    (ErrorCode.NOT_IMPLEMENTED, "NotImplemented"),
    (ErrorCode.NOT_SUPPORTED, "NotSupported"),
    (ErrorCode.INTERNAL_ERROR, "InternalError"),
    (ErrorCode.PROTOCOL_ERROR, "ProtocolError"),
    (ErrorCode.SECURITY_ERROR, "SecurityError"),
    (ErrorCode.FORMAT_VIOLATION, "FormationViolation"),
    (ErrorCode.PROPERTY_CONSTRAINT_VIOLATION, "PropertyConstraintViolation"),
    (ErrorCode.OCCURRENCE_CONSTRAINT_VIOLATION, "OccurenceConstraintViolation"),
    (ErrorCode.TYPE_CONSTRAINT_VIOLATION, "TypeConstraintViolation"),
    (ErrorCode.GENERIC_ERROR, "GenericError"),
]


@pytest.mark.parametrize(("code", "text"), SPELT_IN_16)
def test_the_spelling_of_1_6_is_that_of_its_errata(code, text):
    assert V16.spell(code) == text
    assert is_error_code_valid(text, V16)
    assert is_error_code_valid(code, V16)


@pytest.mark.parametrize("code", [ErrorCode.MESSAGE_TYPE_NOT_SUPPORTED, ErrorCode.RPC_FRAMEWORK_ERROR])
def test_a_code_that_1_6_does_not_have_becomes_generic_error(code):
    assert V16.spell(code) == "GenericError"
    assert not is_error_code_valid(code, V16)
    assert not is_error_code_valid(code.value, V16)


def test_text_is_not_changed():
    assert V16.spell("VendorError") == "VendorError"


@pytest.mark.parametrize("text", ["FormatViolation", "OccurrenceConstraintViolation"])
def test_a_spelling_is_valid_only_in_its_version(text):
    assert not is_error_code_valid(text, V16)
    assert is_error_code_valid(text)


@pytest.mark.parametrize("code", [*ErrorCode, *(text for _, text in SPELT_IN_16)])
def test_without_a_version_the_codes_of_all_versions_are_valid(code):
    assert is_error_code_valid(code)


@pytest.mark.parametrize("code", ["", "genericerror", "Formationviolation", "OccurenceViolation"])
def test_other_texts_are_no_codes(code):
    assert not is_error_code_valid(code)
    assert not is_error_code_valid(code, V16)


def test_1_6_has_three_message_types_and_its_subprotocol():
    assert V16.message_types == {MessageType.CALL, MessageType.CALL_RESULT, MessageType.CALL_ERROR}
    assert (V16.version, V16.subprotocol) == ("1.6", "ocpp1.6")
    assert V16.unreadable_id is None
    assert V16.repeated_id_code is ErrorCode.PROTOCOL_ERROR


def test_1_6_has_all_actions():
    assert len(V16.actions) == 39
    assert {"BootNotification", "SignedUpdateFirmware"} <= V16.actions
    assert V16.load_schema("HeartbeatRequest")["type"] == "object"
    with pytest.raises(FileNotFoundError):
        V16.load_schema("NoSuchRequest")


# --- 2.0.1 and 2.1

both = pytest.mark.parametrize("dialect", [V201, V21], ids=lambda dialect: dialect.version)


@both
@pytest.mark.parametrize("code", list(ErrorCode))
def test_the_spelling_of_2_is_that_of_the_code(dialect, code):
    assert dialect.spell(code) == code.value
    assert is_error_code_valid(code.value, dialect)


@both
@pytest.mark.parametrize("text", ["FormationViolation", "OccurenceConstraintViolation"])
def test_the_spelling_of_1_6_is_not_valid_in_2(dialect, text):
    assert not is_error_code_valid(text, dialect)
    assert is_error_code_valid(text)


@both
def test_2_0_1_and_2_1_have_the_same_rules(dialect):
    assert dialect.unreadable_id == "-1"
    assert dialect.repeated_id_code is ErrorCode.RPC_FRAMEWORK_ERROR
    assert dialect.max_identity == 48


def test_message_types_and_subprotocols_of_2():
    assert V201.message_types == V16.message_types
    assert V21.message_types == set(MessageType)
    assert [each.subprotocol for each in DIALECTS] == ["ocpp1.6", "ocpp2.0.1", "ocpp2.1"]
    assert [each.version for each in DIALECTS] == ["1.6", "2.0.1", "2.1"]


def test_2_has_all_actions():
    assert len(V201.actions) == 64
    assert len(V21.actions) == 91
    assert V201.actions - V21.actions == set()
    assert "NotifyPeriodicEventStream" in V21.actions
    assert V21.load_schema("NotifyPeriodicEventStream")["type"] == "object"


def test_types_are_found_by_name():
    for dialect in DIALECTS:
        assert dialect.load_type("ResetRequest").__module__ == f"{dialect.package}.messages"
        assert dialect.is_loaded
    assert V21.load_type("ChargingStation").__module__ == "ocppj.v21.datatypes"
    assert V21.load_type("VPNEnum").__module__ == "ocppj.v21.enums"


@pytest.mark.parametrize("name", ["NoSuchRequest", "Payload", "datetime", "Union", "__name__", ""])
def test_other_names_are_not_found(name):
    with pytest.raises(AttributeError, match=r"OCPP 2\.1 has no type"):
        V21.load_type(name)
