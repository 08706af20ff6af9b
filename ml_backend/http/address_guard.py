"""Checks the IP address of each connection, since tasks can name any host in this machine's network."""

import socket
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Self

from aiohttp import AddrInfoType

from ml_backend.setting_parsers import Network
from ml_backend.settings import Settings


def _networks(*names: str) -> tuple[Network, ...]:
    return tuple(map(ip_network, names))


# Private networks are not in the list: most images of annotation projects are there.
NEVER_AN_IMAGE_HOST = _networks(
    "169.254.0.0/16",  # link-local (RFC 3927), where most clouds have their metadata service
    "fe80::/10",  # link-local (RFC 4291, 2.5.6)
    "0.0.0.0/8",  # "this network" (RFC 1122, 3.2.1.3)
    "::/128",  # unspecified (RFC 4291, 2.5.2)
    "224.0.0.0/4",  # multicast (RFC 5771)
    "ff00::/8",  # multicast (RFC 4291, 2.7)
    "255.255.255.255/32",  # broadcast (RFC 919)
    # Metadata services outside the link-local networks:
    "100.100.100.200/32",  # Alibaba Cloud
    "168.63.129.16/32",  # Azure, WireServer
    "192.0.0.192/32",  # Oracle Cloud
    "fd00:ec2::/64",  # Amazon: ::254 instance metadata, ::23 credentials of EKS pods
    "fd20:ce::/64",  # Google Cloud: ::254
    "fd00:42::42/128",  # Scaleway
    "fd00:a9fe:a9fe::/64",  # Akamai (Linode): ::1
)

# Shared address space of providers (RFC 6598), in which clouds have internal services. Overlay networks such as Tailscale use it too.
SHARED_ADDRESS_SPACE = ip_network("100.64.0.0/10")

_GLOBAL_UNICAST = ip_network("2000::/3")  # RFC 3587: all that has been assigned

_COMPATIBLE = ip_network("::/96")  # ::a.b.c.d (RFC 4291, 2.5.5.1)
_TRANSLATED = ip_network("::ffff:0:0:0/96")  # ::ffff:0:a.b.c.d (RFC 2765, 2.1)
_NAT64 = ip_network("64:ff9b::/96")  # RFC 6052, 2.1
_NAT64_LOCAL = ip_network("64:ff9b:1::/48")  # RFC 8215
_ISATAP = (bytes.fromhex("00005efe"), bytes.fromhex("02005efe"))  # RFC 5214, 6.1

# The octets of the IPv4 address in an IPv6 address with a prefix of 48, 56, 64 or 96 bits; octet 8 is reserved (RFC 6052, 2.2).
_OCTETS_BY_PREFIX = ((6, 7, 9, 10), (7, 9, 10, 11), (9, 10, 11, 12), (12, 13, 14, 15))


class BlockedAddressError(OSError):
    """The address lies in a blocked network. The text does not name the address, so it is the same for all blocked ones."""

    def __init__(self) -> None:
        super().__init__("its address lies in a network that no image is fetched from")


class AddressGuard:
    """Decides which IP addresses images are fetched from.

    Args:
        blocked: networks that are refused, beside :data:`NEVER_AN_IMAGE_HOST`.
        allowed: networks that are exempt from ``public_only``, and from the refusal of :data:`SHARED_ADDRESS_SPACE`.
        public_only: whether addresses that are not globally routable are refused.
    """

    def __init__(
        self, *, blocked: Sequence[Network] = (), allowed: Sequence[Network] = (), public_only: bool = False
    ) -> None:
        self._blocked = (*NEVER_AN_IMAGE_HOST, *blocked)
        self._allowed = allowed
        self._public_only = public_only

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the guard that the settings configure."""
        return cls(
            blocked=settings.blocked_networks,
            allowed=settings.allowed_networks,
            public_only=settings.public_addresses_only,
        )

    def refuses(self, address: str) -> bool:
        """Tell whether an IP address is refused, or an IPv4 address embedded in it."""
        ip = ip_address(address.partition("%")[0])  # a link-local address may have a zone: fe80::1%eth0
        addresses: tuple[IPv4Address | IPv6Address, ...] = (
            (ip, *_embedded(ip)) if isinstance(ip, IPv6Address) else (ip,)
        )
        if any(each in network for each in addresses for network in self._blocked):
            return True
        return not self._is_allowed(ip) and any(self._is_restricted(each) for each in addresses)

    def _is_allowed(self, ip: IPv4Address | IPv6Address) -> bool:
        return any(ip in network for network in self._allowed)

    def _is_restricted(self, ip: IPv4Address | IPv6Address) -> bool:
        restricted = ip in SHARED_ADDRESS_SPACE or (self._public_only and not _is_public(ip))
        return restricted and not self._is_allowed(ip)

    def socket(self, address_info: AddrInfoType) -> socket.socket:
        """Make a socket for an address; the ``socket_factory`` of aiohttp's connector.

        The address is the one that is then connected. So redirects, unusual spellings of an address and names that resolve differently
        the second time are all checked.

        Raises:
            BlockedAddressError: the address is refused.
        """
        family, kind, protocol, _, address = address_info
        if self.refuses(str(address[0])):
            raise BlockedAddressError
        return socket.socket(family=family, type=kind, proto=protocol)


def _is_public(ip: IPv4Address | IPv6Address) -> bool:
    """Tell whether an address is globally routable, or is an IPv6 form of an IPv4 address, which is checked by itself."""
    if isinstance(ip, IPv4Address):
        return ip.is_global
    return ip.ipv4_mapped is not None or ip in _NAT64 or (ip in _GLOBAL_UNICAST and ip.is_global)


def _embedded(ip: IPv6Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses that an IPv6 address may be translated to."""
    octets = ip.packed
    if ip.ipv4_mapped is not None:  # ::ffff:a.b.c.d (RFC 4291, 2.5.5.2)
        yield ip.ipv4_mapped
    if (ip in _COMPATIBLE and int(ip) > 1) or ip in _TRANSLATED or ip in _NAT64:  # ::1 is the loopback address
        yield IPv4Address(octets[12:])
    if ip in _NAT64_LOCAL:
        # The length of the prefix is unknown, so each is tried. An address in 0.0.0.0/8 is a wrong guess: no translator sends there.
        guesses = (IPv4Address(bytes(octets[at] for at in numbers)) for numbers in _OCTETS_BY_PREFIX)
        yield from (guess for guess in guesses if guess.packed[0])
    if ip.sixtofour is not None:  # 2002:ab:cd:: (RFC 3056, 2)
        yield ip.sixtofour
    if ip.teredo is not None:  # server and client (RFC 4380, 4)
        yield from ip.teredo
    if octets[8:12] in _ISATAP:
        yield IPv4Address(octets[12:])
