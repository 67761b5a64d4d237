"""`coagent-langchain run`: a program with every chain logged, whose code nobody touches."""

from __future__ import annotations

import argparse
import os
import runpy
import sys


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the `run` command."""
    parser = subparsers.add_parser(
        "run",
        help="run a Python program with every chain logged",
        description="Run a Python program as `python` would, with the handler attached to every run of LangChain\n"
        "and LangGraph, in all threads. Nothing in the program has to change.",
        epilog="examples:\n  coagent-langchain run app.py --port 8000\n  coagent-langchain run -m package.module",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-m", dest="module", action="store_true", help="run a module instead of a file")
    parser.add_argument("--session", metavar="ID", help="put every run into this session")
    parser.add_argument("program", help="the file, or with -m the module")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what the program is given")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the program; its own exit status is ours."""
    from coagent_langchain.capture.handler import CoagentCallbackHandler
    from coagent_langchain.capture.tracing import tracing

    if not args.module and not os.path.isfile(args.program):
        print(f"coagent-langchain run: no such file: {args.program}", file=sys.stderr)
        return 2
    sys.argv = [args.program, *args.arguments]
    sys.path[0] = os.getcwd() if args.module else os.path.dirname(os.path.abspath(args.program))
    handler = CoagentCallbackHandler(args.session)
    with tracing(handler):
        try:
            if args.module:
                runpy.run_module(args.program, run_name="__main__", alter_sys=True)
            else:
                runpy.run_path(args.program, run_name="__main__")
        finally:
            handler.close()
    return 0
