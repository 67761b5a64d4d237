"""Classes of other packages, looked up instead of imported: there is no object of a class that is not loaded."""

from __future__ import annotations

import sys


def is_of(module: str, name: str, value: object) -> bool:
    """Whether a value is of that class, judged by its type alone; False if the installed version has no such class."""
    known = getattr(sys.modules.get(module), name, None)
    return isinstance(known, type) and issubclass(type(value), known)
