"""All settings, read once from the environment, or from files of secrets. No other module reads it.

Names that Label Studio users know keep their spelling (``LABEL_STUDIO_URL``, ``MODEL_SCORE_THRESHOLD``, …); all others start with
``PRELABEL_``. A wrong value raises :class:`SettingsError` with a line that names the variable, the value and the expected form.
"""

import difflib
import importlib.util
import os
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import platformdirs
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)

from ml_backend import setting_parsers as values
from ml_backend.errors import SettingsError
from ml_backend.redaction import redact

PUBLISHED_DETECTOR = "https://tfhub.dev/google/openimages_v4/ssd/mobilenet_v2/1"

ADDRESS_MAX_LENGTH = 8192  # characters

SECRETS = Path("/run/secrets")
"""Where Docker, Compose and Podman mount secrets: a variable that is not set is read from the file of its name, if there is one."""


def checkout_of(package: Path) -> Path | None:
    """Return the folder of a checkout, from which the package in it runs; None for an installed package.

    Args:
        package: the folder of the package. In a checkout, Prelabel's own ``pyproject.toml`` stands beside it.
    """
    project = package.parent / "pyproject.toml"
    # Some packages install a pyproject.toml of theirs beside all others.
    is_ours = project.is_file() and '\nname = "prelabel"\n' in project.read_text(encoding="utf-8", errors="replace")
    return package.parent if is_ours else None


CHECKOUT = checkout_of(Path(__file__).parent)


def available_cpus() -> int:
    """Return the number of processors that this process may run on, which can be smaller than that of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


class Settings(BaseModel):
    """The settings of a user. Frozen; secrets show as ``**********`` wherever the object is printed.

    ``Settings()`` has the defaults and ignores the environment; :func:`load_settings` reads it. Every field's alias is its
    environment variable, and its description is the expected form of a value; ``docs/settings.md`` lists them.
    """

    model_config = ConfigDict(frozen=True, populate_by_name=True, extra="forbid")

    home: Annotated[Path, AfterValidator(values.expanded)] | None = Field(
        default_factory=lambda: CHECKOUT / "data" if CHECKOUT else None,
        validation_alias="PRELABEL_HOME",
        description="the folder of downloaded models, cache and corrections, where no setting of theirs names another place",
    )
    label_studio_url: Annotated[str, AfterValidator(values.base_url)] | None = Field(
        None,
        validation_alias="LABEL_STUDIO_URL",
        description="the address at which Prelabel reaches Label Studio, without user, query and fragment, such as "
        "http://label-studio:8080",
    )
    url_aliases: Annotated[dict[str, str], BeforeValidator(values.aliases)] = Field(
        {},
        validation_alias="PRELABEL_URL_ALIASES",
        description="addresses in tasks and the addresses to fetch instead, such as "
        "http://localhost:8080=http://label-studio:8080, separated by commas",
    )
    label_studio_api_key: Annotated[SecretStr, BeforeValidator(values.stripped)] | None = Field(
        None,
        validation_alias="LABEL_STUDIO_API_KEY",
        description="a personal access token or a legacy token of Label Studio, sent to Label Studio's own address only",
    )
    basic_auth_user: Annotated[str, AfterValidator(values.user)] | None = Field(
        None,
        validation_alias="BASIC_AUTH_USER",
        description="the user name that callers must give, in ASCII and without a colon; set together with BASIC_AUTH_PASS",
    )
    basic_auth_pass: Annotated[SecretStr, AfterValidator(values.password)] | None = Field(
        None,
        validation_alias="BASIC_AUTH_PASS",
        description="the password that callers must give, in ASCII; set together with BASIC_AUTH_USER",
    )
    redis_url: Annotated[SecretStr, BeforeValidator(values.stripped), AfterValidator(values.redis_url)] | None = Field(
        None,
        validation_alias="REDIS_URL",
        description="the Redis server that keeps detections, such as redis://user:password@host:6379/0, rediss://… or "
        "unix:///path?db=0",
    )
    host: str = Field("0.0.0.0", validation_alias="PRELABEL_HOST", description="the address to listen on")  # noqa: S104 - Label Studio calls from outside
    port: int = Field(
        9090, ge=1, le=65535, validation_alias="PORT", description="the port to listen on, from 1 to 65535"
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(values.lower)] = Field(
        "info", validation_alias="LOG_LEVEL", description="debug, info, warning or error"
    )
    log_format: Annotated[Literal["auto", "text", "json"], BeforeValidator(values.lower)] = Field(
        "auto",
        validation_alias="PRELABEL_LOG_FORMAT",
        description="the form of log lines: text for people, json for programs, or auto: text on a terminal and json elsewhere",
    )
    traces_endpoint: Annotated[str, AfterValidator(values.base_url)] | None = Field(
        None,
        validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT",
        description="the address of an OpenTelemetry collector that takes OTLP over HTTP, such as http://collector:4318, which traces are sent to; "
        "needs the extra prelabel[otel]",
    )

    model: str | None = Field(
        None,
        min_length=1,
        validation_alias="PRELABEL_MODEL",
        description="the detector: a TensorFlow Hub or Kaggle address, a folder, a .tar.gz, a gs:// path, or demo; by default the published "
        "Open Images SSD MobileNetV2, or none where PRELABEL_CLASSIFIER is set",
    )
    classifier: str | None = Field(
        None,
        min_length=1,
        validation_alias="PRELABEL_CLASSIFIER",
        description="the classifier of whole images, for choices: a TensorFlow Hub or Kaggle address, a folder, a .tar.gz or a gs:// path",
    )
    runtime: Annotated[Literal["auto", "tensorflow", "openvino"], BeforeValidator(values.lower)] = Field(
        "auto",
        validation_alias="PRELABEL_RUNTIME",
        description="the library that runs the models: tensorflow, openvino (faster on processors), or auto: openvino where it agrees with "
        "tensorflow",
    )
    precision: Annotated[Literal["f32", "bf16", "int8"], BeforeValidator(values.lower)] = Field(
        "f32",
        validation_alias="PRELABEL_PRECISION",
        description="the precision of the computation inside the models: f32 or, with openvino, bf16 or int8, which are faster on recent processors and "
        "change boxes (docs/benchmarks.md has by how much); int8 needs the extra prelabel[int8]",
    )
    class_names: Annotated[Path, AfterValidator(values.expanded)] | None = Field(
        None,
        validation_alias="PRELABEL_CLASS_NAMES",
        description="the class list of a model that does not tell its classes: a .txt, .csv, .json or .pbtxt file",
    )
    tfhub_cache_dir: Annotated[Path, AfterValidator(values.expanded)] = Field(
        default_factory=lambda given: _folder_of_caches(given) / "models",
        validation_alias="TFHUB_CACHE_DIR",
        description="the folder that keeps downloaded models",
    )
    model_score_threshold: float = Field(
        0.3,
        ge=0,
        le=1,
        validation_alias="MODEL_SCORE_THRESHOLD",
        description="the lowest score that is shown, from 0 to 1",
    )
    inference_workers: int = Field(
        default_factory=lambda: available_cpus() + 1,
        ge=1,
        le=256,
        validation_alias="PRELABEL_INFERENCE_WORKERS",
        description="how many images are decoded and run through the models at the same time, from 1 to 256",
    )

    model_input_max_side: int = Field(
        640,
        ge=0,
        le=100_000,
        validation_alias="PRELABEL_MODEL_INPUT_MAX_SIDE",
        description="the longer side to which larger images are shrunk before the detector, in pixels; more for detectors with "
        "larger inputs, 0 for none",
    )

    tiles: Annotated[int, AfterValidator(values.tiles)] = Field(
        0,
        validation_alias="PRELABEL_TILES",
        description="large images are also looked at in tiles, up to this number along each side: 2, 3 or 4; 0 for none. model_tiles in the "
        "label config takes precedence",
    )

    shutdown_delay: float = Field(
        0,
        ge=0,
        le=600,
        validation_alias="PRELABEL_SHUTDOWN_DELAY",
        description="seconds after SIGTERM in which requests are still taken while /ready answers 503, so that a balancer turns to other "
        "services first, at most 600",
    )
    shutdown_timeout: float = Field(
        3,
        ge=0,
        le=3600,
        validation_alias="PRELABEL_SHUTDOWN_TIMEOUT",
        description="seconds that running requests get to finish after that, at most 3600; Docker kills after 10 seconds in all, Kubernetes after 30, "
        "unless told otherwise",
    )
    predict_deadline: float = Field(
        90,
        gt=0,
        le=3600,
        validation_alias="PRELABEL_PREDICT_DEADLINE",
        description="seconds after which /predict answers with the tasks that are done, at most 3600; Label Studio itself waits 100",
    )
    image_timeout: float = Field(
        20,
        gt=0,
        le=600,
        validation_alias="PRELABEL_IMAGE_TIMEOUT",
        description="seconds that fetching one image may take, at most 600",
    )
    image_max_bytes: ByteSize = Field(
        ByteSize(50_000_000),
        gt=0,
        validation_alias="PRELABEL_IMAGE_MAX_BYTES",
        description="the largest image file, such as 50MB",
    )
    image_max_pixels: int = Field(
        50_000_000,
        ge=1,
        validation_alias="PRELABEL_IMAGE_MAX_PIXELS",
        description="the largest number of pixels (width x height) of an image",
    )
    image_max_seconds: float = Field(
        2,
        gt=0,
        le=60,
        validation_alias="PRELABEL_IMAGE_MAX_SECONDS",
        description="seconds of processor time that decoding one image may take, at most 60",
    )
    image_max_memory: ByteSize = Field(
        ByteSize(512_000_000),
        ge=64_000_000,
        validation_alias="PRELABEL_IMAGE_MAX_MEMORY",
        description="the memory that decoding one image may take, at least 64MB; PRELABEL_INFERENCE_WORKERS images are decoded "
        "at the same time",
    )
    address_max_length: int = Field(
        ADDRESS_MAX_LENGTH,
        ge=256,
        le=100_000,
        validation_alias="PRELABEL_ADDRESS_MAX_LENGTH",
        description="the longest address of an image, in characters, from 256 to 100000; data: URIs are limited by PRELABEL_IMAGE_MAX_BYTES",
    )
    blocked_networks: Annotated[tuple[values.Network, ...], BeforeValidator(values.networks)] = Field(
        (),
        validation_alias="PRELABEL_BLOCKED_NETWORKS",
        description="further networks from which no image is fetched, such as 10.0.0.0/8,127.0.0.0/8 (link-local, multicast and "
        "metadata addresses are always blocked); Label Studio's own address is exempt",
    )
    public_addresses_only: bool = Field(
        False,
        validation_alias="PRELABEL_PUBLIC_ADDRESSES_ONLY",
        description="whether images are fetched from globally routable addresses only: true or false; PRELABEL_ALLOWED_NETWORKS and "
        "Label Studio's own address are exempt",
    )
    allowed_networks: Annotated[tuple[values.Network, ...], BeforeValidator(values.networks)] = Field(
        (),
        validation_alias="PRELABEL_ALLOWED_NETWORKS",
        description="networks from which images are fetched in spite of PRELABEL_PUBLIC_ADDRESSES_ONLY, or which lie in the otherwise blocked "
        "100.64.0.0/10, such as 10.20.0.0/16,100.64.0.0/10; never metadata addresses or PRELABEL_BLOCKED_NETWORKS",
    )
    request_max_bytes: ByteSize = Field(
        ByteSize(150_000_000),
        gt=0,
        validation_alias="PRELABEL_REQUEST_MAX_BYTES",
        description="the largest request body, such as 150MB; Label Studio sends all selected tasks in one request, with their annotations "
        "and old predictions",
    )
    max_tasks: int = Field(
        50_000, ge=1, validation_alias="PRELABEL_MAX_TASKS", description="the largest number of tasks in one request"
    )
    label_config_max_bytes: ByteSize = Field(
        ByteSize(1_000_000),
        gt=0,
        validation_alias="PRELABEL_LABEL_CONFIG_MAX_BYTES",
        description="the largest label config, such as 1MB; a label takes about 30 bytes",
    )
    max_controls: int = Field(
        50,
        ge=1,
        validation_alias="PRELABEL_MAX_CONTROLS",
        description="the largest number of controls in one label config",
    )
    max_connections: int = Field(
        512,
        ge=8,
        validation_alias="PRELABEL_MAX_CONNECTIONS",
        description="the largest number of open connections, at least 8, and at most half of the file descriptors that the process may "
        "open; the one that has waited longest for its request is closed for a new one",
    )
    max_concurrent_images: int = Field(
        32,
        ge=1,
        le=1024,
        validation_alias="PRELABEL_MAX_CONCURRENT_IMAGES",
        description="how many images are held in memory at the same time, from 1 to 1024",
    )
    memory_cache_bytes: ByteSize = Field(
        ByteSize(64_000_000),
        ge=0,
        validation_alias="PRELABEL_CACHE_MEMORY_BYTES",
        description="the size of the cache in memory, such as 64MB; 0 for none",
    )
    cache: Annotated[Literal["auto", "redis", "sqlite", "memory", "none"], BeforeValidator(values.lower)] = Field(
        "auto",
        validation_alias="PRELABEL_CACHE",
        description="where detections are cached: redis, sqlite (a file), memory (lost with a restart), none, or auto: "
        "redis where REDIS_URL is set, else sqlite",
    )
    cache_ttl: Annotated[int, BeforeValidator(values.duration)] | None = Field(
        None,
        ge=0,
        validation_alias="PRELABEL_CACHE_TTL",
        description="how long detections are used, such as 12h or 30d, at most 36500d; 0 for no limit; by default 30d in Redis and no limit elsewhere",
    )
    cache_file: Annotated[Path, AfterValidator(values.expanded)] = Field(
        default_factory=lambda given: _folder_of_caches(given) / "cache.sqlite3",
        validation_alias="PRELABEL_CACHE_FILE",
        description="the file of the sqlite cache",
    )
    cache_file_bytes: ByteSize = Field(
        ByteSize(1_000_000_000),
        ge=1_000_000,
        validation_alias="PRELABEL_CACHE_FILE_BYTES",
        description="the size of that file, at least 1MB; the least recently used detections are removed first",
    )
    redis_timeout: float = Field(
        0.5,
        gt=0,
        le=10,
        validation_alias="PRELABEL_REDIS_TIMEOUT",
        description="seconds to wait for Redis, at most 10; after a timeout it is not used until it answers again",
    )
    remember_addresses: bool = Field(
        True,
        validation_alias="PRELABEL_REMEMBER_ADDRESSES",
        description="whether an image that is needed again under the same address is fetched only if it has changed: true or false",
    )

    database_url: Annotated[SecretStr, BeforeValidator(values.stripped), AfterValidator(values.database_url)] | None = (
        Field(
            None,
            validation_alias="PRELABEL_DATABASE_URL",
            description="the database of corrections: postgresql://user:password@host/name or sqlite:////path/of/file; "
            "by default a file of SQLite",
        )
    )
    trust_webhooks: bool = Field(
        False,
        validation_alias="PRELABEL_TRUST_WEBHOOKS",
        description="whether annotations in events are trusted where there is no LABEL_STUDIO_API_KEY to read them back with: true or false; "
        "anyone who reaches the port can send events",
    )
    target_precision: float | None = Field(
        None,
        gt=0,
        lt=1,
        validation_alias="PRELABEL_TARGET_PRECISION",
        description="the share of shown boxes that should be right, between 0 and 1, to which Start Training and `prelabel calibrate` set thresholds "
        "where the label config says nothing (model_target_precision); by default they set the thresholds that spare annotators most time",
    )
    seconds_draw: float | None = Field(
        None,
        gt=0,
        validation_alias="PRELABEL_SECONDS_DRAW",
        description="seconds that an annotator needs to draw a box; by default measured in the project, else 10",
    )
    seconds_delete: float | None = Field(
        None,
        gt=0,
        validation_alias="PRELABEL_SECONDS_DELETE",
        description="seconds to delete a wrong box; by default measured in the project, else 2",
    )
    seconds_adjust: float | None = Field(
        None,
        gt=0,
        validation_alias="PRELABEL_SECONDS_ADJUST",
        description="seconds to adjust the edges of a box; by default measured in the project, else 4",
    )
    seconds_relabel: float | None = Field(
        None,
        gt=0,
        validation_alias="PRELABEL_SECONDS_RELABEL",
        description="seconds to give a box another label; by default measured in the project, else 3",
    )
    seconds_look: float | None = Field(
        None,
        gt=0,
        validation_alias="PRELABEL_SECONDS_LOOK",
        description="seconds to look at a picture, without edits; by default measured in the project, else 1",
    )
    learn: Annotated[Literal["off", "suggest", "auto"], BeforeValidator(values.lower)] = Field(
        "suggest",
        validation_alias="PRELABEL_LEARN",
        description="learning without Start Training, after 5 new annotations of a project and then after a tenth more: off, suggest (the status page "
        "and the report say which revision would help) or auto (a revision that surely saves annotators time is applied)",
    )
    learn_pause: float = Field(
        3600,
        ge=0,
        validation_alias="PRELABEL_LEARN_PAUSE",
        description="seconds after a revision of a project in which PRELABEL_LEARN=auto applies no other one: each changes the model version, and "
        "Label Studio then needs new predictions",
    )
    holdout_fraction: float = Field(
        0,
        ge=0,
        le=1,
        validation_alias="PRELABEL_HOLDOUT_FRACTION",
        description="the share of images, from 0 to 1, that are answered without boxes and choices, so that `prelabel report` can tell whether predictions bias people",
    )

    keep_projects_current: bool = Field(
        True,
        validation_alias="PRELABEL_KEEP_PROJECTS_CURRENT",
        description="whether Prelabel keeps model versions and stored predictions of its projects current in Label Studio, with "
        "LABEL_STUDIO_API_KEY: true or false",
    )

    @model_validator(mode="after")
    def _credentials_come_in_pairs(self) -> Self:
        if (self.basic_auth_user is None) != (self.basic_auth_pass is None):
            raise ValueError(
                "BASIC_AUTH_USER and BASIC_AUTH_PASS must be set together; with only one of them, no login is possible"
            )
        return self

    @model_validator(mode="after")
    def _redis_has_an_address(self) -> Self:
        if self.cache == "redis" and self.redis_url is None:
            raise ValueError("PRELABEL_CACHE=redis needs REDIS_URL, such as redis://localhost:6379/0")
        return self

    @property
    def detector(self) -> str | None:
        """The handle of the detector; None where a classifier is used alone."""
        return self.model or (PUBLISHED_DETECTOR if self.classifier is None else None)

    def cache_ttl_or(self, default: int | None) -> int | None:
        """Return how long detections are used, in seconds, with the default of a store; None for ever."""
        return default if self.cache_ttl is None else self.cache_ttl or None

    @property
    def database_address(self) -> str | Path:
        """The database that keeps corrections: its address, with its password, or the default file."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return (self.home or platformdirs.user_data_path("prelabel")) / "feedback.sqlite3"

    @property
    def reads_corrections(self) -> bool:
        """Whether corrections reach a service: they can be read back from Label Studio, or events are trusted."""
        return self.trust_webhooks or (self.label_studio_url is not None and self.label_studio_api_key is not None)

    @property
    def sends_traces(self) -> bool:
        """Whether traces are switched on, and the packages that send them are installed."""
        return self.traces_endpoint is not None and _is_installed(
            "opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http"
        )

    def warnings(self) -> list[str]:
        """Return a sentence for each setting that is probably a mistake. None of them stops the start."""
        found = []
        for name in sorted(os.environ):
            if name in RENAMED:
                unused = " and is not used, since both are set" if _value(RENAMED[name]) else ""
                found.append(
                    f"{name} is now called {RENAMED[name]}{unused}; the old name will not be read in the next release."
                )
            elif name.startswith("PRELABEL_") and name not in VARIABLES.values():
                near = difflib.get_close_matches(name, VARIABLES.values(), n=1)
                found.append(
                    f"{name} is set but is not a setting of Prelabel" + (f"; did you mean {near[0]}?" if near else ".")
                )
        if self.redis_url is not None and self.cache not in {"auto", "redis"}:
            found.append(f"REDIS_URL is set, but PRELABEL_CACHE={self.cache} does not use it.")
        if self.label_studio_api_key is not None and self.label_studio_url is None:
            found.append("LABEL_STUDIO_API_KEY is set without LABEL_STUDIO_URL, so it is not used.")
        if self.traces_endpoint is not None and not self.sends_traces:
            found.append(
                "OTEL_EXPORTER_OTLP_ENDPOINT is set, but no traces are sent: OpenTelemetry is missing. Install prelabel[otel]."
            )
        return found


def _folder_of_caches(given: dict[str, Any]) -> Path:
    """Return the folder of files that can be made or downloaded again, from the fields that are validated already."""
    return given.get("home") or platformdirs.user_cache_path("prelabel")


VARIABLES = {name: str(field.validation_alias) for name, field in Settings.model_fields.items()}
"""Environment variables by field name."""

RENAMED = {
    "PRELABEL_PICTURES_IN_FLIGHT": "PRELABEL_MAX_CONCURRENT_IMAGES",
    "PRELABEL_AUDIT_FRACTION": "PRELABEL_HOLDOUT_FRACTION",
}
"""Current names of environment variables by their old names, which are read, with a warning, until the next release."""


def load_settings(only: Collection[str] = VARIABLES, **overrides: Any) -> Settings:
    """Read the settings from the environment, and those that it does not set from the files in :data:`SECRETS`.

    Args:
        only: names of the fields to read; the others have their defaults.
        overrides: values by field name, which take precedence; ``None`` means "not given".

    Raises:
        SettingsError: one line for each wrong value: the variable, the value (hidden for secrets) and the expected form.
    """
    # A variable that is empty or white space counts as unset: compose files pass such variables on.
    names = {current: old for old, current in RENAMED.items() if not _value(current)}
    read = {
        name: value
        for name, variable in VARIABLES.items()
        if name in only and (value := _value(names.get(variable, variable)))
    }
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**read | given)
    except ValidationError as error:
        # Defaults that are made from other fields are missing wherever a value is wrong.
        wrong = [each for each in error.errors(include_url=False) if each["type"] != "default_factory_not_called"]
        raise SettingsError("\n".join(map(_one_line, wrong))) from None


def _value(variable: str) -> str:
    """Return the value of a variable, or of the secret of its name; empty for none, and for white space."""
    value = os.environ.get(variable, "")
    if not value.strip():
        try:
            value = (SECRETS / variable).read_text().rstrip("\r\n")
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{SECRETS / variable} cannot be read: {error}.") from None
    return value if value.strip() else ""


def _is_installed(*modules: str) -> bool:
    try:
        return all(importlib.util.find_spec(module) for module in modules)
    except ImportError:
        return False


def _one_line(problem: Any) -> str:
    if not problem["loc"]:
        return str(problem["msg"]).removeprefix("Value error, ") + "."
    name = next(name for name, variable in VARIABLES.items() if problem["loc"][0] in {name, variable})
    field = Settings.model_fields[name]
    value = "(hidden)" if "SecretStr" in str(field.annotation) else redact(repr(problem["input"]))
    return f"{VARIABLES[name]}={value} cannot be used: expected {field.description}."
