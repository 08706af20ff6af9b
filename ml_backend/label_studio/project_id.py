"""The id of a project in the names that requests give it."""

import re

# <id>.<time of creation>, as Label Studio names projects, or the id alone.
_NAME = re.compile(r"(0|[1-9][0-9]{0,18})(?:\.[0-9]{1,19})?")


def parse_project_id(name: str | int | None) -> int | None:
    """Return the id of a project, or None for a name that Label Studio does not give.

    Args:
        name: as requests give it: ``<id>.<time of creation>``, or the id alone, as text or number.
    """
    match = _NAME.fullmatch(str(name))
    return int(match[1]) if match else None
