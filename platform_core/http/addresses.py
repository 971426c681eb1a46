"""Which network address a request really comes from."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable, Sequence

__all__ = ["TrustedProxies", "network_of"]

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TrustedProxies:
    """
    The proxies whose `X-Forwarded-For` is believed.

    Args:
        entries: addresses or networks in CIDR notation.

    Raises:
        ValueError: an entry is neither.
    """

    def __init__(self, entries: Iterable[str]) -> None:
        self._networks: tuple[_Network, ...] = tuple(
            ipaddress.ip_network(entry, strict=False) for entry in entries
        )

    def client(self, peer: str | None, forwarded: Sequence[bytes]) -> str | None:
        """
        Return the rightmost hop that no trusted proxy is known to be.

        Args:
            peer: who is connected; None for a unix socket, which is trusted if any proxy is.
            forwarded: every `X-Forwarded-For` header, in order. One part that is no address makes all of it void:
                then the peer counts.
        """
        if not self._networks or not forwarded:
            return _canonical(peer)
        if peer is not None and not self._includes(peer):
            return _canonical(peer)
        try:
            hops = [_hop(part) for header in forwarded for part in header.decode("ascii").split(",")]
        except ValueError:
            return _canonical(peer)
        for hop in reversed(hops):
            if not self._includes(str(hop)):
                return str(hop)
        return str(hops[0]) if hops else _canonical(peer)

    def _includes(self, address: str) -> bool:
        try:
            parsed = _parse(address)
        except ValueError:
            return False
        return any(parsed in network for network in self._networks)


def _hop(part: str) -> _Address:
    text = part.strip()
    if text.startswith("["):  # [2001:db8::1]:4711
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # 192.0.2.1:4711
        text = text.partition(":")[0]
    return _parse(text)


@functools.lru_cache(maxsize=4096)
def _parse(address: str) -> _Address:
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return parsed.ipv4_mapped or ipaddress.IPv6Address(int(parsed))  # without a zone
    return parsed


@functools.lru_cache(maxsize=4096)
def _canonical(address: str | None) -> str | None:
    if address is None:
        return None
    try:
        return str(_parse(address))
    except ValueError:
        return None


@functools.lru_cache(maxsize=4096)
def network_of(address: str | None) -> str:
    """Return what a rate limit counts: an IPv4 address, or the /64 that an IPv6 host can choose from freely."""
    if address is None:
        return "local"
    parsed = _parse(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)))
    return str(parsed)
