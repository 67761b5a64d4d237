"""`coagent-langchain run`: a program with every chain logged, whose code nobody touches."""

from __future__ import annotations

import argparse
import atexit
import os
import runpy
import sys
from types import TracebackType
from typing import TYPE_CHECKING

from coagent_langchain.config import parse_bool
from coagent_langchain.errors import guard

if TYPE_CHECKING:
    from coagent_langchain.capture.handler import CoagentCallbackHandler

RUNNERS = (__file__, runpy.run_path.__code__.co_filename)  # whose frames are around the program's


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "run",
        help="run a Python program with every chain logged",
        description="Run a Python program as `python` would, with the handler attached to every run\n"
        "of LangChain and LangGraph, in all threads. Nothing in the program has to\n"
        "change. New processes that it starts, such as the workers of\n"
        "`uvicorn --workers`, are not reached: for them, set COAGENT_TRACING=true, and\n"
        "import coagent_langchain. If the program ends with an exception or an exit\n"
        "status other than 0, its latest session ends as failed, with the exception in\n"
        "it. If the server has not accepted all events by then, stderr says so.",
        epilog="examples:\n  coagent-langchain run app.py --port 8000\n  coagent-langchain run -m package.module",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-m", dest="module", action="store_true", help="run a module instead of a file")
    parser.add_argument(
        "--session",
        metavar="ID",
        help="the session of all runs, even if their metadata names another one, except runs that the program gives "
        "its own handler or wraps in `with handler.session(...)`",
    )
    parser.add_argument("program", help="the file, or with -m the module")
    arguments = parser.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments for the program")
    arguments.required = False  # argparse calls it required where something else is missing
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the program; its own exit status is ours."""
    from coagent_langchain.capture.handler import CoagentCallbackHandler
    from coagent_langchain.capture.tracing import VARIABLE, tracing

    parse_bool(os.environ.get(VARIABLE, ""), VARIABLE)  # what the program starts would fail at it, one by one
    if not options.module and not os.path.isfile(options.program):
        advice = "Pass a Python program, or -m and a module"
        print(f"coagent-langchain run: no such file: {options.program}. {advice}", file=sys.stderr)
        return 2
    sys.argv = [options.program, *options.arguments]
    sys.path[0] = os.getcwd() if options.module else os.path.dirname(os.path.abspath(options.program))
    atexit.register(_tell_what_is_left)  # first, so that it comes last, after delivery has done what it can
    handler = CoagentCallbackHandler(options.session)
    handler._sessions.keeps_reported = True  # to know whether what ends the program has been logged
    try:
        with tracing(handler):
            if options.module:
                runpy.run_module(options.program, run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(options.program, run_name="__main__")
    except SystemExit as error:
        if error.code not in (None, 0):
            _end_session(handler, error)
        raise
    except BaseException as error:  # noqa: BLE001 - whatever ends the program, and it is told as Python tells it
        error.__traceback__ = _of_program(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
        _end_session(handler, error)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0  # the interpreter's exit ends what is open, and delivers


@guard
def _tell_what_is_left() -> None:
    """Say what the server has not taken: whoever runs a program by this command does so for its log."""
    from coagent_langchain.delivery.registry import registry

    for left in registry.left():
        print(f"coagent-langchain: {left}", file=sys.stderr)


def _of_program(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the program's first frame on; None when it never came to run."""
    while trace is not None and trace.tb_frame.f_code.co_filename in RUNNERS:
        trace = trace.tb_next
    return trace


@guard
def _end_session(handler: CoagentCallbackHandler, error: BaseException) -> None:
    """End the session that the program was in last as `error` left it, and log the error there."""
    error.__traceback__ = _of_program(error.__traceback__)
    sessions = handler._sessions
    session = sessions.latest
    is_logged = any(each is error for each in list(sessions.reported))
    if session is None or (is_logged and session.course.status != "failed"):
        return  # it came out of another one, which has ended with it
    if is_logged:
        session.course.reported.append(error)
    session._end(error)
