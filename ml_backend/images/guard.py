"""Keeps task data, which can name any URL, from making this server knock on doors that hold no pictures."""

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_address

from aiohttp import AddrInfoType

from ml_backend.settings import Network


class BlockedAddressError(OSError):
    """The address lies in a blocked network. The text names no address, so that several blocked ones read as one."""

    def __init__(self) -> None:
        super().__init__("its address lies in a blocked network (PRELABEL_BLOCKED_NETWORKS)")


def is_blocked(address: str, networks: Sequence[Network]) -> bool:
    """Tell whether an IP address lies in one of ``networks``, also when it is an IPv4 address in IPv6 clothing."""
    ip = ip_address(address.partition("%")[0])  # a link-local address may carry its zone: fe80::1%eth0
    candidates = [ip]
    if isinstance(ip, IPv6Address):
        # ::ffff:a.b.c.d (RFC 4291), 2002:ab:cd:: (6to4, RFC 3056), 64:ff9b::a.b.c.d (NAT64, RFC 6052)
        nat64 = ip_address(ip.packed[-4:]) if ip.packed.startswith(bytes.fromhex("0064ff9b0000000000000000")) else None
        candidates += [inner for inner in (ip.ipv4_mapped, ip.sixtofour, nat64) if inner is not None]
    return any(candidate in network for candidate in candidates for network in networks)


def guarded_socket_factory(networks: Sequence[Network]) -> Callable[[AddrInfoType], socket.socket]:
    """Return a socket factory for aiohttp that refuses addresses in ``networks``.

    It sees the very address that is about to be connected, so neither redirects, nor unusual spellings of an address, nor a
    name that resolves differently the second time get past it.
    """

    def create(address_info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = address_info
        if is_blocked(str(address[0]), networks):
            raise BlockedAddressError
        return socket.socket(family=family, type=kind, proto=protocol)

    return create
