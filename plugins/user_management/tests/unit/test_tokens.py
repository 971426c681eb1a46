"""Rows 1-15 of the list of attacks on tokens (ASVS 9.1-9.2, RFC 8725), as far as they need no session."""

import base64
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from platform_core.db import Reads
from platform_core.domain import new_id
from platform_core.errors import InvalidSettings, Unauthenticated
from platform_core.settings import KernelSettings, read_module_settings
from platform_core.testing import ManualClock
from user_management.infrastructure.tokens import BearerAuthenticator, JwtTokens, KeySet, thumbprint
from user_management.settings import UserManagementSettings
from user_management.testing import new_signing_key, settings_for_tests

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
USER, SESSION = new_id(), new_id()
KERNEL = KernelSettings.model_validate(
    {
        "DATABASE_URL": "postgresql://x",
        "REDIS_URL": "redis://x",
        "PLATFORM_SECRET_KEY": "k" * 48,
        "PLATFORM_PUBLIC_URL": "https://people.example",
    }
)
PEM = settings_for_tests()["PLATFORM_USER_MANAGEMENT_SIGNING_KEY"]
PRIVATE = load_pem_private_key(PEM.encode(), None)
assert isinstance(PRIVATE, Ed25519PrivateKey)
PUBLIC = PRIVATE.public_key()
KID = thumbprint(PUBLIC)


def settings(**changes: str) -> UserManagementSettings:
    chosen = {f"PLATFORM_USER_MANAGEMENT_{name}".upper(): value for name, value in changes.items()}
    return read_module_settings("user_management", UserManagementSettings, {**settings_for_tests(), **chosen})


class Desk:
    """Makes and checks tokens as one process of the platform would."""

    def __init__(self, **changes: str) -> None:
        chosen, self.clock = settings(**changes), ManualClock(NOW)
        self.keys = KeySet(chosen)
        self.tokens = JwtTokens(self.keys, chosen, KERNEL)
        self.authenticator = BearerAuthenticator(self.keys, chosen, KERNEL, self.clock, Reads(None, "", None))  # type: ignore[arg-type]  # verifying reads nothing

    def token(self) -> str:
        return self.tokens.access(user_id=USER, session_id=SESSION, now=self.clock.now())

    def refuses(self, token: str) -> bool:
        try:
            self.authenticator.verify(token)
        except Unauthenticated as error:
            return error.message == "A valid access token is needed."  # every reason sounds the same
        return False


def claims(**changes: Any) -> dict[str, Any]:
    moment = int(NOW.timestamp())
    base: dict[str, Any] = {
        "iss": "https://people.example",
        "sub": str(USER),
        "sid": str(SESSION),
        "iat": moment,
        "exp": moment + 900,
        "jti": str(new_id()),
    }
    return {key: value for key, value in (base | changes).items() if value is not ...}


def signed(header: dict[str, Any] | None = None, key: Any = PRIVATE, **changes: Any) -> str:
    """Sign whatever it is, without a library that knows better."""
    full = {"alg": "EdDSA", "typ": "at+jwt", "kid": KID} | (header or {})
    parts = [
        json.dumps(part).encode()
        for part in ({k: v for k, v in full.items() if v is not ...}, claims(**changes))
    ]
    text = b".".join(map(encoded, parts))
    return (text + b"." + encoded(key.sign(text))).decode()


def encoded(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def test_a_token_of_ours_is_believed_and_carries_what_the_contract_says() -> None:
    desk = Desk()
    token = desk.token()
    claim = desk.authenticator.verify(token)
    assert (claim.user_id, claim.session_id, claim.expires_at) == (USER, SESSION, NOW + timedelta(minutes=15))
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "typ": "at+jwt", "kid": KID}
    content = jwt.decode(
        token, PUBLIC, algorithms=["EdDSA"], options={"verify_exp": False, "verify_iat": False}
    )
    assert content.keys() == {"iss", "sub", "sid", "iat", "exp", "jti"}
    assert not desk.refuses(signed()), "the tests' own way of signing is right"


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "NONE"])
def test_row_1_unsigned(algorithm: str) -> None:
    desk = Desk()
    for signature in (b"", b"AAAA"):
        parts = [
            json.dumps({"alg": algorithm, "typ": "at+jwt", "kid": KID}).encode(),
            json.dumps(claims()).encode(),
        ]
        assert desk.refuses((b".".join(map(encoded, parts)) + b"." + signature).decode())
    head, body, _ = desk.token().split(".")
    assert desk.refuses(f"{head}.{body}.")
    assert desk.refuses(f"{head}.{body}")


def test_row_2_signed_with_our_public_key_as_a_shared_secret() -> None:
    import hmac

    desk = Desk()
    secrets = [
        PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        PUBLIC.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        PUBLIC.public_bytes(Encoding.Raw, PublicFormat.Raw),
        json.dumps(desk.keys.jwks()["keys"][0]).encode(),
    ]
    for secret in secrets:
        for algorithm, digest in (("HS256", "sha256"), ("HS512", "sha512")):
            head = encoded(json.dumps({"alg": algorithm, "typ": "at+jwt", "kid": KID}).encode())
            text = head + b"." + encoded(json.dumps(claims()).encode())
            assert desk.refuses((text + b"." + encoded(hmac.digest(secret, text, digest))).decode())


@pytest.mark.parametrize(
    "kid",
    [
        "../../dev/null",
        "' OR 1=1--",
        "https://evil.example/key",
        {"a": 1},
        ["x"],
        7,
        None,
        ...,
        "",
        "k" * 2000,
        True,
    ],
)
def test_row_3_keys_of_strange_names(kid: Any) -> None:
    assert Desk().refuses(signed({"kid": kid}))


@pytest.mark.parametrize("suffix", ["x", " ", "\0", "=", "/../"])
def test_row_3_almost_the_name_of_a_key(suffix: str) -> None:
    assert Desk().refuses(signed({"kid": KID + suffix}))


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_error(404)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    thread.join()
    server.server_close()


def test_row_4_keys_that_the_token_brings_along(listener: tuple[str, list[str]]) -> None:
    url, seen = listener
    own = Ed25519PrivateKey.generate()
    x = encoded(own.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode()
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": x, "kid": KID}
    for header in ({"jku": f"{url}/keys"}, {"x5u": f"{url}/cert"}, {"jwk": jwk}, {"x5c": ["AAAA"]}):
        assert Desk().refuses(signed(header))
        assert Desk().refuses(signed(header, key=own))
        assert Desk().refuses(signed({**header, "kid": thumbprint(own.public_key())}, key=own))
    assert seen == []


@pytest.mark.parametrize("critical", [["x"], [], ["exp"], "x", None])
def test_row_5_extensions_that_must_be_understood(critical: Any) -> None:
    assert Desk().refuses(signed({"crit": critical}))


MOMENT = int(NOW.timestamp())


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": MOMENT - 31},
        {"exp": MOMENT - 6},
        {"nbf": MOMENT + 60},
        {"iat": MOMENT + 60},
        {"exp": ...},
        {"exp": "9999999999"},
        {"exp": 1e400},
        {"exp": float(MOMENT + 900)},
        {"exp": True},
        {"exp": None},
        {"exp": [MOMENT + 900]},
        {"exp": 10**30},
        {"exp": -(10**30)},
        {"iat": ...},
        {"iat": str(MOMENT)},
        {"nbf": "0"},
        {"sub": ...},
        {"sid": ...},
        {"jti": ...},
        {"jti": 7},
    ],
)
def test_row_6_times_and_what_must_not_be_missing(changes: dict[str, Any]) -> None:
    assert Desk().refuses(signed(**changes))


def test_the_clock_of_another_machine_may_be_a_little_ahead() -> None:
    desk = Desk()
    token = desk.token()
    desk.clock.advance(minutes=15, seconds=4)
    assert not desk.refuses(token)
    desk.clock.advance(seconds=1)
    assert desk.refuses(token)


@pytest.mark.parametrize(
    "issuer", ["https://evil.example", "", None, ..., ["https://people.example"], "https://people.example/"]
)
def test_row_7_tokens_of_others(issuer: Any) -> None:
    assert Desk().refuses(signed(iss=issuer))


@pytest.mark.parametrize("audience", ["other", ["people"], ["people", "other"], "", None, ...])
def test_row_7_tokens_for_others(audience: Any) -> None:
    assert Desk(audience="people").refuses(signed(aud=audience))
    assert not Desk(audience="people").refuses(signed(aud="people"))


@pytest.mark.parametrize("audience", ["people", ["people"]])
def test_row_7_a_token_for_somebody_where_nobody_is_asked_for(audience: Any) -> None:
    assert Desk().refuses(signed(aud=audience))


@pytest.mark.parametrize("kind", ["JWT", "jwt", "rt+jwt", ..., None, 7])
def test_row_8_tokens_of_another_kind(kind: Any) -> None:
    assert Desk().refuses(signed({"typ": kind}))


def test_row_8_a_refresh_token_is_no_access_token() -> None:
    desk = Desk()
    assert desk.refuses(desk.tokens.refresh())


def test_row_9_one_flipped_bit() -> None:
    desk = Desk()
    head, body, signature = desk.token().split(".")
    for index, part in enumerate((head, body, signature)):
        data = bytearray(base64.urlsafe_b64decode(part + "=="))
        data[len(data) // 2] ^= 1
        parts = [head, body, signature]
        parts[index] = encoded(bytes(data)).decode()
        assert desk.refuses(".".join(parts))


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "a.b.c",
        "🙂.🙂.🙂",
        "A" * 1_000_000,
        " ",
        "\0",
        "e30.e30.",
        "W10.e30.AA",
        "bnVsbA.e30.AA",
        "[" * 4000,
    ],
)
def test_row_11_nonsense(token: str) -> None:
    assert Desk().refuses(token)


def test_row_11_a_header_nested_ten_thousand_deep() -> None:
    nested = encoded(b"[" * 2900).decode()
    assert Desk().refuses(f"{nested}.e30.AA")


def test_row_13_an_old_key_is_believed_until_the_deployer_drops_it() -> None:
    before = Desk()
    token = before.token()
    new_key = new_signing_key()
    rotated = Desk(signing_key=new_key, previous_keys=PEM)
    assert not rotated.refuses(token)
    assert jwt.get_unverified_header(rotated.token())["kid"] != KID
    assert {key["kid"] for key in rotated.keys.jwks()["keys"]} == {KID, rotated.keys.kid}
    assert Desk(signing_key=new_key).refuses(token), "its time is over"


def test_row_13_old_keys_may_be_public_ones_and_several() -> None:
    public = PUBLIC.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    rotated = Desk(
        signing_key=new_signing_key(), previous_keys=f"{new_signing_key()}\n{public}".replace("\n", "\\n")
    )
    assert len(rotated.keys.jwks()["keys"]) == 3
    assert not rotated.refuses(Desk().token())


def test_the_published_keys_hold_nothing_private() -> None:
    for key in Desk().keys.jwks()["keys"]:
        assert key.keys() == {"kty", "crv", "x", "kid", "use", "alg"}
        assert jwt.decode(
            Desk().token(),
            jwt.PyJWK(key),
            algorithms=["EdDSA"],
            options={"verify_exp": False, "verify_iat": False},
        )


def _p256() -> str:
    key = generate_private_key(SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.mark.parametrize(
    "make",
    [
        lambda: "x" * 16,
        lambda: "",
        _p256,
        lambda: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",  # pragma: allowlist secret
    ],
)
def test_row_14_what_is_no_key_stops_the_start_and_is_not_shown(make: Callable[[], str]) -> None:
    for name in ("SIGNING_KEY", "PREVIOUS_KEYS"):
        variables = settings_for_tests() | {f"PLATFORM_USER_MANAGEMENT_{name}": make() or " "}
        with pytest.raises(InvalidSettings) as caught:
            read_module_settings("user_management", UserManagementSettings, variables)
        assert f"PLATFORM_USER_MANAGEMENT_{name}" in str(caught.value)
        assert "AAAA" not in str(caught.value)


def test_row_14_a_short_pepper_stops_the_start_and_is_not_shown() -> None:
    variables = settings_for_tests() | {"PLATFORM_USER_MANAGEMENT_PASSWORD_PEPPER": "p" * 31}
    with pytest.raises(InvalidSettings) as caught:
        read_module_settings("user_management", UserManagementSettings, variables)
    assert "p" * 31 not in str(caught.value)


@pytest.mark.parametrize("subject", ["\0", "'; DROP TABLE users--", '"', 7, None, [], {}, "", "🙂"])
def test_row_15_subjects_that_are_nobody(subject: Any) -> None:
    assert Desk().refuses(signed(sub=subject))
    assert Desk().refuses(signed(sid=subject))
