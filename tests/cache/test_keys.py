import pytest

from ml_backend.cache.keys import PROBE, lock_key, namespace_of

KEY = "prelabel:detections:ffff:3-640:dddd"


@pytest.mark.parametrize(
    ("key", "namespace"),
    [(KEY, "detections"), (lock_key(KEY), "locks"), ("prelabel:addresses:aaaa", "addresses"), (PROBE, "probe")],
)
def test_namespace_follows_the_prefix(key: str, namespace: str) -> None:
    """An entry and its lock lie under different keys, all below one prefix."""
    assert key.startswith("prelabel:")
    assert namespace_of(key) == namespace


def test_locks_of_different_entries_differ() -> None:
    """The lock's key holds the whole key of the entry."""
    assert lock_key(KEY) == "prelabel:locks:detections:ffff:3-640:dddd"
