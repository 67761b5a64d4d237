"""Events read from a server: typed, with unknown fields kept."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from coagent_langchain.events import LogEntry
from coagent_langchain.wire import EventType, JsonObject


class LoggedEvent(LogEntry):
    """One event as it was read back: typed fields, and the JSON itself by `event["field"]`, `event.get("field")`.

    `"field" in event` is True if the JSON has it.

    If this version does not know an event's type, `event_type` is its name as a string. A field that does not conform
    to the wire format is left as received.
    """

    event_type: Annotated[EventType | str, Field(union_mode="left_to_right")]  # type: ignore[assignment]
    _raw: JsonObject = PrivateAttr(default_factory=dict)

    @classmethod
    def read(cls, entry: Any) -> Self:
        """Make an event from an entry; never raises. Anything but a JSON object becomes an event without fields."""
        raw = entry if isinstance(entry, dict) else {}
        try:
            event = cls.model_validate(raw)
        except ValidationError:
            known = {name: raw[name] for name in cls.model_fields if name in raw}
            event = cls.model_construct(None, **known)
            # Set here: a field may have the name of one of `model_construct`'s own parameters.
            event.__pydantic_extra__ = {name: value for name, value in raw.items() if name not in known}
        event._raw = raw
        return event

    @property
    def raw(self) -> JsonObject:
        """The entry as the server has it."""
        return self._raw

    def __getitem__(self, name: str) -> Any:
        return self._raw[name]

    def __contains__(self, name: object) -> bool:
        return name in self._raw

    def get(self, name: str, default: Any = None) -> Any:
        """A field of the entry as JSON, or `default`."""
        return self._raw.get(name, default)


class RunSummary(BaseModel):
    """One session in a list of sessions. Timestamps in Unix milliseconds.

    Attributes:
        status, title, failure, total_tokens, cost, errors, models, tags: None if the server does not report them.
            `failure` is the beginning of the error that it failed with or stopped at, else "". `cost` is in US dollars.
    """

    model_config = ConfigDict(extra="allow")

    run_id: str
    log_count: int
    start_timestamp: int
    end_timestamp: int
    status: str | None = None
    title: str | None = None
    failure: str | None = None
    total_tokens: int | None = None
    cost: float | None = None
    errors: int | None = None
    models: list[str] | None = None
    tags: list[str] | None = None
