"""``prelabel cache``: statistics of the cache, and clearing it."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ml_backend.cli.common import MARKDOWN, app, out, plain_errors
from ml_backend.errors import CacheError, SettingsError
from ml_backend.setting_parsers import duration
from ml_backend.settings import load_settings

SHOWN_DIGITS = 16  # of a fingerprint, enough for `clear --model`

if TYPE_CHECKING:
    from ml_backend.cache.stores.store import Store, StoredEntry

cache_app = typer.Typer(help="Show or clear the configured cache.", no_args_is_help=True, rich_markup_mode=MARKDOWN)
app.add_typer(cache_app, name="cache")


def _store() -> Store:
    from ml_backend.cache.stores.registry import open_store

    settings = load_settings()
    store = open_store(settings)
    if store is None:
        raise CacheError(
            f"PRELABEL_CACHE={settings.cache} keeps nothing beyond the running server: nothing to show or clear"
        )
    return store


@cache_app.command()
def stats() -> None:
    """Show the number and size of cached entries, by model."""
    with plain_errors():
        asyncio.run(_stats())


async def _stats() -> None:
    from ml_backend.cache.keys import PREFIX, namespace_of
    from ml_backend.pipeline.cache_keys import fingerprint_of

    store = _store()
    try:
        entries: Counter[str] = Counter()
        sizes: Counter[str] = Counter()
        oldest = newest = None
        async for portion in store.scan(PREFIX):
            for listed in portion:
                name = fingerprint_of(listed.key)[:SHOWN_DIGITS] or namespace_of(listed.key)
                entries[name] += 1
                sizes[name] += listed.size
                written = _written(listed)
                if written is not None:
                    oldest, newest = min(written, oldest or written), max(written, newest or written)
        usage = await store.usage()
    finally:
        await store.close()
    out.print(f"{store.name}: {store.location}", markup=False, highlight=False, soft_wrap=True)
    table = Table("Model or kind", "Entries", "Bytes", "Bytes per entry")
    for name, count in sorted(entries.items(), key=lambda each: (-each[1], each[0])):
        table.add_row(name, f"{count:,}", f"{sizes[name]:,}", f"{sizes[name] / count:,.0f}")
    out.print(table)
    out.print(f"{usage.room:,} bytes {store.usage_scope}", highlight=False)
    if oldest is not None and newest is not None:
        days = (time.time() - oldest) / 86_400
        out.print(f"oldest entry: {days:.1f} days", highlight=False)


@cache_app.command()
def clear(
    model: Annotated[
        str | None,
        typer.Option(metavar="FINGERPRINT", help="Only results of this model; its first digits are enough."),
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="AGE", help="Only entries older than this, such as 12h or 7d.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
) -> None:
    """Delete cached entries. Running servers keep those in memory until they are restarted."""
    with plain_errors():
        prefixes, before = _selection(model, older_than)
        asyncio.run(_clear(prefixes, before, yes=yes))


def _selection(model: str | None, older_than: str | None) -> tuple[list[str], float | None]:
    from ml_backend.cache.keys import PREFIX
    from ml_backend.pipeline.cache_keys import RESULTS, results_prefix

    if model is not None and not re.fullmatch(r"[0-9a-f]{4,64}", model):
        raise SettingsError(
            f"--model {model}: expected at least 4 hex digits of a fingerprint, as `prelabel cache stats` shows them"
        )
    try:
        seconds = None if older_than is None else duration(older_than)
    except ValueError:
        raise SettingsError(f"--older-than {older_than}: expected an age such as 12h or 7d") from None
    before = time.time() - seconds if isinstance(seconds, int) else None
    prefixes = [PREFIX] if model is None else [results_prefix(namespace, model) for namespace in RESULTS]
    return prefixes, before


async def _clear(prefixes: list[str], before: float | None, *, yes: bool) -> None:
    store = _store()
    try:
        count = sum([len(keys) async for keys in _chosen(store, prefixes, before)])
        if not count:
            out.print(f"nothing to delete in {store.location}", markup=False, highlight=False, soft_wrap=True)
            return
        if not yes:
            typer.confirm(f"Delete {count:,} entries in {store.location}?", abort=True)
        deleted = sum([await store.delete(keys) async for keys in _chosen(store, prefixes, before)])
    finally:
        await store.close()
    out.print(
        f"{deleted:,} entries deleted; running servers keep theirs in memory until they are restarted", highlight=False
    )


async def _chosen(store: Store, prefixes: list[str], before: float | None) -> AsyncIterator[list[str]]:
    from ml_backend.cache.keys import LOCKS

    for prefix in prefixes:
        async for portion in store.scan(prefix):
            keys = [
                listed.key
                for listed in portion
                if not listed.key.startswith(LOCKS) and (before is None or (_written(listed) or 0) < before)
            ]
            if keys:
                yield keys


def _written(listed: StoredEntry) -> int | None:
    from ml_backend.cache.envelope import written_at

    try:
        return written_at(listed.head)
    except ValueError:
        return None  # a damaged entry
