"""`coagent-langchain run`: run a program with every chain logged, without changing its code."""

from __future__ import annotations

import argparse
import atexit
import os
import runpy
import sys
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any

from coagent_langchain.config import parse_bool
from coagent_langchain.errors import guard
from coagent_langchain.exceptions import reference

if TYPE_CHECKING:
    from coagent_langchain.capture.handler import CoagentCallbackHandler

RUNNERS = (__file__, runpy.run_path.__code__.co_filename)  # the files whose frames enclose the program's


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "run",
        help="run a Python program and log what it does with LangChain",
        description="Run a Python program as `python` would, with the handler attached to every run\n"
        "of LangChain and LangGraph, in all threads. Nothing in the program has to\n"
        "change. New processes that it starts, such as the workers of\n"
        "`uvicorn --workers`, are not reached: for them, set COAGENT_TRACING=true, and\n"
        "import coagent_langchain. If the program ends with an exception or an exit\n"
        "status other than 0, its latest session ends as failed, with the exception in\n"
        "it; with Ctrl-C, as cancelled. If the server has not accepted all events by\n"
        "then, stderr says so.",
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
    arguments.required = False  # else argparse calls it required if something else is missing
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the program; its exit status becomes this command's."""
    from coagent_langchain.capture.handler import CoagentCallbackHandler
    from coagent_langchain.capture.tracing import VARIABLE, tracing

    parse_bool(os.environ.get(VARIABLE, ""), VARIABLE)  # else each process that the program starts would fail
    if not options.module and not os.path.isfile(options.program):
        advice = "Pass a Python program, or -m and a module"
        print(f"coagent-langchain run: no such file: {options.program}. {advice}", file=sys.stderr)
        return 2
    sys.argv = [options.program, *options.arguments]
    if not sys.flags.safe_path:  # else `sys.path` begins with another folder, to be kept
        sys.path[0] = os.getcwd() if options.module else os.path.dirname(os.path.realpath(options.program))
    atexit.register(_tell_what_is_unsent)  # registered first to run last, after the final delivery
    handler = CoagentCallbackHandler(options.session)
    handler._sessions.keeps_reported = True  # to know if the exception that ends the program was logged
    try:
        with tracing(handler):
            _run_as_main(options.program, module=options.module)
    except SystemExit as error:
        if error.code not in (None, 0):
            _end_session(handler, error)
        raise
    except BaseException as error:  # noqa: BLE001 - whatever ends the program, and it is told as Python tells it
        error.__traceback__ = _of_program(error.__traceback__)
        sys.excepthook(type(error), error, error.__traceback__)
        _end_session(handler, error)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0  # open sessions end, and are delivered, when the interpreter exits


def _run_as_main(program: str, *, module: bool) -> None:
    """Run the program, and leave its `__main__` in place, which `runpy` would take away.

    Threads and exit handlers run later, and look names up in it, for example to unpickle an object.
    """
    names: dict[str, Any] = {}
    try:
        if module:
            names = runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            names = runpy.run_path(os.path.abspath(program), run_name="__main__")
    except BaseException as error:  # `runpy` gives no names then, but they are still in the program's first frame
        if trace := _of_program(error.__traceback__):
            names = trace.tb_frame.f_globals
        raise
    finally:
        if names.get("__name__") == "__main__":  # else it failed before it began, e.g. in the package of a module
            sys.modules["__main__"] = main = ModuleType("__main__")
            vars(main).update(names)


@guard
def _tell_what_is_unsent() -> None:
    """Report what the server has not accepted: the log is the reason for using this command."""
    from coagent_langchain.delivery.deliveries import deliveries

    for line in deliveries.unsent():
        print(f"coagent-langchain: {line}", file=sys.stderr)


def _of_program(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the program's first frame on; None if the program never started."""
    while trace is not None and trace.tb_frame.f_code.co_filename in RUNNERS:
        trace = trace.tb_next
    return trace


@guard
def _end_session(handler: CoagentCallbackHandler, error: BaseException) -> None:
    """End the program's latest session with the status that `error` implies, and log the error in it."""
    error.__traceback__ = _of_program(error.__traceback__)
    sessions = handler._sessions
    session = sessions.latest
    is_logged = any(each() is error for each in list(sessions.reported))
    if session is None or (is_logged and session.state.status != "failed"):
        return  # the error came from another session, which has ended with it
    if is_logged:
        session.state.reported.append(reference(error))
    session._end(error)
