"""The form of keys, ``prelabel:<namespace>:<name>``, and the namespaces that the cache itself uses."""

PREFIX = "prelabel:"
LOCKS = PREFIX + "locks:"
PROBE = PREFIX + "probe"  # never written


def lock_key(key: str) -> str:
    """Return the key of the lock for computing the entry under ``key``."""
    return LOCKS + key.removeprefix(PREFIX)


def namespace_of(key: str) -> str:
    """Return the namespace of a key, such as ``locks``: the ``kind`` of the metrics."""
    return key.removeprefix(PREFIX).partition(":")[0]
