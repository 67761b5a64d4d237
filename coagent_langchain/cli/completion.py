"""`coagent-langchain completion SHELL`: print a completion script for bash, zsh or fish."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

TAKES_SESSION = ("show", "export", "delete")

# Ids come from logs, and bash expands what it completes: only ids of harmless characters are offered.
IDS = 'coagent-langchain runs --ids --limit 50 2>/dev/null | grep -xE "[A-Za-z0-9._:@-]+"'
BASH = """\
_coagent_langchain() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} words before=""
    if [[ $COMP_WORDBREAKS == *:* ]]; then  # bash breaks an id at : and @, and replaces what is behind the last one
        word=${{COMP_LINE:0:COMP_POINT}} word=${{word##* }}
        before=${{word%"${{word##*[:@]}}"}}
    fi
    case "${{COMP_WORDS[1]}}" in
        $word) words="{commands}" ;;
{cases}
    esac
    case "${{COMP_WORDS[1]}}" in
        {sessions}) [[ $word == -* ]] || words=$({ids}) ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
    COMPREPLY=("${{COMPREPLY[@]#"$before"}}")
}}
complete -o default -F _coagent_langchain coagent-langchain
"""
ZSH = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "completion",
        help="print the completion script for your shell",
        description="Print a script that completes commands, options and session ids.",
        epilog="""\
bash: eval "$(coagent-langchain completion bash)"  in ~/.bashrc
zsh:  eval "$(coagent-langchain completion zsh)"   in ~/.zshrc
fish: coagent-langchain completion fish | source   in ~/.config/fish/config.fish""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell that will run it")
    parser.set_defaults(run=lambda options: _run(options, commands.choices))


def _run(options: argparse.Namespace, commands: dict[str, argparse.ArgumentParser]) -> int:
    words = {name: sorted(_words(parser)) for name, parser in commands.items()}
    print(_fish(words) if options.shell == "fish" else (ZSH if options.shell == "zsh" else "") + _bash(words), end="")
    return 0


def _words(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The long options and fixed words that a command takes."""
    for action in parser._actions:
        yield from (option for option in action.option_strings if option.startswith("--"))
        if not action.option_strings:
            yield from map(str, action.choices or ())


def _bash(words: dict[str, list[str]]) -> str:
    cases = "\n".join(f'        {name}) words="{" ".join(options)}" ;;' for name, options in words.items())
    return BASH.format(commands=" ".join(words), cases=cases, sessions="|".join(TAKES_SESSION), ids=IDS)


def _fish(words: dict[str, list[str]]) -> str:
    first = f"complete -c coagent-langchain -f -n __fish_use_subcommand -a '{' '.join(words)}'"
    rest = [
        f"complete -c coagent-langchain -n '__fish_seen_subcommand_from {name}' "
        + (f"-l {word[2:]}" if word.startswith("--") else f"-a {word}")
        for name, options in words.items()
        for word in options
    ]
    sessions = (
        f"complete -c coagent-langchain -f -n '__fish_seen_subcommand_from {' '.join(TAKES_SESSION)}' -a '({IDS})'"
    )
    return "\n".join([first, *rest, sessions]) + "\n"
