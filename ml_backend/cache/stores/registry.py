"""The stores that ``PRELABEL_CACHE`` can name. A new one is a module in this package and a line here."""

from collections.abc import Callable

from ml_backend.cache.stores.redis import RedisStore
from ml_backend.cache.stores.sqlite import SqliteStore
from ml_backend.cache.stores.store import Store
from ml_backend.settings import Settings

STORES: dict[str, Callable[[Settings], Store | None]] = {
    "redis": RedisStore.from_settings,
    "sqlite": SqliteStore.from_settings,
}
"""Makers of stores by name, in the order in which ``auto`` tries them; None where the settings do not configure that store."""


def open_store(settings: Settings) -> Store | None:
    """Return the store behind the memory tier, or None for ``memory`` and ``none``. Nothing is connected or opened yet."""
    for name, make in STORES.items():
        if settings.cache in {"auto", name} and (store := make(settings)) is not None:
            return store
    return None
