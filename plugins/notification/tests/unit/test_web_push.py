"""Encryption for browsers, keys, and what a device may be."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from far_side import Browser

from notification.domain import TooManyDevices, check_subscription, free_place
from notification.infrastructure.web_push import (
    MOST_PAYLOAD_BYTES,
    base64url,
    encrypt,
    private_key,
    public_key,
)
from platform_core.errors import InvalidInput


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def test_the_example_of_the_rfc_comes_out_byte_by_byte() -> None:
    """RFC 8291, appendix A."""
    sealed = encrypt(
        # pragma: allowlist nextline secret
        decoded("V2hlbiBJIGdyb3cgdXAsIEkgd2FudCB0byBiZSBhIHdhdGVybWVsb24"),
        # pragma: allowlist nextline secret
        decoded("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
        decoded("BTBZMqHH6r4Tts7J_aSIgg"),
        salt=decoded("DGv6ra1nlYgDCS1FRnbzlw"),
        sender=private_key("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"),  # pragma: allowlist secret
    )
    assert base64url(sealed) == (
        # pragma: allowlist nextline secret
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl"
        # pragma: allowlist nextline secret
        "7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


def test_a_message_fits_into_what_push_services_take() -> None:
    browser = Browser("https://push.example.com/1")
    keys = browser.subscription["keys"]
    sealed = encrypt(b"x" * MOST_PAYLOAD_BYTES, decoded(keys["p256dh"]), decoded(keys["auth"]))
    assert len(sealed) == 4096
    with pytest.raises(ValueError, match="at most"):
        encrypt(b"x" * (MOST_PAYLOAD_BYTES + 1), decoded(keys["p256dh"]), decoded(keys["auth"]))


def test_a_key_is_pem_or_base64url_and_nothing_else() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    raw = base64url(key.private_numbers().private_value.to_bytes(32, "big"))
    assert public_key(private_key(pem)) == public_key(private_key(raw)) == public_key(key)
    other = ec.generate_private_key(ec.SECP384R1())
    for wrong in (
        "",
        "short",
        "%" * 43,
        other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        base64url(bytes(32)),
    ):
        with pytest.raises(ValueError, match="is no private key") as refusal:
            private_key(wrong)
        assert wrong == "" or wrong not in str(refusal.value)


GOOD = Browser("https://push.example.com/1").subscription


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://push.example.com/1",
        "https://127.0.0.1/1",
        "https://[::1]/1",
        "https://[::ffff:127.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/",
        "https://localhost/",
        "https://db.internal/",
        "https://2130706433/",
        "https://0/",
        "https://user@push.example.com/",
        "https://push.example.com:0/",
        "https://push.example.com:99999/",
        "https://push.example.com/\r\nX: 1",
        "https://püsh.example.com/",
        "https://[",
        "file:///etc/passwd",
        "https://",
    ],
)
def test_inner_addresses_and_what_is_none_are_refused_at_once(endpoint: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        check_subscription(endpoint, GOOD["keys"]["p256dh"], GOOD["keys"]["auth"])
    assert refusal.value.fields[0].pointer == "/body/endpoint"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("p256dh", ""),
        ("p256dh", "%%%"),
        ("p256dh", base64url(bytes(65))),
        ("p256dh", base64url(b"\x04" + bytes(64))),
        ("p256dh", base64url(b"\x04" + b"\xff" * 64)),
        ("auth", ""),
        ("auth", base64url(bytes(15))),
    ],
)
def test_keys_that_cannot_be_encrypted_for_are_refused_at_once(key: str, value: str) -> None:
    keys: dict[str, Any] = {**GOOD["keys"], key: value}
    with pytest.raises(InvalidInput) as refusal:
        check_subscription(GOOD["endpoint"], keys["p256dh"], keys["auth"])
    assert refusal.value.fields[0].pointer == f"/body/keys/{key}"


def test_a_deployer_may_have_a_push_service_of_their_own() -> None:
    keys = GOOD["keys"]
    check_subscription("http://10.0.0.1:81/x", keys["p256dh"], keys["auth"], trusted=["http://10.0.0.1:81"])
    check_subscription(GOOD["endpoint"], keys["p256dh"] + "=", keys["auth"] + "==")


def test_places_are_filled_from_the_first_and_there_are_twenty() -> None:
    assert free_place([]) == 0
    assert free_place([0, 1, 3]) == 2
    with pytest.raises(TooManyDevices):
        free_place(range(20))
