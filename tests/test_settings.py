from pathlib import Path

import pytest
from pydantic import SecretStr

from ml_backend.errors import SettingsError
from ml_backend.redaction import redact
from ml_backend.settings import PUBLISHED_DETECTOR, VARIABLES, Settings, checkout_of, load_settings

ROOT = Path(__file__).parent.parent
ALIASES = {"http://a:1": "http://b:2", "http://c": "https://d/x"}


def test_defaults_are_those_that_label_studio_users_expect() -> None:
    """With an empty environment the service listens on 9090 and serves the published detector alone."""
    settings = load_settings()
    assert (settings.port, settings.detector, settings.model_score_threshold) == (9090, PUBLISHED_DETECTOR, 0.3)
    assert settings.classifier is None


@pytest.mark.parametrize(
    ("model", "classifier", "expected"),
    [(None, None, PUBLISHED_DETECTOR), ("demo", None, "demo"), (None, "c", None), ("demo", "c", "demo")],
    ids=["neither", "a detector", "a classifier alone", "both"],
)
def test_classifier_alone_needs_no_detector(model: str | None, classifier: str | None, expected: str | None) -> None:
    """The published detector is not downloaded for a project that only has choices."""
    assert Settings(model=model, classifier=classifier).detector == expected


@pytest.mark.parametrize(
    ("variable", "value", "field", "expected"),
    [
        ("LABEL_STUDIO_URL", "http://ls:8080/prefix/", "label_studio_url", "http://ls:8080/prefix"),
        ("MODEL_SCORE_THRESHOLD", "0.55", "model_score_threshold", 0.55),
        ("PORT", "9191", "port", 9191),
        ("LOG_LEVEL", "INFO", "log_level", "info"),
        ("PRELABEL_IMAGE_MAX_BYTES", "10MB", "image_max_bytes", 10_000_000),
        ("PRELABEL_INFERENCE_WORKERS", "3", "inference_workers", 3),
        ("LABEL_STUDIO_URL", "", "label_studio_url", None),
        ("LABEL_STUDIO_API_KEY", "t0ken\n", "label_studio_api_key", SecretStr("t0ken")),
        ("PRELABEL_URL_ALIASES", "http://a:1=http://b:2/, http://c=https://d/x", "url_aliases", ALIASES),
        ("PRELABEL_URL_ALIASES", "http://a/x=1 = HTTP://b", "url_aliases", {"http://a/x=1": "HTTP://b"}),
        ("LABEL_STUDIO_URL", " http://ls:8080\n", "label_studio_url", "http://ls:8080"),
        ("LABEL_STUDIO_URL", " \t", "label_studio_url", None),
        ("LABEL_STUDIO_API_KEY", "  ", "label_studio_api_key", None),
        ("REDIS_URL", "\n", "redis_url", None),
        ("PRELABEL_DATABASE_URL", "  ", "database_url", None),
        ("PORT", " ", "port", 9090),
        ("PRELABEL_CACHE_TTL", "36500d", "cache_ttl", 100 * 365 * 86_400),
    ],
    ids=[
        "address without trailing slash",
        "number",
        "port",
        "level in capitals",
        "bytes with unit",
        "count",
        "empty is unset",
        "line feed behind a token",
        "aliases",
        "alias with an equals sign in its path",
        "white space around an address",
        "address of white space is unset",
        "token of white space is unset",
        "secret address of white space is unset",
        "database of white space is unset",
        "number of white space is unset",
        "the longest duration",
    ],
)
def test_environment_is_read(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, field: str, expected: object
) -> None:
    """Each variable sets its field."""
    monkeypatch.setenv(variable, value)
    assert getattr(load_settings(), field) == expected


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("PORT", "99999", "from 1 to 65535"),
        ("PORT", "http", "from 1 to 65535"),
        ("MODEL_SCORE_THRESHOLD", "30", "from 0 to 1"),
        ("MODEL_SCORE_THRESHOLD", "nan", "from 0 to 1"),
        ("LABEL_STUDIO_URL", "label-studio:8080", "http://label-studio:8080"),
        ("LABEL_STUDIO_URL", "http://ls:port", "http://label-studio:8080"),
        pytest.param("LABEL_STUDIO_URL", "http://ls :8080", "http://label-studio:8080", id="a space in the host"),
        pytest.param("LABEL_STUDIO_URL", "http://ls/a b", "http://label-studio:8080", id="a space in the path"),
        pytest.param("LABEL_STUDIO_URL", "http://l\ns:8080", "http://label-studio:8080", id="a line feed"),
        pytest.param("LABEL_STUDIO_URL", "http://ls/\x7f", "http://label-studio:8080", id="a control character"),
        pytest.param("LABEL_STUDIO_URL", "http://ls?", "http://label-studio:8080", id="an empty query"),
        pytest.param("LABEL_STUDIO_URL", "http://ls/#", "http://label-studio:8080", id="an empty fragment"),
        pytest.param("LABEL_STUDIO_URL", "http://ls/#x", "http://label-studio:8080", id="a fragment"),
        pytest.param("LABEL_STUDIO_URL", "http://ls\\x", "http://label-studio:8080", id="a backslash"),
        pytest.param(
            "LABEL_STUDIO_URL", "http://\u2603", "http://label-studio:8080", id="a host that no client can encode"
        ),
        pytest.param("LABEL_STUDIO_URL", "http://256.1.1.1", "http://label-studio:8080", id="no address of a network"),
        pytest.param(
            "LABEL_STUDIO_URL", f"http://{'x' * 2000}", "http://label-studio:8080", id="longer than any address"
        ),
        ("BASIC_AUTH_USER", "a:b", "without a colon"),
        ("LOG_LEVEL", "loud", "debug, info, warning or error"),
        ("PRELABEL_IMAGE_MAX_BYTES", "ten", "such as 50MB"),
        ("PRELABEL_BLOCKED_NETWORKS", "10.0.0.1/8", "such as 10.0.0.0/8"),
        ("PRELABEL_INFERENCE_WORKERS", "0", "from 1 to 256"),
        ("PRELABEL_URL_ALIASES", "http://a:1", "http://localhost:8080=http://label-studio:8080"),
        pytest.param(
            "PRELABEL_URL_ALIASES",
            "http://a=http://b=http://c",
            "http://localhost:8080=http://label-studio:8080",
            id="three addresses in a pair",
        ),
        pytest.param(
            "PRELABEL_URL_ALIASES",
            "http://a=http://b?",
            "http://localhost:8080=http://label-studio:8080",
            id="alias with an empty query",
        ),
        ("PRELABEL_CACHE", "memcached", "redis, sqlite (a file), memory"),
        ("PRELABEL_CACHE_TTL", "a while", "such as 12h or 30d"),
        ("PRELABEL_CACHE_TTL", "-1d", "such as 12h or 30d"),
        pytest.param("PRELABEL_CACHE_TTL", "99999999999999999999d", "at most 36500d", id="longer than clocks go"),
        pytest.param(
            "PRELABEL_CACHE_FILE", "~nobody-of-that-name/cache", "the file of the sqlite cache", id="home of nobody"
        ),
        ("PRELABEL_CACHE_FILE_BYTES", "1kB", "at least 1MB"),
    ],
)
def test_wrong_value_names_variable_value_and_what_is_expected(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    """A wrong value stops the start with one line that a person can act on."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    message = str(caught.value)
    assert message.startswith(f"{variable}={redact(repr(value))} cannot be used: expected ")
    assert words in message
    assert "\n" not in message


def test_every_wrong_value_gets_its_own_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two wrong values are two lines, so that both can be mended at once."""
    monkeypatch.setenv("PORT", "0")
    monkeypatch.setenv("LOG_LEVEL", "loud")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert [line.partition("=")[0] for line in str(caught.value).splitlines()] == ["PORT", "LOG_LEVEL"]


def test_secrets_never_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither repr nor an error's text holds a token, a password or an address with a password."""
    for variable in ("LABEL_STUDIO_API_KEY", "BASIC_AUTH_PASS"):
        monkeypatch.setenv(variable, "s3cret")
    monkeypatch.setenv("REDIS_URL", "redis://:s3cret@host/0")
    monkeypatch.setenv("BASIC_AUTH_USER", "me")
    assert "s3cret" not in repr(load_settings()) + str(load_settings().warnings())
    monkeypatch.delenv("BASIC_AUTH_USER")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert "s3cret" not in str(caught.value)
    assert "BASIC_AUTH_USER" in str(caught.value)


@pytest.mark.parametrize("url", ["http://me:s3cret@ls", "http://:s3cret@ls", "http://ls?token=s3cret"])
def test_addresses_with_secrets_are_refused_without_showing_them(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """The token has a variable of its own."""
    monkeypatch.setenv("LABEL_STUDIO_URL", url)
    with pytest.raises(SettingsError, match="LABEL_STUDIO_URL=") as caught:
        load_settings()
    assert "s3cret" not in str(caught.value)


def test_only_some_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo runs whatever else the environment holds."""
    monkeypatch.setenv("PORT", "many")
    monkeypatch.setenv("TFHUB_CACHE_DIR", "here")
    assert str(load_settings(only={"tfhub_cache_dir"}).tfhub_cache_dir) == "here"


@pytest.mark.parametrize(
    ("variable", "value", "field", "expected"),
    [
        ("TFHUB_CACHE_DIR", "~/models", "tfhub_cache_dir", Path("/home/me/models")),
        ("PRELABEL_CACHE_FILE", "~/cache.sqlite3", "cache_file", Path("/home/me/cache.sqlite3")),
        ("PRELABEL_CACHE_FILE", "a/~/cache", "cache_file", Path("a/~/cache")),
        ("PRELABEL_DATABASE_URL", "sqlite:///~/facts", "database_url", SecretStr("sqlite:///~/facts")),
    ],
    ids=["a folder", "a file", "only at the beginning", "an address is no path"],
)
def test_tilde_is_the_home_folder(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, field: str, expected: object
) -> None:
    """No shell has expanded it in a compose file or a unit of systemd."""
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv(variable, value)
    assert getattr(load_settings(), field) == expected


@pytest.mark.parametrize(
    ("beside", "expected"),
    [
        ('[project]\nname = "prelabel"\n', True),
        ('[project]\nname = "other"\ndependencies = ["prelabel"]\n', False),
        (None, False),
    ],
    ids=["a checkout", "another package left its file in site-packages", "installed"],
)
def test_checkout_is_known_by_the_file_of_the_project(tmp_path: Path, beside: str | None, expected: bool) -> None:
    """It stands beside the package, and no wheel has it there."""
    if beside is not None:
        (tmp_path / "pyproject.toml").write_text(beside)
    assert checkout_of(tmp_path / "ml_backend") == (tmp_path if expected else None)


def test_this_is_a_checkout() -> None:
    """The name in pyproject.toml is found as it is written there."""
    assert checkout_of(ROOT / "ml_backend") == ROOT


def places(settings: Settings) -> list[str]:
    """Return where models, cache and corrections are kept."""
    return [str(each) for each in (settings.tfhub_cache_dir, settings.cache_file, settings.database_address)]


@pytest.mark.parametrize(
    ("checkout", "environment", "expected"),
    [
        ("/checkout", {}, ["{0}/models", "{0}/cache.sqlite3", "{0}/feedback.sqlite3"]),
        (None, {}, ["/c/prelabel/models", "/c/prelabel/cache.sqlite3", "/d/prelabel/feedback.sqlite3"]),
        (None, {"PRELABEL_HOME": "~/p"}, ["/me/p/models", "/me/p/cache.sqlite3", "/me/p/feedback.sqlite3"]),
        ("/checkout", {"PRELABEL_HOME": "/p"}, ["/p/models", "/p/cache.sqlite3", "/p/feedback.sqlite3"]),
        (
            "/checkout",
            {
                "PRELABEL_HOME": "/p",
                "TFHUB_CACHE_DIR": "/m",
                "PRELABEL_CACHE_FILE": "/f",
                "PRELABEL_DATABASE_URL": "sqlite:////b",
            },
            ["/m", "/f", "sqlite:////b"],
        ),
    ],
    ids=["a checkout", "installed", "a home folder", "its setting comes first", "settings of their own come before it"],
)
def test_models_cache_and_corrections_have_one_place(
    monkeypatch: pytest.MonkeyPatch, checkout: str | None, environment: dict[str, str], expected: list[str]
) -> None:
    """``data`` in a checkout, whoever starts the command; the user's own folders for an installed one; or the folder that is named."""
    monkeypatch.setattr("ml_backend.settings.CHECKOUT", Path(checkout) if checkout else None)
    monkeypatch.delenv("PRELABEL_HOME")
    for name, value in {"HOME": "/me", "XDG_CACHE_HOME": "/c", "XDG_DATA_HOME": "/d", **environment}.items():
        monkeypatch.setenv(name, value)
    assert places(load_settings()) == [each.format("/checkout/data") for each in expected]


def test_home_folder_that_is_wrong_is_the_only_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """The places below it are not complained of too."""
    monkeypatch.setenv("PRELABEL_HOME", "~nobody-of-that-name/data")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert [line.partition("=")[0] for line in str(caught.value).splitlines()] == ["PRELABEL_HOME"]


def test_given_values_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands on the command line wins; what is not given there is left to the environment."""
    monkeypatch.setenv("PORT", "9191")
    assert load_settings(port=9292).port == 9292
    assert load_settings(port=None).port == 9191


def test_settings_are_frozen() -> None:
    """Nothing changes a setting after the start."""
    with pytest.raises(ValueError, match="frozen"):
        load_settings().port = 1  # type: ignore[misc]  # mypy knows it too


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"LABEL_STUDIO_API_KEY": "t0ken"}, "LABEL_STUDIO_API_KEY is set without LABEL_STUDIO_URL"),
        ({"PRELABEL_MODLE": "demo"}, "did you mean PRELABEL_MODEL?"),
        ({"REDIS_URL": "redis://r", "PRELABEL_CACHE": "sqlite"}, "PRELABEL_CACHE=sqlite does not use it"),
    ],
    ids=["a token for nobody", "misspelt name", "a Redis that nobody uses"],
)
def test_what_is_probably_not_meant_is_said(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], words: str
) -> None:
    """The start goes on, with a sentence for a person to read."""
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert any(words in warning for warning in load_settings().warnings())


def test_every_field_has_a_variable_and_says_what_is_expected() -> None:
    """Messages and the settings page are made from these."""
    for name, field in Settings.model_fields.items():
        assert VARIABLES[name].isupper()
        assert field.description, name


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        "http://s3cret@host",
        "redis://:s3cret@host:many",
        "redis://:s3cret@host/cache",
        "redis://:s3cret@host?db=first",
        "redis://:s3cret@host?database=1",
        "redis://:s3cret@host?ssl_cert_reqs=none",
    ],
)
def test_wrong_address_of_redis_stops_the_start(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Later it would look as if Redis were down; and its password is not shown."""
    monkeypatch.setenv("REDIS_URL", url)
    with pytest.raises(SettingsError, match=r"REDIS_URL=\(hidden\) cannot be used") as caught:
        load_settings()
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["redis://host", "rediss://user:s3cret@host:6380/2?ssl_cert_reqs=none", "unix://:s3cret@/run/redis.sock?db=1"],
)
def test_addresses_of_redis(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """All forms that redis-py knows."""
    monkeypatch.setenv("REDIS_URL", url)
    assert load_settings().redis_url is not None


def test_redis_needs_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for without one, the start stops with both names in one line."""
    monkeypatch.setenv("PRELABEL_CACHE", "redis")
    with pytest.raises(SettingsError, match="PRELABEL_CACHE=redis needs REDIS_URL"):
        load_settings()


@pytest.mark.parametrize(
    ("environment", "images", "holdout", "warned"),
    [
        ({"PRELABEL_PICTURES_IN_FLIGHT": "5"}, 5, 0, ["PRELABEL_PICTURES_IN_FLIGHT is now called"]),
        ({"PRELABEL_AUDIT_FRACTION": "0.5"}, 32, 0.5, ["PRELABEL_AUDIT_FRACTION is now called"]),
        (
            {"PRELABEL_PICTURES_IN_FLIGHT": "5", "PRELABEL_MAX_CONCURRENT_IMAGES": "6"},
            6,
            0,
            ["and is not used, since both are set"],
        ),
        ({"PRELABEL_MAX_CONCURRENT_IMAGES": "6"}, 6, 0, []),
    ],
    ids=["old", "another old one", "the new name wins", "new"],
)
def test_old_names_are_read_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], images: int, holdout: float, warned: list[str]
) -> None:
    """Settings that were renamed keep their old names for one release."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert (settings.max_concurrent_images, settings.holdout_fraction) == (images, holdout)
    assert len(settings.warnings()) == len(warned)
    assert all(part in text for part, text in zip(warned, settings.warnings(), strict=True))


@pytest.mark.parametrize(
    ("variable", "secret", "token"),
    [
        (None, "t0ken\n", "t0ken"),
        ("", "t0ken", "t0ken"),
        ("other", "t0ken", "other"),
        (None, "\n", None),
        (None, None, None),
    ],
    ids=["with a line feed", "empty variables are not set", "the environment wins", "empty secret", "no secret"],
)
def test_secrets_are_read_from_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str | None, secret: str | None, token: str | None
) -> None:
    """Container engines mount them where no description of the container shows them."""
    monkeypatch.setattr("ml_backend.settings.SECRETS", tmp_path)
    if variable is not None:
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", variable)
    if secret is not None:
        (tmp_path / "LABEL_STUDIO_API_KEY").write_text(secret)
    key = load_settings().label_studio_api_key
    assert (key and key.get_secret_value()) == token


@pytest.mark.parametrize("content", [None, b"\xff"], ids=["a folder", "no text"])
def test_secret_that_cannot_be_read_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    """A service without its password would be open to everyone."""
    monkeypatch.setattr("ml_backend.settings.SECRETS", tmp_path)
    path = tmp_path / "BASIC_AUTH_PASS"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(SettingsError, match=f"{path} cannot be read"):
        load_settings()
