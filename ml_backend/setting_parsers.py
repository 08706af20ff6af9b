"""Parsers of environment variables. Each function returns the value, or raises ValueError."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

Network = IPv4Network | IPv6Network

_MAX_ADDRESS_LENGTH = 2000  # characters; longer host names take seconds to encode as IDNA
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MAX_DURATION = 100 * 365 * 86_400  # seconds; stores add it to the current time


def base_url(value: str) -> str:
    """Return a plain http(s) address without white space around it and without a slash at its end.

    Raises:
        ValueError: it is not an http(s) address, has a user, a password, a query or a fragment (even an empty one), or httpx refuses it.
    """
    from httpx import URL, InvalidURL  # late, since few commands need it

    text = value.strip()
    # urlsplit drops line feeds, and does not tell an empty query from a missing one.
    if len(text) > _MAX_ADDRESS_LENGTH or not text.isprintable() or set(text) & set(" ?#\\"):
        raise ValueError("not a plain http(s) address")
    parts = urlsplit(text)
    _ = parts.port  # raises ValueError for a port that is not a number
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise ValueError("not a plain http(s) address")
    try:
        URL(text)
    except InvalidURL as error:
        raise ValueError(str(error)) from None
    return text.rstrip("/")


def networks(value: object) -> object:
    """Parse networks, such as ``10.0.0.0/8,127.0.0.0/8``; other types than text are returned unchanged."""
    if isinstance(value, str):
        return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
    return value


def aliases(value: object) -> object:
    """Parse comma-separated ``old=new`` pairs of addresses, such as ``http://a=http://b,http://c=http://d``; other types than text are returned unchanged."""
    if isinstance(value, str):
        # Split at the equals signs before an address, since paths may contain some too.
        pairs = (re.split(r"=(?=\s*(?i:https?)://)", part) for part in value.split(",") if part.strip())
        return {base_url(believed): base_url(reachable) for believed, reachable in pairs}
    return value


def tiles(value: int) -> int:
    """Return a number of tiles along each side of an image: 2 to 4, or 0 for none."""
    if value not in {0, 2, 3, 4}:
        raise ValueError("not 0, 2, 3 or 4")
    return value


def user(value: str) -> str:
    """Return a user name that all clients encode alike: ASCII, without a colon."""
    # A colon ends the user in the Authorization header, and clients disagree on how letters beyond ASCII are encoded (RFC 7617).
    if not value.isascii() or ":" in value:
        raise ValueError("not ASCII, or with a colon")
    return value


def password(value: SecretStr) -> SecretStr:
    """Return a password that all clients encode alike: ASCII."""
    if not value.get_secret_value().isascii():
        raise ValueError("not ASCII")
    return value


def stripped(value: object) -> object:
    """Return a text without white space around it, such as the line feed at the end of a token file."""
    return value.strip() if isinstance(value, str) else value


def redis_url(value: SecretStr) -> SecretStr:
    """Return a Redis address that redis-py accepts. Does not connect."""
    from redis import ConnectionPool  # late, since it takes 0.3 s and few commands need it

    try:
        options = ConnectionPool.from_url(value.get_secret_value())
        options.make_connection()  # connects nothing yet
    except TypeError as error:  # an unknown option
        raise ValueError(str(error)) from None
    path = urlsplit(value.get_secret_value()).path.strip("/")
    if "path" not in options.connection_kwargs and path and not path.isdigit():  # redis-py would use database 0 instead
        raise ValueError("with a database that is not a number")
    return value


def database_url(value: SecretStr) -> SecretStr:
    """Return the address of an SQLite file or a Postgres database. Does not connect."""
    from sqlalchemy import make_url  # late, since few commands need it
    from sqlalchemy.exc import ArgumentError

    text = value.get_secret_value()
    if text.startswith("postgres://"):  # the spelling of libpq and many providers
        text = text.replace("postgres", "postgresql", 1)
    try:
        url = make_url(text)
    except ArgumentError as error:
        raise ValueError(str(error)) from None
    if url.drivername not in {"sqlite", "postgresql", "postgresql+psycopg"}:
        raise ValueError("neither SQLite nor Postgres")
    if not url.database or url.database == ":memory:":  # SQLite drops that one with the connection
        raise ValueError("without the name of a database or file")
    return SecretStr(text)


def duration(value: object) -> object:
    """Parse a duration such as ``90s``, ``15m``, ``12h`` or ``7d`` to seconds; a plain number is seconds.

    Raises:
        ValueError: it is not a duration, or longer than 100 years.
    """
    if not isinstance(value, str):
        return value
    count, unit = value.strip()[:-1], value.strip()[-1:].lower()
    if unit.isdigit():
        count, unit = count + unit, "s"
    if unit not in _SECONDS or not count.strip().isdigit():
        raise ValueError("not a duration such as 12h or 30d")
    seconds = int(count) * _SECONDS[unit]
    if seconds > _MAX_DURATION:
        raise ValueError("longer than 100 years")
    return seconds


def expanded(value: Path) -> Path:
    """Return a path with a leading ``~`` replaced by the home folder.

    Raises:
        ValueError: the user in ``~user`` does not exist.
    """
    try:
        return value.expanduser()
    except RuntimeError as error:
        raise ValueError(str(error)) from None


def lower(value: object) -> object:
    """Return a text in lower case."""
    return value.lower() if isinstance(value, str) else value
