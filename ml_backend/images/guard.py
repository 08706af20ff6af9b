"""Keeps task data, which can name any URL, from making this server knock on doors that hold no pictures."""

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv6Address, ip_address, ip_network

from aiohttp import AddrInfoType

from ml_backend.setting_values import Network

# No picture lives at these: link-local (where clouds keep their metadata services), "this network", multicast, and the metadata
# services outside link-local (AWS over IPv6, Alibaba Cloud). Private networks are allowed, since most annotation pictures live there.
NEVER_AN_IMAGE_HOST = tuple(
    map(
        ip_network,
        (
            "169.254.0.0/16",
            "fe80::/10",
            "0.0.0.0/8",
            "::/128",
            "224.0.0.0/4",
            "ff00::/8",
            "fd00:ec2::254/128",
            "100.100.100.200/32",
        ),
    )
)


class BlockedAddressError(OSError):
    """The address lies in a blocked network. The text names no address, so that several blocked ones read as one."""

    def __init__(self) -> None:
        super().__init__("its address lies in a network that no picture is fetched from")


def is_blocked(address: str, further: Sequence[Network] = ()) -> bool:
    """Tell whether an IP address lies in :data:`NEVER_AN_IMAGE_HOST` or in ``further`` networks, also when it is an IPv4 address in IPv6 clothing."""
    ip = ip_address(address.partition("%")[0])  # a link-local address may carry its zone: fe80::1%eth0
    candidates = [ip]
    if isinstance(ip, IPv6Address):
        # ::ffff:a.b.c.d (RFC 4291), 2002:ab:cd:: (6to4, RFC 3056), 64:ff9b::a.b.c.d (NAT64, RFC 6052)
        nat64 = ip_address(ip.packed[-4:]) if ip.packed.startswith(bytes.fromhex("0064ff9b0000000000000000")) else None
        candidates += [inner for inner in (ip.ipv4_mapped, ip.sixtofour, nat64) if inner is not None]
    return any(candidate in network for candidate in candidates for network in (*NEVER_AN_IMAGE_HOST, *further))


def guarded_socket_factory(further: Sequence[Network]) -> Callable[[AddrInfoType], socket.socket]:
    """Return a socket factory for aiohttp that refuses what :func:`is_blocked` does.

    It sees the very address that is about to be connected, so neither redirects, nor unusual spellings of an address, nor a
    name that resolves differently the second time get past it.
    """

    def create(address_info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = address_info
        if is_blocked(str(address[0]), further):
            raise BlockedAddressError
        return socket.socket(family=family, type=kind, proto=protocol)

    return create
