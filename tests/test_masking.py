"""Passwords and keys are masked in what people read: log lines, error texts, transcripts."""

import base64
import json
import time
from datetime import datetime, timezone

import pytest

from ocppj import ErrorCode, Feature, Frame, Payload, Profile, ValidationError, mask_secrets, v16
from ocppj.log_limit import bounded
from ocppj.rpc.dialect import V16
from ocppj.rpc.validation import check_payload
from ocppj.secrets import is_secret_at
from ocppj.testing import Journal, Transcript

SECRET = "Hush-7Tx"
PEM = f"-----BEGIN EC PRIVATE KEY-----\n{SECRET}\n-----END EC PRIVATE KEY-----"
BASIC = {"component": {"name": "SecurityCtrlr"}, "variable": {"name": "BasicAuthPassword"}}
SIGNED = base64.urlsafe_b64encode(json.dumps({"key": "AuthorizationKey", "value": SECRET}).encode()).decode().strip("=")

#: Frames with `SECRET`, by what they are.
FRAMES = {
    "ChangeConfiguration": [2, "1", "ChangeConfiguration", {"key": "AuthorizationKey", "value": SECRET}],
    "a key of a vendor": [2, "1", "ChangeConfiguration", {"key": "wifi_pass-phrase", "value": SECRET}],
    "GetConfiguration answered": [3, "1", {"configurationKey": [{"key": "AuthorizationKey", "value": SECRET}]}],
    "SetVariables": [2, "1", "SetVariables", {"setVariableData": [{"attributeValue": SECRET, **BASIC}]}],
    "GetVariables answered": [3, "1", {"getVariableResult": [{**BASIC, "attributeValue": SECRET}]}],
    "NotifyReport": [2, "1", "NotifyReport", {"reportData": [{**BASIC, "variableAttribute": [{"value": SECRET}]}]}],
    "NotifyEvent": [2, "1", "NotifyEvent", {"eventData": [{**BASIC, "actualValue": SECRET}]}],
    "apn": [2, "1", "SetNetworkProfile", {"connectionData": {"apn": {"apn": "a", "apnPassword": SECRET}}}],
    "vpn": [2, "1", "SetNetworkProfile", {"connectionData": {"vpn": {"server": "s", "key": SECRET}}}],
    "basic auth": [2, "1", "SetNetworkProfile", {"connectionData": {"basicAuthPassword": SECRET}}],
    "a private key": [2, "1", "DataTransfer", {"vendorId": "V", "data": PEM}],
    "a URL": [2, "1", "GetDiagnostics", {"location": f"ftp://user:{SECRET}@host/path"}],
    "a mail address in a URL": [2, "1", "GetDiagnostics", {"location": f"ftp://me@firm.example:{SECRET}@host/path"}],
    "@ in the password of a URL": [2, "1", "GetDiagnostics", {"location": f"ftp://user:p@{SECRET}@host/path"}],
    "/ in the password of a URL": [2, "1", "GetDiagnostics", {"location": f"ftp://user:p/{SECRET}@host/path"}],
    "a long password in a URL": [2, "1", "GetDiagnostics", {"location": f"ftp://user:{SECRET * 50}@host/path"}],
    "a token in a URL": [2, "1", "GetDiagnostics", {"location": f"https://{SECRET}@host:8080/path@1"}],
    "a signed URL of Azure": [2, "1", "GetDiagnostics", {"location": f"https://host/logs?sv=2022&sig={SECRET}"}],
    "a signed URL of AWS": [2, "1", "GetDiagnostics", {"location": f"https://host/x?X-Amz-Signature={SECRET}&a=b"}],
    "a token in a query": [2, "1", "GetDiagnostics", {"location": f"https://host/x?token={SECRET}"}],
    "a signature in a query": [2, "1", "GetDiagnostics", {"location": f"https://host/x?a=b&signature={SECRET}"}],
    "a field of HTTP": [2, "1", "DataTransfer", {"vendorId": "V", "data": f"Authorization: Basic {SECRET}"}],
    "a parameter of a vendor": [2, "1", "DataTransfer", {"data": {"name": "WifiPassword", "value": SECRET}}],
    "another of a vendor": [2, "1", "DataTransfer", {"data": {"parameter": "WifiPassword", "value": SECRET}}],
    "names in another case": [2, "1", "ChangeConfiguration", {"Key": "AuthorizationKey", "Value": SECRET}],
    "techInfo": [2, "1", "NotifyEvent", {"eventData": [{**BASIC, "techInfo": f"changed to {SECRET}"}]}],
    "additionalInfo": [
        3,
        "1",
        {"setVariableResult": [{**BASIC, "attributeStatusInfo": {"additionalInfo": f"{SECRET} is too short"}}]},
    ],
    "JSON in JSON": [2, "1", "DataTransfer", {"vendorId": "V", "data": json.dumps({"apiKey": SECRET})}],
    "a signed message": [2, "1", "ChangeConfiguration-Signed", {"payload": SIGNED, "signatures": [{}]}],
    "an error": [4, "1", "InternalError", f"cannot set basic_auth_password='{SECRET}'", {"password": SECRET}],
}
NAMES = [
    "APNPass", "ApnPwd", "FtpPwd", "PinCode", "WiFiPSK", "WifiKey", "accessToken", "access_token", "authorization",
    "pass", "passcode", "psk", "pwd", "token",
]  # fmt: skip
OPEN = [
    '[2,"1","Authorize",{"idToken":{"idToken":"04E1","type":"KeyCode","additionalInfo":[]}}]',
    '[2,"1","ChangeConfiguration",{"key":"AuthorizationCacheEnabled","value":"true"}]',
    '[2,"1","DataTransfer",{"vendorId":"V","data":"passed; passive=1; bypass=1; https://host:80/x?signal=1&a=b me@b"}]',
    '[2, "1", "Heartbeat", {}]',
    '[2,"1","ChangeConfiguration",{"key":"HeartbeatInterval","value":"300"}]',
    '[2,"1","Authorize",{"idTag":"04E1-password"}]',
    '[2,"1","DataTransfer",{"vendorId":"V","data":"a@b; vpn; the password is not told"}]',
    '[2,"1","SetNetworkProfile",{"connectionData":{"apn":{"apnUserName":"me"},"password":null}}]',
    "CP_1: refused with 429: too many wrong passwords: try again later",
]


@pytest.mark.parametrize("what", FRAMES)
def test_a_secret_is_masked_in_a_frame(what):
    text = json.dumps(FRAMES[what])
    masked = mask_secrets(text)
    assert SECRET not in masked and SIGNED not in masked
    assert "***" in masked
    shown = json.loads(masked)
    assert shown[:2] == FRAMES[what][:2], "the rest can still be read"
    assert mask_secrets(masked) == json.dumps(shown, separators=(",", ":")), "once is enough"


@pytest.mark.parametrize("what", [each for each in FRAMES if each != "a signed message"])
@pytest.mark.parametrize("broken", ["cut", "single quotes"])
def test_a_secret_is_masked_in_what_is_no_json(what, broken):
    text = json.dumps(FRAMES[what])[:-1] if broken == "cut" else str(FRAMES[what])
    masked = mask_secrets(text)
    assert SECRET not in masked
    assert masked[:6] == text[:6] and "***" in masked


@pytest.mark.parametrize("name", NAMES)
def test_the_name_of_a_secret_is_known(name):
    shown = json.loads(mask_secrets(json.dumps({"a": {name: SECRET}, "b": [{"key": name, "value": SECRET}]})))
    assert shown == {"a": {name: "***"}, "b": [{"key": name, "value": "***"}]}
    for text in (f"{{'{name}': '{SECRET}'", f"cannot set {name}={SECRET}", f"Key(key='{name}', value='{SECRET}')"):
        assert SECRET not in mask_secrets(text)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ftp://me:x@host/a", "ftp://me:***@host/a"),
        ("ftp://me@firm.example:x@host/a", "ftp://***@host/a"),
        ("ftp:\\/\\/me:x@host", "ftp:\\/\\/me:***@host"),
        ("https://host:8080/a", "https://host:8080/a"),
        ("https://host/a?sig=x&b=c", "https://host/a?sig=***&b=c"),
    ],
)
def test_the_rest_of_a_url_is_shown(url, shown):
    assert mask_secrets(f"from {url} now") == f"from {shown} now"
    assert mask_secrets(shown) == shown


@pytest.mark.parametrize(
    "part", ["://", "://a:", "@", "://@", "token=", "token ", "pass", "authorization ", "?sig=", "?x-amz-", "a", "psk'"]
)
def test_a_long_text_takes_no_longer_for_each_character(part):
    """100,000 characters take milliseconds each; a pattern that looks back and forth takes minutes."""
    began = time.process_time()
    mask_secrets((part * 100_000)[:100_000])
    assert time.process_time() - began < 2


@pytest.mark.parametrize("text", OPEN)
def test_what_is_no_secret_stays_as_it_is(text):
    assert mask_secrets(text) == text


def test_a_hidden_name_and_a_doubled_one_are_found():
    assert mask_secrets('{"\\u0070assword":"x"}') == '{"password":"***"}'
    assert mask_secrets('["\\u0070assword","\\u0070assword":"x"') == '["password","password":"***"'
    assert mask_secrets('{"password":"x","password":null}') == '{"password":"***","password":null}'


def test_typed_messages_are_masked_as_python_shows_them():
    request = v16.ChangeConfigurationRequest(key="AuthorizationKey", value=SECRET)
    assert SECRET in repr(request)
    assert SECRET not in mask_secrets(repr(request))


def test_the_argument_of_a_log_line_is_masked_before_it_is_cut():
    text = f"{'x' * 480} value={SECRET} key='AuthorizationKey'"
    assert str(bounded(text)) == f"{'x' * 480} value=*** key='Auth... ({len(text)} characters)"
    assert str(bounded(PEM)).startswith("-----BEGIN EC PRIVATE KEY-----***")


class SetKeyRequest(Payload):
    pass


def check(schema, payload):
    """Return the text of the fault that ``payload`` has."""
    feature = Feature("SetKey", SetKeyRequest, v16.HeartbeatResponse, schema)
    Profile("Test", V16, feature)
    with pytest.raises(ValidationError) as caught:
        check_payload(feature, False, payload)
    return caught.value


@pytest.mark.parametrize("rule", [{"enum": ["a", "b"]}, {"anyOf": [{"type": "integer"}]}], ids=["enum", "anyOf"])
@pytest.mark.parametrize("secret", [SECRET, SECRET * 20], ids=["short", "long"])
def test_an_error_quotes_no_secret(rule, secret):
    schema = {"type": "object", "properties": {"value": rule}}
    shown = check(schema, {"key": "HeartbeatInterval", "value": secret})
    assert SECRET in shown.description, "what is no secret is quoted"
    error = check(schema, {"key": "AuthorizationKey", "value": secret})
    assert error.code is ErrorCode.PROPERTY_CONSTRAINT_VIOLATION
    assert SECRET[:5] not in error.description and "'***'" in error.description


def test_a_missing_value_of_a_secret_is_no_fault_of_the_mask():
    schema = {"type": "object", "required": ["value"]}
    assert check(schema, {"key": "AuthorizationKey"}).description == "required property 'value' is missing"


NESTED = {
    "variables": ("NotifyReport", ["reportData", 0, "variableAttribute", 0, "value"]),
    "a VPN": ("vpn", ["connectionData", "vpn", "key"]),
    "a property": ("apn", ["connectionData", "apn", "apnPassword"]),
    "what an event says": ("techInfo", ["eventData", 0, "techInfo"]),
    "what an answer says": ("additionalInfo", ["setVariableResult", 0, "attributeStatusInfo", "additionalInfo"]),
    "a key": ("GetConfiguration answered", ["configurationKey", 0, "value"]),
}


@pytest.mark.parametrize("what", NESTED)
def test_the_place_of_a_secret_is_known_without_a_look_at_the_rest(what):
    name, path = NESTED[what]
    payload = FRAMES[name][-1]
    assert is_secret_at(payload, path)
    assert not is_secret_at(payload, path[:-1]) and not is_secret_at(payload, [*path[:-1], "server"])


def test_a_transcript_shows_secrets_only_when_it_is_asked_to():
    journal = Journal()
    for text in (json.dumps(FRAMES["ChangeConfiguration"]), json.dumps(FRAMES["apn"]), str(FRAMES["an error"])):
        journal.add_frame(Frame("out", "CP_1", "1.6", datetime.now(timezone.utc), text))
    assert SECRET not in Transcript(width=None).text(journal.entries())
    assert Transcript(width=None, show_secrets=True).text(journal.entries()).count(SECRET) == 4


def test_a_secret_is_found_when_its_name_comes_long_after_it():
    value = SECRET * 200
    assert SECRET not in str(bounded(json.dumps({"value": value, "key": "AuthorizationKey"})))
    assert len(str(bounded("x" * 1_000_000))) < 600
