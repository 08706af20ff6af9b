from typing import get_args

import pytest

from ml_backend.cache.stores.registry import STORES, open_store
from ml_backend.settings import Settings, load_settings

DAYS = 86_400


def test_every_store_can_be_chosen() -> None:
    """The registry and the choices of `PRELABEL_CACHE` agree; the other choices need no store."""
    annotation = Settings.model_fields["cache"].annotation
    assert set(get_args(annotation)) == {*STORES, "auto", "memory", "none"}


@pytest.mark.parametrize(
    ("environment", "name", "ttl"),
    [
        ({}, "sqlite", None),
        ({"REDIS_URL": "redis://r"}, "redis", 30 * DAYS),
        ({"REDIS_URL": "redis://r", "PRELABEL_CACHE_TTL": "0"}, "redis", None),
        ({"REDIS_URL": "redis://r", "PRELABEL_CACHE": "sqlite", "PRELABEL_CACHE_TTL": "12h"}, "sqlite", DAYS // 2),
        ({"PRELABEL_CACHE": "Memory", "PRELABEL_CACHE_TTL": "90"}, None, 90),
        ({"PRELABEL_CACHE": "none"}, None, None),
    ],
    ids=["a file by default", "Redis where it is set", "for ever", "a file in spite of Redis", "memory", "no cache"],
)
async def test_settings_choose_the_store(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], name: str | None, ttl: int | None
) -> None:
    """Each store has its own default time to live."""
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    settings = load_settings()
    store = open_store(settings)
    assert (store.name if store else None) == name
    assert settings.cache_ttl_or(store.default_ttl if store else None) == ttl
    if store is not None:
        await store.close()


def test_sqlite_keeps_its_file_closed_until_it_is_used() -> None:
    """A command that only asks which store is configured leaves no file behind."""
    settings = Settings()
    assert open_store(settings) is not None
    assert not settings.cache_file.exists()
