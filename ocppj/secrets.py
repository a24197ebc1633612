"""Masks secrets in texts that people read: passwords, keys, and the private parts of certificates.

A secret is found by the name that it has: as a property ("apnPassword"), or as a configuration key or variable beside
its value ("AuthorizationKey", "BasicAuthPassword"). So the answers that name them are masked as the requests are. Names
that sound like a secret count as well: charge points have keys of their own, such as "WifiPassword". It is better to
mask too much than too little.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

__all__ = ["MASK", "is_secret_at", "mask_secrets", "mask_value"]

#: Stands in place of a secret.
MASK = "***"

#: Parts of names, in lower case, without "_", "-", "." and spaces. "vpnkey" and "simpin" are variables of OCPP 2.1.
_PARTS = (
    "password", "passwd", "passphrase", "passcode", "pwd", "secret", "authorizationkey", "authkey", "privatekey",
    "presharedkey", "psk", "apikey", "vpnkey", "wifikey", "simpin", "pincode", "accesstoken", "authtoken",
    "authorizationtoken", "refreshtoken",
)  # fmt: skip
#: Whole names. An "idToken" is no secret, and an "AuthorizationCacheEnabled" neither.
_WHOLE = ("authorization", "token")
_SEPARATORS = re.compile(r"[_\-. ]")


def _spellings(*names: str) -> Tuple[str, ...]:
    """Return each name also as "Name" and as "NAME", for objects of vendors."""
    return tuple(each for name in names for each in (name, name[0].upper() + name[1:], name.upper()))


#: The properties that name a variable, and those that have its value or say something of it: beside the name, or one
#: object further down.
_NAMING = _spellings("key", "name", "parameter", "variableName")
_VALUES = frozenset(_spellings("value", "attributeValue", "actualValue", "techInfo", "additionalInfo"))

_NAME = (
    "(?:pass{0}(?:word|wd|phrase|code)|(?<!by)pass(?![\\w\\-.])|pwd|secret|auth(?:orization)?{0}(?:key|token)|psk"
    "|private{0}key|pre{0}shared{0}key|api{0}key|vpn{0}key|wi{0}fi{0}key|sim{0}pin|pin{0}code"
    "|(?:access|refresh){0}token|(?<![\\w\\-.])(?:authorization|token)(?![\\w\\-.]))"
).replace("{0}", r"[_\-. ]?")
#: What a text with a secret has in it. An escape sequence may hide a name, and "@" may end the password of a URL.
_HINT = re.compile(
    rf"{_NAME}|vpn|signatures|\\u|@|(?<!id)token|authorization\W|[?&;](?:sig|x-(?:amz|goog)-)", re.IGNORECASE
)
#: Each text that `_HINT` finds something in has one of these in it, in lower case, or is not ASCII. To look for them
#: costs a tenth. "idToken" is taken out before.
_WORDS = (
    "pass", "pwd", "secret", "psk", "key", "vpn", "pin", "token", "authorization", "signatures", "\\u", "@", "?sig",
    "&sig", ";sig", "x-amz-", "x-goog-",
)  # fmt: skip
_URL = re.compile(r":(?:\\{0,8}/){2}([^\s\"']*)")
_SIGNED_URL = re.compile(
    r"((?:[?&;]|\\u0026)(?:sig|signature|token|x-(?:amz|goog)-[\w\-]{1,40})=)[^\s\"'&;#\\]+", re.IGNORECASE
)
_AUTHORIZATION = re.compile(r"(authorization\W{1,12}(?:basic|bearer|token)\s{1,9})[^\s\"'\\]+", re.IGNORECASE)
_PEM = re.compile(r"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----).*?(-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)", re.DOTALL)

# For texts that are no JSON. A value ends with its quote, or where the text does. Quotes may be escaped: JSON in JSON.
_QUOTE = r"\\{0,8}[\"']"
_VALUE = (
    r"(?:b?\"(?:[^\"\\]|\\.)*(?:\"|\Z)|b?'(?:[^'\\]|\\.)*(?:'|\Z)"
    r"|\\[\"'].*?(?:(?<!\\)\\[\"']|\Z)|\\{2,8}[\"'].*|[^\s,;}\])\"'\\]+)"
)
# A value without quotes follows "=", or a name in quotes: in "too many wrong passwords: try again" there is no secret.
_IS = rf"(?:{_QUOTE}\s{{0,9}}[:=]|\s{{0,9}}=|\s{{0,9}}:(?=\s{{0,9}}{_QUOTE}))\s{{0,9}}"
_ASSIGNED = rf"[\w\-.]{{0,40}}{_IS})({_VALUE})"
_NAMED = re.compile(rf"({_NAME}{_ASSIGNED}", re.IGNORECASE | re.DOTALL)
_IS_NAMED = re.compile(rf"{_NAME}[\w\-.]{{0,40}}{_QUOTE}(?!\s{{0,9}}[:=])", re.IGNORECASE)
_ANY_VALUE = re.compile(
    rf"(\b(?:(?:attribute_?|actual_?)?value|tech_?info|additional_?info){_ASSIGNED}", re.IGNORECASE | re.DOTALL
)
_KEY = re.compile(rf"(\bkey{_ASSIGNED}", re.IGNORECASE | re.DOTALL)
_VPN = re.compile("vpn", re.IGNORECASE)
_ESCAPE = re.compile(r"\\u00([2-7][0-9a-fA-F])")


def mask_secrets(text: str) -> str:
    """Return ``text`` with ``***`` in place of its secrets.

    These are passwords and keys, by the names of properties, configuration keys and variables; the private keys of
    certificates (PEM); the passwords and the signatures of URLs; and what follows ``Authorization: Basic``.

    Args:
        text: A frame, or any other text, such as a log line. It need not be JSON. A frame with a secret is written
            anew: its spaces may differ. A text without one is returned as it is.
    """
    if not _may_have_secret(text):
        return text
    try:
        value = json.loads(text, object_pairs_hook=_make_object)
        masked = mask_value(value)
        if masked == value:
            return text
        return json.dumps(masked, ensure_ascii=False, separators=(",", ":"))
    except (ValueError, RecursionError):  # no JSON, or nested too deeply
        return _mask_text(text)


def _may_have_secret(text: str) -> bool:
    if text.isascii():
        plain = text.lower().replace("idtoken", "")
        if not any(word in plain for word in _WORDS):
            return False
    return _HINT.search(text) is not None


def _make_object(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    """Return an object. Raises ``ValueError`` if it has a name twice: the value that comes first would not be seen."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a name stands there twice")
    return made


def mask_value(value: Any) -> Any:
    """Return a JSON value with `MASK` in place of its secrets. What has none may be the same object."""
    if isinstance(value, str):
        return _mask_text(value) if _may_have_secret(value) else value
    if isinstance(value, (list, tuple)):
        return [mask_value(each) for each in value]
    if isinstance(value, Mapping):
        return _mask_object(value)
    return value


def is_secret_at(payload: Any, path: Sequence[Union[str, int]]) -> bool:
    """Tell whether the value at ``path`` of a payload, if there is one, is a secret.

    It costs the same for payloads of any size: only the objects on the way there are looked at.
    """
    holder, is_variable = payload, False
    for step in path:
        try:
            value = holder[step]
        except (LookupError, TypeError):
            return False
        if isinstance(holder, Mapping):
            has_value = "value" in holder or "additionalInfo" in holder
            is_variable = _names_secret(holder) or (is_variable and has_value)
            is_vpn_key = step == "key" and "server" in holder
            if _hides(step, value) or is_vpn_key or (is_variable and step in _VALUES):
                return True
        holder = value
    return False


def _mask_object(holder: Mapping[Any, Any]) -> Dict[Any, Any]:
    masked = {name: MASK if _hides(name, value) else mask_value(value) for name, value in holder.items()}
    if _names_secret(holder):
        for name, value in masked.items():
            masked[name] = _mask_variable(name, value)
    if "signatures" in holder and isinstance(holder.get("payload"), str):
        masked["payload"] = _mask_signed(holder["payload"])
    vpn = masked.get("vpn")
    if isinstance(vpn, dict) and isinstance(vpn.get("key"), str):
        vpn["key"] = MASK
    return masked


def _hides(name: object, value: Any) -> bool:
    """Tell whether ``value`` is the secret that ``name`` says. Numbers can be secrets, but not true, false or null."""
    return value is not None and not isinstance(value, bool) and _is_secret(name)


def _is_secret(name: object) -> bool:
    if not isinstance(name, str):
        return False
    plain = _SEPARATORS.sub("", name).lower()
    if plain.endswith("pass"):  # "APNPass", but not "passive"
        return not plain.endswith("bypass")
    return plain in _WHOLE or any(part in plain for part in _PARTS)


def _names_secret(holder: Mapping[Any, Any]) -> bool:
    """Tell whether an object is about a configuration key or a variable that is a secret."""
    variable: Optional[Any] = holder.get("variable")
    if isinstance(variable, Mapping) and _is_secret(variable.get("name")):
        return True
    return any(_is_secret(holder.get(name)) for name in _NAMING)


def _mask_variable(name: object, value: Any) -> Any:
    """Return a property of an object about a secret: its values are masked, and those one object further down."""
    if name in _VALUES:
        return value if value is None else MASK
    if name == "variableAttribute" and isinstance(value, list):
        return [_mask_values(each) for each in value]
    return _mask_values(value) if name == "attributeStatusInfo" else value


def _mask_values(attribute: Any) -> Any:
    if not isinstance(attribute, dict):
        return attribute
    return {name: MASK if name in _VALUES and value is not None else value for name, value in attribute.items()}


def _mask_signed(payload: str) -> str:
    """Return the payload of a signed message (base64url, RFC 7515): masked as a whole if it has a secret."""
    try:
        text = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode("utf-8")
    except (ValueError, binascii.Error):
        return payload
    return payload if mask_secrets(text) == text else MASK


def _mask_text(text: str) -> str:
    """Return a text that is no JSON without its secrets, as far as patterns can find them."""
    text = _ESCAPE.sub(_unescape, text)
    text = _AUTHORIZATION.sub(rf"\1{MASK}", _SIGNED_URL.sub(rf"\1{MASK}", text))
    found: List["re.Pattern[str]"] = [_NAMED]
    if _IS_NAMED.search(text) is not None:
        found.append(_ANY_VALUE)
    if _VPN.search(text) is not None:
        found.append(_KEY)
    for pattern in found:
        text = pattern.sub(_put_mask, text)
    return _URL.sub(_mask_url, _PEM.sub(rf"\1{MASK}\2", text))


def _mask_url(match: "re.Match[str]") -> str:
    """Return a URL without its password, which ends at the last "@": it may have "@" and "/" in it itself.

    If "@" stands in the path, too much is masked. A name without a password may be a token: it is masked.
    """
    rest = match[1]
    at = rest.rfind("@")
    if at < 0:
        return match[0]
    colon = rest.find(":", 0, rest.index("@"))  # a ":" after the first "@" may be that of a port
    return f"{match[0][: len(match[0]) - len(rest)]}{rest[: colon + 1]}{MASK}{rest[at:]}"


def _unescape(match: "re.Match[str]") -> str:
    character = chr(int(match[1], 16))
    return character if character.isalnum() else match[0]


def _put_mask(match: "re.Match[str]") -> str:
    """Return a name with `MASK` in the quotes that its value had."""
    value = match[2]
    if value in ("null", "None", "true", "false", "True", "False"):
        return match[0]
    quote = re.match(r"b?(\\{0,8}[\"'])", value)
    return f"{match[1]}{MASK}" if quote is None else f"{match[1]}{quote[1]}{MASK}{quote[1]}"
