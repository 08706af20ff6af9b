from ipaddress import ip_network

import pytest

from ml_backend.images.guard import is_blocked


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "fe80::1",
        "fe80::1%eth0",
        "0.0.0.0",  # noqa: S104 - an address to refuse, not to listen on
        "::",
        "224.0.0.1",
        "fd00:ec2::254",
        "100.100.100.200",
        "::ffff:169.254.169.254",
        "64:ff9b::169.254.169.254",
        "2002:a9fe:a9fe::1",
    ],
    ids=str,
)
def test_metadata_services_and_such_are_blocked_by_default(address: str) -> None:
    """No picture lives there, in whichever clothing the address comes."""
    assert is_blocked(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "192.168.0.9", "::1", "93.184.216.34", "2606:4700::1111"])
def test_private_and_public_hosts_are_allowed_by_default(address: str) -> None:
    """Most annotation pictures live on private hosts."""
    assert not is_blocked(address)


def test_networks_can_be_added() -> None:
    """A public service can close its private networks as well."""
    assert is_blocked("::ffff:10.1.2.3", [ip_network("10.0.0.0/8")])
