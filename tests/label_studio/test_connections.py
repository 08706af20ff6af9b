import pytest
from yarl import URL

from ml_backend.label_studio.connections import LabelStudio, LabelStudios, readdress, same_host
from ml_backend.label_studio.tasks import is_task_id
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
    "path",
    [
        "/data/upload/1/73f47284-a.jpg",
        "/data/upload/1/a%20b%25c..d.jpg",
        "/data/local-files/?d=a.jpg",
        "/data/local-files?d=../a.jpg",
        "/storage-data/uploaded/?filepath=upload/1/a.jpg",
        "/data/%75pload/1/a.jpg",
    ],
)
def test_pictures_that_label_studio_keeps(path: str) -> None:
    """The paths that its tasks name, with and without a path prefix."""
    for url in ("http://ls:8080", "http://ls:8080/prefix", "http://ls:8080/pr%C3%A4fix"):
        home = LabelStudio(url, None)
        assert home.serves(URL(home.url_of(path), encoded=True))


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://evil/data/upload/1/a.jpg", id="another host"),
        pytest.param("http://ls:8080/data/upload/1/a.jpg", id="beside the path prefix"),
        pytest.param("http://ls:8080/prefixes/data/upload/1/a.jpg", id="a prefix that only begins like it"),
        pytest.param("http://ls:8080/prefix/api/users", id="API"),
        pytest.param("http://ls:8080/prefix/data/upload/", id="no picture"),
        pytest.param("http://ls:8080/prefix/data/export/a.jpg", id="other data"),
        pytest.param("http://ls:8080/prefix/data/local-files/a.jpg", id="below local files"),
        pytest.param("http://ls:8080/prefix/api/data/upload/1/a.jpg", id="picture's path at the end"),
        pytest.param("http://ls:8080/prefix/api/users?x=/data/upload/1/a.jpg", id="picture's path in the query"),
        pytest.param("http://ls:8080/prefix/api/users#/data/upload/1/a.jpg", id="picture's path in the fragment"),
        pytest.param("http://ls:8080/prefix/tasks/7/presign/?fileuri=a", id="resolver"),
        pytest.param("http://ls:8080/prefix/data/upload/../../api/users", id="dots"),
        pytest.param("http://ls:8080/prefix/data/upload/./a.jpg", id="one dot"),
        pytest.param("http://ls:8080/prefix/data/upload/%2e%2E/%2e./api/users", id="encoded dots"),
        pytest.param("http://ls:8080/prefix/data/upload/%252e%252e/%252e%252e/api", id="dots encoded twice"),
        pytest.param("http://ls:8080/prefix/data/upload/%25252525252e%25252525252e/api", id="dots encoded often"),
        pytest.param("http://ls:8080/prefix/data/upload/%c0%ae%c0%ae/api/users", id="dots in overlong UTF-8"),
        pytest.param("http://ls:8080/prefix/data/upload/..%2f..%2fapi/users", id="encoded slashes"),
        pytest.param("http://ls:8080/prefix/data/upload\\..\\..\\api\\users", id="backslashes"),
        pytest.param("http://ls:8080/prefix/data/upload%5c..%5c..%5capi", id="encoded backslashes"),
        pytest.param("http://ls:8080/prefix/data/upload/..;x=1/..;/api/users", id="dots with parameters"),
        pytest.param("http://ls:8080//data/upload/1/a.jpg", id="double slash"),
        pytest.param("http://ls:8080/prefix//data/upload/1/a.jpg", id="double slash behind the prefix"),
        pytest.param("http://ls:8080/prefix/data/upload/a%00.jpg", id="control character"),
        pytest.param("http://ls:8080/prefix/DATA/upload/1/a.jpg", id="capitals"),
    ],
)
def test_other_addresses_are_no_pictures_of_label_studio(url: str) -> None:
    """However they are written, they are not asked for with the token."""
    assert not LabelStudio("http://ls:8080/prefix", None).serves(URL(url, encoded=True))


@pytest.mark.parametrize(
    ("value", "expected"),
    [(1, True), (2**63 - 1, True)]
    + [(other, False) for other in (0, -1, 2**63, 10**30, True, False, 1.0, "1", None, [1])],
    ids=repr,
)
def test_ids_of_tasks(value: object, expected: bool) -> None:
    """Positive integers of 64 bits: they become part of addresses."""
    assert is_task_id(value) == expected


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
    studios = LabelStudios.from_settings(Settings(label_studio_url="http://ls:8080", label_studio_api_key="ours"))
    studios.learn("1", "http://localhost:8080/", "theirs")
    home = studios.of("1")
    assert home is not None
    assert (home.url, home.trusted, home.known_as) == ("http://ls:8080", True, ("http://localhost:8080",))
    assert home.headers is studios.of("2").headers  # type: ignore[union-attr]


def test_without_configuration_each_project_has_the_one_of_its_setup() -> None:
    """With its own token, under the address guard, and of no use to other projects."""
    studios = LabelStudios.from_settings(Settings(label_studio_api_key="ours"))
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
    studios = LabelStudios.from_settings(Settings(label_studio_url="http://ls:8080"))
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
    studios = LabelStudios.from_settings(Settings())
    studios.learn("1", hostname, "t1")
    assert studios.of("1") is None


CONFIGURED = Settings(label_studio_url="http://ls:8080", label_studio_api_key="ours")


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(Settings(), id="nothing configured"),
        pytest.param(Settings(label_studio_url="http://ls:8080"), id="address configured"),
        pytest.param(CONFIGURED, id="address and token configured"),
    ],
)
@pytest.mark.parametrize("project", ["5.1795326029", "5", "None"])
def test_first_word_on_a_project_stays(settings: Settings, project: str, caplog: pytest.LogCaptureFixture) -> None:
    """Anybody can send a /setup; a stranger's changes nothing of what is known, and one line of the log tells of it."""
    studios = LabelStudios.from_settings(settings)
    studios.learn(project, "http://ls:8080", "t1")
    known = studios.of(project)
    for _ in range(3):
        studios.learn(project, "http://evil:s3cret@example", "t2")
        studios.learn(project, "http://evil.example", "t2")
        studios.learn(project, "http://ls:8080", "t3")
        studios.learn(project, "http://ls:8080", None)
    assert studios.of(project) is known
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "http://evil.example" in caplog.text
    assert "t2" not in caplog.text


def test_each_project_with_a_contradiction_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """Once each."""
    studios = LabelStudios.from_settings(Settings())
    for project in ("1.1", "2.2", "1.1", "2.2"):
        studios.learn(project, "http://ls", None)
        studios.learn(project, "http://evil.example", None)
    assert len(caplog.records) == 2


@pytest.mark.parametrize("stranger", ["5.evil", "5.", "5.1.2", "5 ", "5.99", "\uff15", "05", "-5", "evil.5"])
def test_bare_id_is_the_project_that_spoke_first(stranger: str) -> None:
    """Where Prelabel itself knows a project by its id alone."""
    for configured in (Settings(), CONFIGURED):
        studios = LabelStudios.from_settings(configured)
        studios.learn("5.17", "http://one", "t1")
        studios.learn(stranger, "http://evil.example", "t2")
        assert studios.of("5") is studios.of("5.17")
        studios = LabelStudios.from_settings(configured)
        if stranger != "5.99":  # of two well-formed names, the first counts
            studios.learn(stranger, "http://evil.example", "t2")
            studios.learn("5.17", "http://one", "t1")
            assert studios.of("5") is studios.of("5.17")


def test_refused_token_gives_way_to_a_new_one_of_the_same_host() -> None:
    """The creator of a project can make a new token; nobody else can, and no good token is replaced."""
    studios = LabelStudios.from_settings(Settings())
    studios.learn("5.17", "http://one", "t1")
    known = studios.of("5.17")
    assert known is not None
    assert known.headers is not None
    known.headers.refused = True
    studios.learn("5.17", "http://evil.example", "t2")
    studios.learn("5.17", "http://one", "t1")
    studios.learn("5.17", "http://one", None)
    assert studios.of("5.17") is known
    studios.learn("5.17", "http://one", "t2")
    renewed = studios.of("5")
    assert renewed is not None
    assert renewed.headers is not None
    assert not renewed.headers.gives_way_to("t1")
    studios.learn("5.17", "http://one", "t3")
    assert studios.of("5.17") is renewed


def test_token_may_come_later() -> None:
    """A host that sent none replaces nothing with its first."""
    studios = LabelStudios.from_settings(Settings(label_studio_url="http://ls:8080"))
    studios.learn("5.17", "http://one", None)
    studios.learn("5.17", "http://one", "t1")
    home = studios.of("5.17")
    assert home is not None
    assert home.headers is not None


def test_memory_of_setups_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """Anybody can post setups: newcomers are not learned once the table is full, and known projects stay."""
    studios = LabelStudios.from_settings(Settings())
    for number in range(LabelStudios.KEPT + 10):
        studios.learn(f"{number}.1", "http://ls", None)
    assert studios.of("0") is studios.of("0.1") is not None
    assert studios.of(f"{LabelStudios.KEPT - 1}.1") is not None
    assert studios.of(f"{LabelStudios.KEPT}.1") is None
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("project", "hostname", "token"),
    [
        ("5" * 10_000, "http://ls", "t"),
        ("5.17", "http://ls/" + "a" * 10_000, "t"),
        ("5.17", "http://ls", "t" * 10_000),
    ],
    ids=["project", "address", "token"],
)
def test_long_words_are_not_learned(project: str, hostname: str, token: str) -> None:
    """Ten thousand of them would fill the memory."""
    studios = LabelStudios.from_settings(Settings())
    studios.learn(project, hostname, token)
    assert studios.of(project) is None
