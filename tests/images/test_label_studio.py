import pytest
from yarl import URL

from ml_backend.images.label_studio import LabelStudios, readdress, same_host
from ml_backend.settings import Settings


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://ls/a", "http://ls:80/b", True),
        ("https://ls", "https://ls:443", True),
        ("http://LS:8080", "http://ls:8080", True),
        ("http://localhost:8080", "http://127.0.0.1:8080", True),
        ("http://localhost:8080", "http://[::1]:8080", True),
        ("http://ls:8080", "http://ls:8081", False),
        ("http://ls", "https://ls", False),
        ("http://ls", "http://ls.evil.example", False),
        ("http://ls", "http://evil.example/ls", False),
        ("http://ls:8080", "http://ls:8080@evil.example:8080", False),
        ("http://localhost:8080", "http://127.0.0.2:8080", False),
    ],
)
def test_who_may_see_the_token(one: str, other: str, same: bool) -> None:
    """Default ports and the names of loopback count as equal, nothing else does."""
    assert same_host(URL(one), URL(other)) == same


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:8080/data/a.jpg", "http://ls/data/a.jpg"),
        ("http://localhost:8080", "http://ls"),
        ("http://localhost:8080?x", "http://ls?x"),
        ("http://localhost:8081/data/a.jpg", "http://localhost:8081/data/a.jpg"),
        ("http://LOCALHOST:8080/data/a.jpg", "http://ls/data/a.jpg"),
        ("http://127.0.0.1:8080/data/a.jpg", "http://ls/data/a.jpg"),
        ("https://localhost:8080/data/a.jpg", "https://localhost:8080/data/a.jpg"),
        ("http://localhost:8080/a%2Fb?X-Sig=a%2Bb#c", "http://ls/a%2Fb?X-Sig=a%2Bb#c"),
        ("http://other/http://localhost:8080/", "http://other/http://localhost:8080/"),
    ],
    ids=[
        "path",
        "bare",
        "query",
        "other port",
        "capitals",
        "other name of loopback",
        "other scheme",
        "letter by letter",
        "not at the beginning",
    ],
)
def test_aliases_replace_whole_hosts(url: str, expected: str) -> None:
    """Only at the beginning, and only up to the end of a name, port or path part."""
    assert readdress(url, {"http://localhost:8080": "http://ls"}) == expected


@pytest.mark.parametrize("url", ["http://host/prefix/a.jpg", "http://host/prefixes/a.jpg"])
def test_aliases_with_a_path_replace_whole_path_parts(url: str) -> None:
    """``/prefix`` is no beginning of ``/prefixes``."""
    expected = {"http://host/prefix/a.jpg": "http://ls/a.jpg"}.get(url, url)
    assert readdress(url, {"http://host/prefix": "http://ls"}) == expected


def test_configured_label_studio_is_that_of_every_project() -> None:
    """What ``/setup`` says then only tells under which name it knows itself."""
    studios = LabelStudios(Settings(label_studio_url="http://ls:8080", label_studio_api_key="ours"))
    studios.learn("1", "http://localhost:8080/", "theirs")
    home = studios.of("1")
    assert home is not None
    assert (home.url, home.trusted, home.known_as) == ("http://ls:8080", True, ("http://localhost:8080",))
    assert home.headers is studios.of("2").headers  # type: ignore[union-attr]


def test_without_configuration_each_project_has_the_one_of_its_setup() -> None:
    """With its own token, under the address guard, and of no use to other projects."""
    studios = LabelStudios(Settings(label_studio_api_key="ours"))
    studios.learn("1", "http://one:8080", "t1")
    studios.learn("2", "http://two:8080", None)
    one, two = studios.of("1"), studios.of("2")
    assert one is not None
    assert two is not None
    assert (one.url, one.trusted) == ("http://one:8080", False)
    assert one.headers is not None
    assert two.headers is None
    assert studios.of("3") is None
    assert "t1" not in repr(one)


def test_configured_address_without_token_borrows_that_of_setup() -> None:
    """It goes to the configured address only."""
    studios = LabelStudios(Settings(label_studio_url="http://ls:8080"))
    studios.learn("1", "http://evil.example", "t1")
    home = studios.of("1")
    assert home is not None
    assert home.url == "http://ls:8080"
    assert home.headers is not None


@pytest.mark.parametrize(
    "hostname", [None, 5, "", "ls:8080", "file:///etc", "ftp://ls", "http://", "http://[", "http://x:port"]
)
def test_other_hostnames_are_passed_over(hostname: object) -> None:
    """Nothing that is not http(s) is remembered."""
    studios = LabelStudios(Settings())
    studios.learn("1", hostname, "t1")
    assert studios.of("1") is None


def test_memory_of_setups_is_bounded() -> None:
    """Anybody can post setups."""
    studios = LabelStudios(Settings())
    for number in range(LabelStudios.KEPT + 10):
        studios.learn(str(number), "http://ls", None)
    assert studios.of("0") is None
    assert studios.of(str(LabelStudios.KEPT + 9)) is not None
