"""Errors of network clients, in one sentence for people."""

import os

import aiohttp

from ml_backend.http.address_guard import BlockedAddressError
from ml_backend.redaction import redact


def network_cause(error: Exception) -> str:
    """Return why a request got no whole answer, in the words of a person."""
    if isinstance(error, aiohttp.ClientConnectorError):
        inner = error.os_error
        if isinstance(inner, BlockedAddressError):
            return str(inner)
        reason = os.strerror(inner.errno) if inner.errno and inner.errno > 0 else inner.strerror or str(inner)
        return f"cannot connect to {error.host}:{error.port} ({reason})"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection without an answer"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer broke off before its end"
    if isinstance(error, aiohttp.ClientResponseError):  # its text holds the whole URL, signature included
        return f"the answer is not HTTP as it should be ({error.status})"
    return redact(str(error).strip().split("\n")[0]) or type(error).__name__


def storage_cause(error: Exception) -> str:
    """Return why a cloud storage gave no answer, in the words of a person."""
    if isinstance(error, ImportError):  # fsspec's own text names its packages, not our extras
        return f"{error}; for s3:// install the extra prelabel[s3], for gs:// prelabel[gs]"
    if isinstance(error, FileNotFoundError):
        return "it is not there"
    text = redact(str(error).strip().split("\n")[0]) or type(error).__name__
    return f"{text}; are the storage's credentials set for this machine?"
