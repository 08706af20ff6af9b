from typing import Any

import pytest

from ml_backend.http.address_guard import AddressGuard
from ml_backend.settings import load_settings


def refuses(address: str, **settings: Any) -> bool:
    """Tell whether the guard refuses an address under some settings."""
    return AddressGuard.from_settings(load_settings(**settings)).refuses(address)


METADATA = [
    pytest.param("169.254.169.254", id="most clouds"),
    pytest.param("169.254.170.2", id="Amazon ECS"),
    pytest.param("fe80::a9fe:a9fe", id="OpenStack"),
    pytest.param("fe80::1%eth0", id="link-local with a zone"),
    pytest.param("100.100.100.200", id="Alibaba Cloud"),
    pytest.param("168.63.129.16", id="Azure WireServer"),
    pytest.param("192.0.0.192", id="Oracle Cloud"),
    pytest.param("fd00:ec2::254", id="Amazon"),
    pytest.param("fd00:ec2::23", id="Amazon EKS"),
    pytest.param("fd20:ce::254", id="Google Cloud"),
    pytest.param("fd00:42::42", id="Scaleway"),
    pytest.param("fd00:a9fe:a9fe::1", id="Akamai"),
    pytest.param("0.0.0.0", id="this network"),  # noqa: S104 - an address to refuse, not to listen on
    pytest.param("::", id="unspecified"),
    pytest.param("224.0.0.1", id="multicast"),
    pytest.param("ff02::1", id="multicast over IPv6"),
    pytest.param("255.255.255.255", id="broadcast"),
]


@pytest.mark.parametrize("address", METADATA)
@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, id="defaults"),
        pytest.param({"allowed_networks": "0.0.0.0/0,::/0"}, id="everything allowed"),
        pytest.param({"public_addresses_only": True}, id="public addresses only"),
    ],
)
def test_metadata_services_are_refused_under_all_settings(address: str, settings: dict[str, Any]) -> None:
    """They hand out credentials, and no picture lives there."""
    assert refuses(address, **settings)


# The address a9fe:a9fe is 169.254.169.254; 5601:5601 is its complement, as Teredo writes clients.
EMBEDDED = [
    pytest.param("::169.254.169.254", id="IPv4-compatible, RFC 4291 2.5.5.1"),
    pytest.param("::ffff:169.254.169.254", id="IPv4-mapped, RFC 4291 2.5.5.2"),
    pytest.param("::ffff:0:169.254.169.254", id="IPv4-translated, RFC 2765 2.1"),
    pytest.param("64:ff9b::169.254.169.254", id="NAT64, RFC 6052 2.1"),
    pytest.param("64:ff9b:1:a9fe:a9:fe00::", id="local NAT64, RFC 8215, prefix of 48 bits"),
    pytest.param("64:ff9b:1:a9:fe:a9fe::", id="local NAT64, RFC 8215, prefix of 56 bits"),
    pytest.param("64:ff9b:1:0:a9:fea9:fe00:0", id="local NAT64, RFC 8215, prefix of 64 bits"),
    pytest.param("64:ff9b:1::169.254.169.254", id="local NAT64, RFC 8215, prefix of 96 bits"),
    pytest.param("64:ff9b:1:fffe::169.254.169.254", id="local NAT64, RFC 8215, prefix of 96 bits with a subnet"),
    pytest.param("2002:a9fe:a9fe::1", id="6to4, RFC 3056"),
    pytest.param("2001:0:a9fe:a9fe:0:1::1", id="Teredo server, RFC 4380"),
    pytest.param("2001:0:808:808:0:1:5601:5601", id="Teredo client, RFC 4380"),
    pytest.param("2001:db8::5efe:169.254.169.254", id="ISATAP, RFC 5214"),
    pytest.param("2001:db8::200:5efe:169.254.169.254", id="ISATAP with a global address, RFC 5214"),
]


@pytest.mark.parametrize("address", EMBEDDED)
def test_ipv4_addresses_within_ipv6_are_found(address: str) -> None:
    """Translators and tunnels lead from each of these forms to the IPv4 address in it."""
    assert refuses(address)
    assert refuses(address, allowed_networks="::/0")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.9",
        "::1",
        "fd12:3456::1",
        "93.184.216.34",
        "2606:4700::1111",
        "64:ff9b::93.184.216.34",
        "64:ff9b:1:fffe::93.184.216.34",
    ],
)
def test_private_and_public_hosts_are_allowed_by_default(address: str) -> None:
    """Most pictures of annotation projects live on private hosts."""
    assert not refuses(address)


@pytest.mark.parametrize("address", ["100.64.0.1", "100.127.255.254", "::ffff:100.64.0.1"])
def test_shared_address_space_is_closed_until_it_is_allowed(address: str) -> None:
    """Clouds have services of their own there, and overlay networks such as Tailscale have pictures there."""
    assert refuses(address)
    assert not refuses(address, allowed_networks="100.64.0.0/10")
    assert not refuses(address, allowed_networks="100.64.0.0/10", public_addresses_only=True)


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        pytest.param("93.184.216.34", False, id="public"),
        pytest.param("2606:4700::1111", False, id="public over IPv6"),
        pytest.param("64:ff9b::93.184.216.34", False, id="public behind NAT64"),
        pytest.param("::ffff:93.184.216.34", False, id="public, mapped"),
        pytest.param("127.0.0.1", True, id="loopback"),
        pytest.param("::1", True, id="loopback over IPv6"),
        pytest.param("10.1.2.3", True, id="private"),
        pytest.param("64:ff9b::10.1.2.3", True, id="private behind NAT64"),
        pytest.param("2002:a01:203::1", True, id="private behind 6to4"),
        pytest.param("::ffff:10.1.2.3", True, id="private, mapped"),
        pytest.param("fd12:3456::1", True, id="unique local"),
        pytest.param("fec0::1", True, id="site-local"),
        pytest.param("198.18.0.1", True, id="benchmarks"),
        pytest.param("240.0.0.1", True, id="reserved"),
        pytest.param("2001:db8::1", True, id="documentation"),
        pytest.param("4000::1", True, id="not assigned"),
    ],
)
def test_public_addresses_only(address: str, refused: bool) -> None:
    """PRELABEL_PUBLIC_ADDRESSES_ONLY closes everything that is not routed in the whole Internet."""
    assert refuses(address, public_addresses_only=True) == refused


@pytest.mark.parametrize(
    "address",
    [
        "10.20.0.7",
        "::ffff:10.20.0.7",
        "64:ff9b::10.20.0.7",
        "fd12:3456::1",
        "64:ff9b:1:fffe::93.184.216.34",
    ],
)
def test_allowed_networks_are_exempt_from_public_addresses_only(address: str) -> None:
    """A public service can keep the one private network that has its pictures."""
    allowed = "10.20.0.0/16,fd12:3456::/32,64:ff9b:1::/48"
    assert refuses(address, public_addresses_only=True)
    assert not refuses(address, public_addresses_only=True, allowed_networks=allowed)


def test_blocked_networks_win_over_allowed_ones() -> None:
    """A hole in an allowed network stays closed."""
    settings = {"blocked_networks": "10.20.0.0/24", "allowed_networks": "10.20.0.0/16"}
    assert refuses("::ffff:10.20.0.7", **settings)
    assert not refuses("10.20.1.7", **settings)
