"""The command line, `coagent-langchain COMMAND`: a module for each command, and what they share."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, NoReturn

from coagent_langchain.cli import completion, delete, demo, export, prune, run, runs, serve, show, spool
from coagent_langchain.cli.text import hint
from coagent_langchain.errors import CoagentClientError, CoagentError

COMMANDS = (demo, serve, prune, delete, run, runs, show, export, spool, completion)
EPILOG = """\
first steps:
  coagent-langchain demo        run an agent and see its session in the viewer
  coagent-langchain serve       a server and log viewer on http://localhost:3000
  coagent-langchain run app.py  your program, with every run logged
  coagent-langchain runs        what was logged
  coagent-langchain show        the newest session as a tree

variables:
  COAGENT_BASE_URL         server's API, http://localhost:3000/api/v1 if unset
  COAGENT_AUTH_TOKEN       bearer token, if the server needs one
  COAGENT_SPOOL_DIR        folder of the spool on disk; 'off' for memory only
  COAGENT_CAPTURE_CONTENT  'false': 'run' logs ids, numbers, timing, names only
  COAGENT_STORE            where 'serve', 'prune' and 'delete' find the sessions
  NO_COLOR                 plain output, even in a terminal

exit codes: 0 done; 1 failed, with one line on stderr that says why;
            2 wrong usage; 130 interrupted.
"""


class Parser(argparse.ArgumentParser):
    """Reports unknown arguments with its own usage; argparse leaves that to the top parser, which shows its own."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and refuse unknown arguments."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Flush the help while `main` can still report why it cannot be written; then exit."""
        sys.stdout.flush()
        super().exit(status, message)


def parser() -> argparse.ArgumentParser:
    """Make the parser with every command; without a command it prints the help."""
    top = Parser(
        prog="coagent-langchain",
        description="See what your LangChain and LangGraph agents did.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"coagent-langchain {version('coagent-langchain')}")

    def show_help(_: argparse.Namespace) -> int:
        top.print_help()
        return 0

    top.set_defaults(run=show_help)
    commands = top.add_subparsers(title="commands", metavar="COMMAND")
    for command in COMMANDS:
        command.add_parser(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` name, or those of the process, and return its exit code."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - None where it is closed, as by `>&-`
    try:
        options = parser().parse_args(arguments)
        code: int = options.run(options)
        sys.stdout.flush()
    except CoagentError as error:
        advice = hint(error.status, str(error)) if isinstance(error, CoagentClientError) else ""
        print(f"coagent-langchain: {error}{advice}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader, e.g. `head`, has closed the pipe
        _stop_writing()
        return 0
    except OSError as error:  # e.g. redirected to a full disk
        _stop_writing()
        print(f"coagent-langchain: {error}", file=sys.stderr)
        return 1
    except UnicodeEncodeError as error:
        advice = "the output cannot hold every character; set PYTHONIOENCODING=utf-8"
        print(f"coagent-langchain: {advice} (it is {error.encoding})", file=sys.stderr)
        return 1
    return code


def _stop_writing() -> None:
    """Discard pending output: at exit, the interpreter would try to write it again, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
