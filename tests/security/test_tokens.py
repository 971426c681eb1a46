"""Rows 1-9, 11-13, 15 and 25: every forged token over HTTP, by somebody who even has the signing key where it helps."""

import hashlib
import hmac
import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from attacks import API, decoded, encoded, signed, signing_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from platform_core.testing import PlatformFactory, RunningPlatform
from user_management import MailLinks, PasswordResetRequested, UserRegistered
from user_management.testing import PASSWORD, essentials, log_in, new_signing_key, sign_up

ME = f"{API}/users/me"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        yield server


async def asked(p: RunningPlatform, credentials: str) -> tuple[int, dict[str, Any], dict[str, str], str]:
    async with p.new_client({"Authorization": credentials}) as client:
        answer = await client.get(ME)
    body = answer.json()
    request_id = body.pop("request_id", "")
    changing = ("x-request-id", "ratelimit", "content-length")
    headers = {name: value for name, value in answer.headers.items() if name not in changing}
    return answer.status_code, body, headers, request_id


def forged_heads(p: RunningPlatform, genuine: str, url: str) -> Iterator[tuple[str, str]]:
    """Yield (what it is, token): other algorithms, keys and headers."""
    key = signing_key(p)
    head_text, body_text, signature = genuine.split(".")
    head, claims = decoded(head_text), decoded(body_text)
    public = key.public_key()
    for algorithm in ("none", "None", "nOnE", "NONE", "", None):
        yield f"1 {algorithm!r}", f"{encoded({**head, 'alg': algorithm})}.{body_text}."
        yield f"1 {algorithm!r} signed", f"{encoded({**head, 'alg': algorithm})}.{body_text}.{signature}"
    for name, secret in {
        "pem": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "der": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "raw": public.public_bytes(Encoding.Raw, PublicFormat.Raw),
        "jwk": json.dumps({"kty": "OKP", "crv": "Ed25519", "kid": head["kid"]}).encode(),
        "empty": b"",
    }.items():
        text = f"{encoded({**head, 'alg': 'HS256'})}.{body_text}"
        yield f"2 HS256 with {name}", f"{text}.{encoded(hmac.digest(secret, text.encode(), hashlib.sha256))}"
    for kid in (
        "../../dev/null",
        "' OR 1=1--",
        url,
        {"kid": head["kid"]},
        [head["kid"]],
        "k" * 10_000,
        "",
        None,
        0,
        "\0",
    ):
        yield f"3 kid {str(kid)[:20]!r}", signed(key, {**head, "kid": kid}, claims)
    thief = Ed25519PrivateKey.generate()
    own = {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": encoded(thief.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)),
    }
    for name, value in (("jku", url), ("x5u", url), ("jwk", own), ("x5c", ["AAAA"])):
        yield f"4 {name}, genuine key", signed(key, {**head, name: value}, claims)
        yield f"4 {name}, own key", signed(thief, {**head, name: value}, claims)
    yield "4 own key", signed(thief, head, claims)
    yield "5 crit", signed(key, {**head, "crit": ["x"]}, claims)
    yield "5 b64", signed(key, {**head, "crit": ["b64"], "b64": False}, claims)
    for typ in ("refresh", "JWT", "at+JWT ", None, ["at+jwt"]):
        yield f"8 typ {typ!r}", signed(key, {**head, "typ": typ}, claims)


def forged_claims(p: RunningPlatform, genuine: str) -> Iterator[tuple[str, str]]:
    """Yield (what it is, token): other claims, signed with the platform's real key."""
    key, now = signing_key(p), int(time.time())
    head, claims = decoded(genuine.split(".")[0]), decoded(genuine.split(".")[1])
    for name, changes in {
        "expired by 31 s": {"exp": now - 31},
        "not before in 60 s": {"nbf": now + 60},
        "issued in 60 s": {"iat": now + 60},
        "exp as text": {"exp": "9999999999"},
        "exp with a fraction": {"exp": now + 60.5},
        "exp true": {"exp": True},
        "exp huge": {"exp": 10**30},
        "exp negative": {"exp": -1},
        "exp list": {"exp": [now + 60]},
        "nbf text": {"nbf": "0"},
        "iss": {"iss": "https://evil.example"},
        "iss list": {"iss": [claims["iss"]]},
        "aud": {"aud": "somebody else"},
        "aud list": {"aud": ["somebody else", claims["iss"]]},
        "sub NUL": {"sub": claims["sub"] + "\0"},
        "sub quotes": {"sub": "' OR '1'='1"},
        "sub half a pair": {"sub": "\ud800"},
        "sub number": {"sub": 1},
        "sub object": {"sub": {"id": claims["sub"]}},
        "sub of nobody": {"sub": "01a20642-0c8c-7e6e-b94c-e5b378cc4910"},
        "sid of nobody": {"sid": "01a20642-0c8c-7e6e-b94c-e5b378cc4910"},
        "sid NUL": {"sid": "\0"},
        "sub and sid swapped": {"sub": claims["sid"], "sid": claims["sub"]},
    }.items():
        yield f"6/7/15 {name}", signed(key, head, {**claims, **changes})
    for name in ("exp", "iat", "iss", "sub", "sid", "jti"):
        yield f"6 no {name}", signed(key, head, {k: v for k, v in claims.items() if k != name})
    for name, body in {
        "1e400": json.dumps(claims).replace(f'"exp": {claims["exp"]}', '"exp": 1e400').encode(),
        "NaN": json.dumps(claims).replace(f'"exp": {claims["exp"]}', '"exp": NaN').encode(),
        "digits": json.dumps(claims).replace(f'"exp": {claims["exp"]}', '"exp": ' + "9" * 2500).encode(),
        "list": b"[]",
        "nothing": b"",
        "not UTF-8": b"\xff\xfe",
        "deep": b"[" * 2000,
    }.items():
        yield f"6 claims {name}", signed(key, head, body)


def damaged(genuine: str) -> Iterator[tuple[str, str]]:
    """Yield (what it is, token): the genuine one, broken."""
    head_text, body_text, signature = genuine.split(".")
    for place in (1, 2, 3):
        third = genuine.split(".")[place - 1]
        bad = third[:10] + ("A" if third[10] != "A" else "B") + third[11:]
        parts = [bad if n == place else part for n, part in enumerate(genuine.split("."), 1)]
        yield f"9 third {place}", ".".join(parts)
    yield "9 padding", genuine + "="
    yield "9 four parts", genuine + ".x"
    yield "9 swapped", f"{body_text}.{head_text}.{signature}"
    yield "11 long", "A" * 9000
    yield "11 dots", "." * 3000


async def test_rows_1_to_9_and_15_every_forged_token_is_refused_alike_and_audited(
    platform: PlatformFactory, listener: socket.socket
) -> None:
    """Rows 1-9, 11, 15: one answer for all, one line of the trail each, and no connection to anywhere."""
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/keys"
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        register = {"email": "ada@example.com", "username": "ada", "password": PASSWORD}
        await p.client.post(f"{API}/users/register", json=register)
        await p.client.post(f"{API}/auth/password-reset", json={"email": eve.email})
        await p.deliver()
        links: MailLinks = p.kernel.wiring.resolve("user_management", MailLinks)
        verification, reset = (await p.events(UserRegistered))[0], (await p.events(PasswordResetRequested))[0]
        assert verification.verification_id is not None
        mailed = [
            links.verification_link(verification.verification_id),
            links.password_reset_link(reset.reset_id),
        ]
        attacks = {
            **dict(forged_heads(p, eve.access_token, url)),
            **dict(forged_claims(p, eve.access_token)),
            **dict(damaged(eve.access_token)),
            "8 refresh token": eve.refresh_token,
            "8 verification token": mailed[0].partition("token=")[2],
            "8 reset token": mailed[1].partition("token=")[2],
        }
        reference, ids = await asked(p, "Bearer nonsense"), {}
        assert reference[0] == 401
        assert reference[1]["type"] == "/problems/unauthenticated"
        assert reference[2]["www-authenticate"] == 'Bearer error="invalid_token"'
        for name, token in attacks.items():
            answer = await asked(p, f"Bearer {token}")
            assert answer[:3] == reference[:3], name
            ids[answer[3]] = name
        trail = {line.request_id: line for line in await p.audit(f"GET {ME}")}
        for request_id, name in ids.items():
            assert trail[request_id].outcome == "denied", name
        assert len(attacks) > 80
        assert await asked(p, f"Bearer {eve.access_token}") != reference, "the genuine one still works"
        with pytest.raises(TimeoutError):
            listener.accept()


async def test_row_8_no_token_of_one_kind_is_taken_for_another_in_a_body(platform: PlatformFactory) -> None:
    """Row 8: access, refresh, verification and reset tokens, each where another one belongs."""
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        await p.client.post(
            f"{API}/users/register", json={"email": "a@example.com", "username": "ada", "password": PASSWORD}
        )
        await p.client.post(f"{API}/auth/password-reset", json={"email": eve.email})
        await p.deliver()
        links: MailLinks = p.kernel.wiring.resolve("user_management", MailLinks)
        verification_id = (await p.events(UserRegistered))[0].verification_id
        reset_id = (await p.events(PasswordResetRequested))[0].reset_id
        assert verification_id is not None
        verification = links.verification_link(verification_id).partition("token=")[2]
        reset = links.password_reset_link(reset_id).partition("token=")[2]
        # the identities are in events, which operators read: no token is made of them without the secret
        crossed = [
            links.password_reset_link(verification_id).partition("token=")[2],
            links.invitation_link(reset_id).partition("token=")[2],
            encoded(reset_id.bytes) + "." + encoded(reset_id.bytes * 2),
            str(reset_id),
        ]
        body = {"new_password": "quite another sentence"}
        for token in (eve.access_token[:200], eve.refresh_token, verification, *crossed):
            answer = await p.client.post(f"{API}/auth/password-reset/confirm", json=body | {"token": token})
            assert answer.status_code == 422, token
        for token in (eve.access_token[:200], eve.refresh_token, reset, *crossed):
            answer = await p.client.post(f"{API}/auth/verify-email", json={"token": token})
            assert answer.status_code == 422, token
        for token in (eve.access_token[:512], verification, reset, *crossed):
            answer = await p.client.post(f"{API}/auth/refresh", json={"refresh_token": token})
            assert answer.status_code == 401, token
        assert (
            await p.client.post(f"{API}/auth/verify-email", json={"token": verification})
        ).status_code == 204


async def test_row_13_a_rotated_key_is_believed_until_it_is_dropped(platform: PlatformFactory) -> None:
    """Row 13: tokens of the old key work beside the new one, and die with it; both are published meanwhile."""
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        old, new = p.environment["PLATFORM_USER_MANAGEMENT_SIGNING_KEY"], new_signing_key()
        rotated = {
            "PLATFORM_USER_MANAGEMENT_SIGNING_KEY": new,
            "PLATFORM_USER_MANAGEMENT_PREVIOUS_KEYS": old,
        }
        dropped = {"PLATFORM_USER_MANAGEMENT_SIGNING_KEY": new}
        async with platform(["user_management"], beside=p, settings=rotated) as q:
            assert (await asked(q, f"Bearer {eve.access_token}"))[0] == 200
            fresh = await log_in(q, eve.email)
            assert (
                decoded(fresh.access_token.split(".")[0])["kid"]
                != decoded(eve.access_token.split(".")[0])["kid"]
            )
            keys = (await q.client.get("/.well-known/jwks.json")).json()["keys"]
            assert len(keys) == 2
            assert all(key.keys() == {"kty", "crv", "x", "kid", "use", "alg"} for key in keys), (
                "nothing private"
            )
        async with platform(["user_management"], beside=p, settings=dropped) as q:
            assert (await asked(q, f"Bearer {eve.access_token}"))[0] == 401
            assert (await asked(q, f"Bearer {fresh.access_token}"))[0] == 200
        assert (await asked(p, f"Bearer {fresh.access_token}"))[0] == 401, (
            "a process that was not told of the new key"
        )


async def test_a_token_in_two_headers_or_beside_another_is_refused(platform: PlatformFactory) -> None:
    """Rows 9, 12: ambiguity is no way in, and a bad token on a public route makes nobody of the caller."""
    async with platform(["user_management"], seed=essentials) as p:
        eve, root = await sign_up(p, "eve"), await sign_up(p, "root", permissions=["*"])
        for values in (
            (f"Bearer {eve.access_token}", f"Bearer {root.access_token}"),
            (f"Bearer {eve.access_token}", "Bearer x"),
            (f"Bearer {eve.access_token}", f"Bearer {eve.access_token}"),
        ):
            headers = [("Authorization", value) for value in values]
            assert (await p.client.get(ME, headers=headers)).status_code == 401
        for value in (
            f"Bearer {eve.access_token}, Bearer {root.access_token}",
            f"Bearer {eve.access_token} {root.access_token}",
            f"Basic {eve.access_token}",
            f"Token {eve.access_token}",
            f"Bearer\t{eve.access_token}",
            f"Bearer{eve.access_token}",
        ):
            assert (await asked(p, value))[0] == 401, value
        for name in ("Cookie", "X-Access-Token", "X-Authorization", "Proxy-Authorization"):
            answer = await p.client.get(ME, headers={name: f"Bearer {eve.access_token}"})
            assert answer.status_code == 401, name
        form = {"access_token": eve.access_token}
        assert (await p.client.request("GET", ME, data=form)).status_code == 401


async def test_row_25_there_are_no_cookies(platform: PlatformFactory) -> None:
    """Row 25: no answer sets one, so no request can be forged across sites."""
    async with platform(["user_management"], seed=essentials) as p:
        eve = await sign_up(p, "eve")
        credentials = {"email": eve.email, "password": PASSWORD}
        for answer in (
            await p.client.post(f"{API}/auth/login", json=credentials),
            await p.client.post(f"{API}/auth/refresh", json={"refresh_token": eve.refresh_token}),
            await eve.client.get(ME),
            await eve.client.post(f"{API}/auth/logout"),
            await p.client.get("/docs"),
        ):
            assert "set-cookie" not in answer.headers
        as_form = await p.client.post(f"{API}/auth/login", data=credentials)
        assert as_form.status_code in (415, 422), "a form of another site cannot log anybody in"
        as_text = await p.client.post(
            f"{API}/auth/login", content=json.dumps(credentials), headers={"Content-Type": "text/plain"}
        )
        assert as_text.status_code in (415, 422)
