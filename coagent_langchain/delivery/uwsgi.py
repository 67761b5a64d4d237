"""A check of uWSGI's options: it forks its workers without Python's hooks, unless it is told to run them."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from coagent_langchain.errors import ConfigurationError

_SAFE = ("py-call-uwsgi-fork-hooks", "lazy-apps", "lazy")  # `py-call-osafterfork` runs only the child's hooks
_OFF = (b"false", b"off", b"no", b"0")


def check_uwsgi() -> None:
    """Reject a delivery in a process that uWSGI is going to copy for its workers without running any hook.

    They would write to the same file of the spool, over each other's events, and wait for a thread that they lack.
    """
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is None or not hasattr(uwsgi, "worker_id"):  # an application may be in a `uwsgi.py` of its own
        return
    if uwsgi.worker_id() or uwsgi.mule_id() or uwsgi.i_am_the_spooler():  # these are copies already
        return
    forks = uwsgi.numproc > 1 or _is_on("master", uwsgi.opt)
    if forks and not any(_is_on(option, uwsgi.opt) for option in _SAFE):
        raise ConfigurationError(
            "uWSGI forks its workers without Python's fork hooks, so their events would overwrite each other; "
            "add py-call-uwsgi-fork-hooks = true (or lazy-apps = true) to uWSGI's options"
        )


def _is_on(option: str, options: Mapping[str, object]) -> bool:
    value = options.get(option, b"off")
    return not isinstance(value, bytes) or value.lower() not in _OFF
