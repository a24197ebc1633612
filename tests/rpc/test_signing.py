"""`ocppj.rpc.signing`: payloads are signed, opened and verified. Connections are in test_signed_messages.py."""

import base64
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocppj import ErrorCode, UsageError, ValidationError
from ocppj.rpc.messages import MessageType
from ocppj.rpc.signing import Signer, Verifier, sign_payload, unwrap
from tests.keys import CERTIFICATES, HEADER, OTHER, PAYLOAD, b64, by_hand, flat, jws_of, key_and_certificate, thumbprint

ROOT = Path(__file__).resolve().parents[2]
ALGORITHMS = ["ES256", "RS256", "RS384"]


def signer(algorithm="ES256", certificate=True):
    pem, crt = key_and_certificate(algorithm)
    return Signer(pem, crt if certificate else None, algorithm)


def signed(algorithm="ES256", certificate=True, payload=PAYLOAD):
    return sign_payload(signer(algorithm, certificate), payload, "Ask", MessageType.CALL)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_round_trip(algorithm):
    jws = signed(algorithm)
    assert sorted(jws) == ["payload", "protected", "signature"]
    inner, header = unwrap(json.loads(json.dumps(jws)))
    assert inner == PAYLOAD
    x5t = thumbprint(key_and_certificate(algorithm)[1])
    assert header == {"alg": algorithm, "OCPPAction": "Ask", "OCPPMessageTypeId": 2, "x5t#S256": x5t}
    result = Verifier(CERTIFICATES).verify(jws)
    assert result.valid is True
    assert (result.reason, result.algorithm, result.x5t_s256, result.header) == ("", algorithm, x5t, header)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_signatures_are_valid_for_another_implementation(algorithm):
    """Verify by RFC 7515, with the primitives of cryptography alone."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

    jws = signed(algorithm)
    key = x509.load_pem_x509_certificate(key_and_certificate(algorithm)[1].encode()).public_key()
    text = f"{jws['protected']}.{jws['payload']}".encode()
    signature = base64.urlsafe_b64decode(jws["signature"] + "==")
    if algorithm == "ES256":
        assert len(signature) == 64
        numbers = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
        key.verify(utils.encode_dss_signature(*numbers), text, ec.ECDSA(hashes.SHA256()))
    else:
        key.verify(signature, text, padding.PKCS1v15(), getattr(hashes, "SHA" + algorithm[2:])())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_signatures_of_another_implementation_are_valid(algorithm):
    header = {**HEADER, "alg": algorithm, "x5t#S256": thumbprint(key_and_certificate(algorithm)[1])}
    # A signer may choose whitespace, order and further header fields. An x5c is long.
    header.update({"kid": "1", "x5c": ["A" * 4000], "typ": "JOSE", "vendor": {"any": 1}})
    jws = by_hand(algorithm, json.dumps(header, indent=3).encode(), b'{ "n" : 1 }\n')
    assert unwrap(jws) == ({"n": 1}, header)
    assert Verifier(CERTIFICATES).verify(jws).valid is True
    assert Verifier(CERTIFICATES).verify({**jws, "signatures": [], "header": {"alg": "none"}, "more": 1}).valid is True


def test_a_large_payload_is_signed_and_verified():
    jws = signed(payload={"text": "ä" * 300_000})
    assert Verifier(CERTIFICATES).verify(jws).valid is True


def test_an_rsa_key_takes_rs256_and_an_ec_key_es256():
    assert Signer(key_and_certificate("RS384")[0]).algorithm == "RS256"
    assert Signer(key_and_certificate("ES256")[0]).algorithm == "ES256"


def test_keys_and_certificates_may_be_texts_bytes_or_paths(tmp_path):
    pem, crt = key_and_certificate("ES256")
    (tmp_path / "key.pem").write_text(pem)
    (tmp_path / "crt.pem").write_text(crt)
    expected = thumbprint(crt)
    for key, certificate in [
        (pem.encode(), crt.encode()),
        (tmp_path / "key.pem", tmp_path / "crt.pem"),
        (str(tmp_path / "key.pem"), str(tmp_path / "crt.pem")),
    ]:
        jws = sign_payload(Signer(key, certificate), PAYLOAD, "Ask", MessageType.CALL)
        result = Verifier([certificate]).verify(jws)
        assert (result.valid, result.x5t_s256) == (True, expected)


def test_the_first_certificate_of_a_chain_is_used():
    pem, crt = key_and_certificate("ES256")
    assert Signer(pem, crt + OTHER[1]).x5t_s256 == thumbprint(crt)


def test_a_password_opens_an_encrypted_key():
    from cryptography.hazmat.primitives import serialization as s

    pem, crt = key_and_certificate("ES256")
    key = s.load_pem_private_key(pem.encode(), None)
    locked = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.BestAvailableEncryption(b"secret"))
    assert Signer(locked, crt, password="secret").algorithm == "ES256"
    for wrong in (None, "guess"):
        with pytest.raises(UsageError, match="private key cannot be read"):
            Signer(locked, crt, password=wrong)


# Invalid keys and certificates


def test_unusable_keys_are_refused_and_never_quoted(tmp_path):
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    pem, crt = key_and_certificate("ES256")
    body = "".join(pem.split("\n")[1:-2])
    (tmp_path / "no.pem").write_text(body)

    def pem_of(key):
        return key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode()

    bad = [
        (body, None, None, "neither PEM nor a file"),  # taken for a path
        (body.encode(), None, None, "cannot be read"),
        (pem[: len(pem) // 2], None, None, "cannot be read"),
        (tmp_path / "no.pem", None, None, "cannot be read"),
        (tmp_path / "absent.pem", None, None, "neither PEM nor a file"),
        ("\0" + body, None, None, "neither PEM nor a file"),
        (None, None, None, "private_key is PEM text"),
        (crt, None, None, "cannot be read"),
        (pem_of(ec.generate_private_key(ec.SECP384R1())), None, None, "P-256"),
        (pem_of(ed25519.Ed25519PrivateKey.generate()), None, None, "P-256"),
        (pem, OTHER[1], None, "not that of the private key"),
        (pem, pem, None, "certificate cannot be read"),
        (pem, crt, "RS256", "ES256, not RS256"),
        (key_and_certificate("RS256")[0], None, "ES256", "RS256 or RS384, not ES256"),
        (pem, crt, "none", "not none"),
    ]
    for key, certificate, algorithm, words in bad:
        with pytest.raises(UsageError, match=words) as caught:
            Signer(key, certificate, algorithm)
        chain, text = caught.value, ""
        while chain is not None:
            text += repr(chain) + str(chain)
            chain = chain.__cause__ or chain.__context__
        assert body[:40] not in text
        assert "absent" not in text


def test_no_repr_shows_the_key():
    pem, _ = key_and_certificate("ES256")
    made = signer()
    shown = repr(made) + str(made) + repr(vars(made)) + repr(Verifier(CERTIFICATES)) + repr(Verifier(lambda *_: None))
    assert "ES256" in repr(made)
    assert not [line for line in pem.splitlines()[1:-1] if line in shown]


def test_a_verifier_refuses_other_things_than_certificates():
    public = b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
    for bad in (["no file"], [public], [b""], CERTIFICATES[0], "/etc"):
        with pytest.raises(UsageError):
            Verifier(bad)


# Results


def changed(jws, **parts):
    return {**jws, **parts}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_tampering_is_found(algorithm):
    jws = signed(algorithm)
    header = unwrap(jws)[1]
    verifier = Verifier(CERTIFICATES)
    for bad in (
        changed(jws, payload=b64(b'{"n":2}')),
        changed(jws, protected=flat({**header, "OCPPAction": "Other"})),
        changed(jws, protected=flat({**header, "OCPPMessageTypeId": 3})),
        changed(jws, signature=b64(b"\0" * 64)),
        changed(jws, signature=""),
        changed(jws, signature=jws["signature"][:-4]),
        changed(jws, signature=signed(algorithm, payload={})["signature"]),
    ):
        result = verifier.verify(bad)
        assert result.valid is False
        assert "does not verify" in result.reason


@pytest.mark.parametrize("alg", ["none", "HS256", "ES384", "PS256", "", None, 5, ["ES256"], {}])
def test_other_algorithms_are_not_valid(alg):
    jws = by_hand("ES256", json.dumps({**HEADER, "alg": alg}).encode(), b"{}")
    result = Verifier(lambda *_: CERTIFICATES[0]).verify(jws)
    assert result.valid is False
    assert "algorithm" in result.reason
    assert Verifier(CERTIFICATES).verify({**jws, "header": {"alg": "ES256"}}).valid is False


def test_a_key_of_another_kind_is_not_used():
    confused = by_hand("ES256", json.dumps({**HEADER, "alg": "RS256"}).encode(), b"{}")
    assert Verifier(lambda *_: CERTIFICATES[0]).verify(confused).valid is False


def test_an_hmac_with_the_certificate_as_secret_is_not_valid():
    import hmac

    for secret in (CERTIFICATES[0].encode(), CERTIFICATES[1].encode()):
        protected, payload = flat({**HEADER, "alg": "HS256"}), b64(b"{}")
        mac = hmac.new(secret, f"{protected}.{payload}".encode(), hashlib.sha256).digest()
        jws = {"payload": payload, "protected": protected, "signature": b64(mac)}
        assert Verifier(lambda *_: secret).verify(jws).valid is False  # noqa: B023


@pytest.mark.parametrize(
    "extension", [{"crit": ["vendor"], "vendor": 1}, {"crit": ["b64"], "b64": False}, {"crit": []}]
)
def test_critical_extensions_are_not_valid(extension):
    jws = by_hand("ES256", json.dumps({**HEADER, **extension}).encode(), b"{}")
    result = Verifier(lambda *_: CERTIFICATES[0]).verify(jws)
    assert result.valid is False
    assert "extensions" in result.reason


def test_with_an_unknown_certificate_nothing_is_verified():
    jws = sign_payload(Signer(*OTHER), PAYLOAD, "Ask", MessageType.CALL)
    result = Verifier(CERTIFICATES).verify(jws)
    assert result.valid is None
    assert "not known" in result.reason
    assert result.x5t_s256 == thumbprint(OTHER[1])


def test_without_x5t_the_only_certificate_is_used():
    jws = signed(certificate=False)
    assert Verifier([CERTIFICATES[0]]).verify(jws).valid is True
    assert Verifier([OTHER[1]]).verify(jws).valid is False
    assert Verifier(CERTIFICATES).verify(jws).valid is None
    assert Verifier([]).verify(jws).valid is None


def test_a_function_may_return_the_certificate():
    asked = []

    def find(x5t, client_id):
        asked.append((x5t, client_id))
        return {"CP_1": CERTIFICATES[0], "CP_2": OTHER[1]}.get(client_id)

    verifier, jws = Verifier(find), signed()
    assert [verifier.verify(jws, each).valid for each in ("CP_1", "CP_2", "CP_3")] == [True, False, None]
    assert asked == [(thumbprint(CERTIFICATES[0]), each) for each in ("CP_1", "CP_2", "CP_3")]
    assert verifier.verify(signed(certificate=False), "CP_1").valid is True
    assert "names" in verifier.verify(jws, "CP_2").reason


def test_a_function_may_return_a_public_key():
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization as s

    key = x509.load_pem_x509_certificate(CERTIFICATES[0].encode()).public_key()
    pem = key.public_bytes(s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo)
    assert Verifier(lambda *_: pem).verify(signed()).valid is True
    with pytest.raises(UsageError):
        Verifier(lambda *_: b"no key").verify(signed())


@pytest.mark.parametrize("x5t", [5, None, [], "", "A"])
def test_a_wrong_x5t_is_not_valid(x5t):
    jws = by_hand("ES256", json.dumps({**HEADER, "x5t#S256": x5t}).encode(), b"{}")
    result = Verifier(lambda *_: CERTIFICATES[0]).verify(jws)
    assert result.valid is False
    assert Verifier(CERTIFICATES).verify(jws).valid is None


# Opening


DEEP = b"[" * 200_000 + b"]" * 200_000
MALFORMED = [
    None,
    [],
    "text",
    {},
    {"payload": "e30", "protected": "e30"},
    {"payload": "e30", "signature": "e30"},
    {"protected": "e30", "signature": "e30"},
    {"payload": {}, "protected": "e30", "signature": ""},
    {"payload": "e30", "protected": ["e30"], "signature": ""},
    {"payload": "e30", "protected": "e30", "signature": None},
    {"payload": "e30", "protected": "e30", "signature": "", "header": "e30"},
    {"payload": "e30", "protected": "e30", "signature": "", "header": None},
    {"payload": "e30=", "protected": "e30", "signature": ""},
    {"payload": "e30\n", "protected": "e30", "signature": ""},
    {"payload": "e3+", "protected": "e30", "signature": ""},
    {"payload": "e30", "protected": "e30", "signature": "a"},
    {"payload": "e30", "protected": "e30", "signature": "ä"},
    {"payload": "e30", "protected": "e30", "signature": "\ud800"},
    {"payload": '{"n":1}', "protected": "e30", "signature": ""},
    {"payload": "", "protected": "e30", "signature": ""},
    {"payload": "e30", "protected": "", "signature": ""},
    jws_of(b"{", b"{}"),
    jws_of(b"{}", b"{"),
    jws_of(b"[]", b"{}"),
    jws_of(b"1", b"{}"),
    jws_of(b"null", b"{}"),
    jws_of(b"{}", b"\xff"),
    jws_of(b"\xff", b"{}"),
    jws_of(b"{}", b"NaN"),
    jws_of(b"{}", b"1e999"),
    jws_of(b"{}", b"\xef\xbb\xbf{}"),
    jws_of(b"{}", b"{} {}"),
    jws_of(b"{}", DEEP),
    jws_of(DEEP, b"{}"),
]


@pytest.mark.parametrize("payload", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_payload_is_a_format_violation(payload):
    with pytest.raises(ValidationError) as caught:
        unwrap(payload)
    assert caught.value.code is ErrorCode.FORMAT_VIOLATION
    assert 0 < len(caught.value.description) < 255
    with pytest.raises(ValidationError):
        Verifier(CERTIFICATES).verify(payload)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)
TEXTS = st.binary(max_size=20).map(b64) | JSON.map(lambda value: b64(json.dumps(value).encode()))
LIKE_JWS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("payload", "protected", "signature", "header", "signatures"), TEXTS | JSON)
)


@given(JSON | LIKE_JWS)
def test_any_json_value_is_opened_or_refused(value):
    try:
        _, header = unwrap(value)
    except ValidationError as error:
        code = error.code
    else:
        code = ErrorCode.FORMAT_VIOLATION
        assert isinstance(header, dict)
        assert Verifier(CERTIFICATES).verify(value).valid in (False, None)
    assert code is ErrorCode.FORMAT_VIOLATION


HEADERS = st.fixed_dictionaries(
    {"alg": st.sampled_from(ALGORITHMS)},
    optional=dict.fromkeys(("kid", "jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256", "typ", "cty", "crit", "b64"), JSON),
)


@given(HEADERS, st.binary(max_size=80))
def test_any_header_gets_a_result(header, signature):
    jws = {"payload": "e30", "protected": flat(header), "signature": b64(signature)}
    if not any(isinstance(each, float) for each in header.values()):
        try:
            assert Verifier(lambda *_: CERTIFICATES[0]).verify(jws).valid is False
        except ValidationError:  # NaN somewhere in it
            assert "NaN" in json.dumps(header) or "Infinity" in json.dumps(header)


# A signer that fails, and a missing package


def test_a_failure_of_the_signer_is_a_usage_error():
    class Module(Signer):
        def __init__(self):
            pass

        def sign(self, header, payload):
            raise OSError("the module is gone")

    with pytest.raises(UsageError, match="Ask could not be signed"):
        sign_payload(Module(), PAYLOAD, "Ask", MessageType.CALL)


@pytest.mark.parametrize("missing", ["joserfc", "cryptography"])
def test_without_joserfc_everything_else_works(missing, tmp_path):
    code = f"""
import sys
sys.modules["{missing}"] = None
import ocppj
from ocppj.signing import unwrap
print(unwrap({{"payload": "e30", "protected": "e30", "signature": ""}}))
for make in (lambda: ocppj.Signer("key.pem"), lambda: ocppj.Verifier([]), lambda: ocppj.Verifier(lambda *_: None)):
    try:
        make()
    except ocppj.UsageError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stderr == ""
    hint = "signed messages need the package joserfc: pip install 'ocppj[signed]'"
    assert done.stdout.splitlines() == ["({}, {})", hint, hint, hint]


def test_importing_ocppj_does_not_import_joserfc():
    code = "import sys, ocppj; print('joserfc' in sys.modules, 'cryptography' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, check=True
    )
    assert done.stdout.split() == [b"False", b"False"]
