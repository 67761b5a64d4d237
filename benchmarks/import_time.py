"""What importing the package costs on top of LangChain's own modules: `python -m benchmarks.import_time`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from statistics import median

ROUNDS = 15
BASE = "import langchain_core.callbacks, langchain_core.messages, langchain_core.outputs"
IMPORTS = {
    "LangChain's callbacks, messages, outputs": BASE,
    "and `import coagent_langchain`": f"{BASE}\nimport coagent_langchain",
    "and `CoagentCallbackHandler`": f"{BASE}\nfrom coagent_langchain import CoagentCallbackHandler",
    "and a handler made": f"{BASE}\nfrom coagent_langchain import CoagentCallbackHandler\nCoagentCallbackHandler()",
}
LEAVE = "\nimport os; os._exit(0)"  # the exit is not part of an import


def compiled(folder: str) -> dict[str, str]:
    """An environment in which every module is already compiled, as after an installation, also ours in a clone."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run([sys.executable, "-c", list(IMPORTS.values())[-1]], env=environment, check=True)
    return environment


def cpu_ms(code: str, environment: dict[str, str]) -> float:
    """CPU milliseconds of a fresh interpreter that runs `code`; unlike wall time, hardly affected by others."""
    process = subprocess.Popen([sys.executable, "-c", code + LEAVE], env=environment)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {code}")
    return (used.ru_utime + used.ru_stime) * 1000


def dearest(environment: dict[str, str], most: int = 8) -> list[tuple[str, float]]:
    """The modules that the package loads beyond LangChain's, by their own milliseconds (from `-X importtime`)."""
    code = f"{BASE}\nimport sys; print('here', file=sys.stderr)\nfrom coagent_langchain import CoagentCallbackHandler"
    command = [sys.executable, "-X", "importtime", "-c", code + LEAVE]
    told = subprocess.run(command, capture_output=True, text=True, env=environment).stderr
    rows = re.findall(r"import time:\s+(\d+) \|\s+\d+ \| +(\S+)", told.partition("here")[2])
    return sorted(((name, int(own) / 1000) for own, name in rows), key=lambda row: -row[1])[:most]


def main() -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory() as folder:
        environment = compiled(folder)
        times: dict[str, list[float]] = {name: [] for name in IMPORTS}
        for _ in range(ROUNDS):
            for name, code in IMPORTS.items():
                times[name].append(cpu_ms(code, environment))
        modules = dearest(environment)
    base = min(times[next(iter(IMPORTS))])
    print("| import | best, CPU ms | median | above LangChain (best) |\n|---|---|---|---|")
    for name, values in times.items():
        print(f"| {name} | {min(values):.0f} | {median(values):.0f} | {min(values) - base:.0f} |")
    print("\n| module beyond LangChain's | own ms (`-X importtime`) |\n|---|---|")
    for module, own in modules:
        print(f"| `{module}` | {own:.1f} |")


if __name__ == "__main__":
    main()
