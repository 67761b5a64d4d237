"""Redaction: `redact` sees each event before it is written anywhere, including to disk.

python examples/redaction.py
"""

from __future__ import annotations

import json
import re
from typing import Any

from scripted_model import ScriptedModel

from coagent_langchain import CoagentCallbackHandler

MAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.]+")


def without_mail_addresses(entry: dict[str, Any]) -> dict[str, Any]:
    """Replace every mail address in an event. If this raises, the event is logged without its content."""
    cleaned: dict[str, Any] = json.loads(MAIL.sub("<mail>", json.dumps(entry)))
    return cleaned


model = ScriptedModel(answers=["I wrote to ada@example.org."])
handler = CoagentCallbackHandler(redact=without_mail_addresses)

with handler.session("Write a letter", meta={"example": "redaction"}) as session:
    answer = model.invoke("Write to ada@example.org", {"callbacks": [handler]})
    print("The application sees:", answer.content)
    print("The log has:          <mail> in its place")

print("See it: coagent-langchain show", session.session_id)
