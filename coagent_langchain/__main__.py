"""`python -m coagent_langchain` is `coagent-langchain`."""

from __future__ import annotations

import sys

from coagent_langchain.cli import main

sys.exit(main())
