"""Descriptions of network errors, as parts of sentences."""

import os

import aiohttp

from ml_backend.http.address_guard import BlockedAddressError
from ml_backend.redaction import redact


def network_cause(error: Exception) -> str:
    """Return the reason why a request got no complete response."""
    if isinstance(error, aiohttp.ClientConnectorError):
        inner = error.os_error
        if isinstance(inner, BlockedAddressError):
            return str(inner)
        reason = os.strerror(inner.errno) if inner.errno and inner.errno > 0 else inner.strerror or str(inner)
        return f"cannot connect to {error.host}:{error.port} ({reason})"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the server closed the connection without a response"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the response ended too early"
    if isinstance(error, aiohttp.ClientResponseError):  # its text holds the whole URL, signature included
        return f"the response is not valid HTTP ({error.status})"
    return redact(str(error).strip().split("\n")[0]) or type(error).__name__


def storage_cause(error: Exception) -> str:
    """Return the reason why a cloud storage did not give an object."""
    if isinstance(error, ImportError):  # fsspec names its packages, not the extras of Prelabel
        return f"{error}; for s3:// install the extra prelabel[s3], for gs:// prelabel[gs]; in a checkout: make dev"
    if isinstance(error, FileNotFoundError):
        return "it does not exist"
    text = redact(str(error).strip().split("\n")[0]) or type(error).__name__
    return f"{text}; are the storage's credentials set for this machine?"
