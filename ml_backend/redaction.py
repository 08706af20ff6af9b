"""Removes secrets of addresses, and characters that cannot be encoded, from texts."""

import re
from urllib.parse import unquote

HIDDEN = "…"

# The beginning of an address as browsers read it: http:\\host and http:/host lead to a host as http://host does.
_BEGINNING = r"(\bhttps?:[/\\]*+(?=\S)|(?<![/\\])(?:\b[a-z][a-z0-9+.-]{0,20}:)?[/\\]{2,}+)"
# Both patterns consume their whole part of the text, with or without an @ in it, so that no text takes quadratic time.
# Up to the last @ before the path: people put anything into passwords.
_USER_INFO = re.compile(rf"{_BEGINNING}(?P<info>(?:[^/?#\n@]*+@)*+)(?P<rest>[^/?#\n@]*+)", re.IGNORECASE)
# A port that is not a number is the beginning of a password that contains a slash, a question mark or a number sign.
_USER_INFO_WITH_SLASHES = re.compile(
    rf"{_BEGINNING}[^\s/\\?#@:\[]*:(?!\d*(?:[/\\?#\s]|$))(?P<info>(?:[^\s@]*+@)*+)(?P<rest>[^\s@]*+)", re.IGNORECASE
)
_HOST = re.compile(rf"{_BEGINNING}[^/\\?#;]*", re.IGNORECASE)

# Paths of Label Studio, which stand in texts without a host; two of them name the file in their query.
_FILE_IN_QUERY = r"(?:data/local-files|storage-data/uploaded)/?"
_OF_LABEL_STUDIO = rf"(?:data/upload/|(?:tasks|projects)/\d+/(?:presign|resolve)/|{_FILE_IN_QUERY})"
_TO_FILE = re.compile(rf"((?:[^?#;]*/)?{_FILE_IN_QUERY})(\?(?:d|filepath)=)([^&;#]*)(.*)", re.DOTALL)
# Closing quotes, brackets and punctuation belong to the sentence.
_ADDRESS = re.compile(
    rf"(?:{_BEGINNING}|(?<![\w./\\])(?:/[^\s/?#]+){{0,3}}/{_OF_LABEL_STUDIO})(?:\S*[^\s)\]}}>'\",.;:!])?", re.IGNORECASE
)
_QUERY = re.compile(r"(?<=\?)[^\s'\"]+")

_JWT = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?")
_SENSITIVE_NAME = (
    r"(?:(?i:token|secret|passw(?:or)?d|passphrase|signature|credential|(?:api|access|account|auth|private)key)"
    r"|(?<![A-Za-z])(?i:key|sig|auth|pwd|jwt|bearer|hmac)|(?<=[a-z])(?:Key|Sig|Auth|Pwd|Jwt|Hmac))s?"
)
_ENDS_AS_SENSITIVE_NAME = re.compile(rf"{_SENSITIVE_NAME}$")
_NAMED_SECRET = re.compile(rf"{_SENSITIVE_NAME}\s*[=:]")

_ALPHANUMERIC = re.compile(r"[A-Za-z0-9]+")
_PIECE = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+")  # of a name: a word, an abbreviation or a number
_HASH = re.compile(r"(?=.*[0-9])(?=.*[A-Fa-f])(?:[0-9a-f]{4,}|[0-9A-F]{4,})")
_FILE_NAME = re.compile(r".\.[A-Za-z0-9]{2,5}$")
_RANDOM_LENGTH = 20  # letters and digits; a name of this length without words and numbers counts as a secret


def redact(text: str) -> str:
    """Return a text without the secrets of the addresses in it: see :func:`redact_address`.

    >>> redact("gone: https://me:pw@host/a.jpg?X-Amz-Signature=abc")
    'gone: https://host/a.jpg?…'
    """
    text = _ADDRESS.sub(lambda found: redact_address(found[0]), _without_user_info(_JWT.sub(HIDDEN, text)))
    return _QUERY.sub(HIDDEN, text) if "//" in text else text  # also of an address with spaces in it


def redact_address(address: str) -> str:
    """Return one address, or one path of Label Studio, without its possible secrets.

    User, password, query, fragment and parameters behind a semicolon are removed. So are JSON Web Tokens, named secrets (``/token/…``,
    ``/sig=…``) and long names without words and numbers in the path. A file name in a query of Label Studio
    (``/data/local-files/?d=…``) stays. Host, folders and names of images stay, so that people can find the image.
    """
    address = _without_user_info(_JWT.sub(HIDDEN, address))
    host = match[0] if (match := _HOST.match(address)) else ""
    address = address.removeprefix(host)
    if match := _TO_FILE.fullmatch(address):
        path, parameter, file, rest = match.groups()
        shown = _redact_path(path) + parameter + _redact_path(file)
    else:
        path = re.split("[?#;]", address, maxsplit=1)[0]
        shown, rest = _redact_path(path), address.removeprefix(path)
    return host + shown + rest[:1] + (HIDDEN if rest[1:] else "")


def _without_user_info(text: str) -> str:
    for pattern in (_USER_INFO, _USER_INFO_WITH_SLASHES):
        text = pattern.sub(lambda found: found[1] + found["rest"] if found["info"] else found[0], text)
    return text


def _redact_path(path: str) -> str:
    parts = re.split(r"([/\\])", path)  # names at even indices, separators at odd ones
    before = ""
    for at in range(0, len(parts), 2):
        name = unquote(parts[at])
        is_last = at == len(parts) - 1
        if name and (_ENDS_AS_SENSITIVE_NAME.search(before) or _is_secret(name, is_file=is_last)):
            parts[at] = HIDDEN
        before = name
    return "".join(parts)


def _is_secret(name: str, *, is_file: bool) -> bool:
    """Tell whether one part of a path has a named secret, an address with one, or mostly random characters."""
    if _NAMED_SECRET.search(name) or "?" in name or ("@" in name and ":" in name):
        return True
    words = _ALPHANUMERIC.findall(name)
    total = sum(map(len, words))
    is_file = is_file and _FILE_NAME.search(name) is not None
    return total >= _RANDOM_LENGTH and 2 * sum(_readable(word, is_file=is_file) for word in words) < total


def _readable(word: str, *, is_file: bool) -> int:
    """Return the number of readable characters of a word. A hash counts as readable only in a file name."""
    if _HASH.fullmatch(word):
        return len(word) if is_file else 0
    pieces = _PIECE.findall(word)
    return len(word) if len(pieces) == 1 else sum(len(piece) for piece in pieces if len(piece) > 3)


def printable(text: str, limit: int) -> str:
    """Return at most ``limit`` characters of ``text``, with lone surrogates escaped: JSON can carry them, UTF-8 cannot."""
    text = text if len(text) <= limit else text[: limit - 1] + "…"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
