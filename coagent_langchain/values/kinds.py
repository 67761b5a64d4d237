"""How a snapshot reads an object: one plan per type, made from the type alone, without running the object's code."""

from __future__ import annotations

import datetime
import re
import sys
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from types import GetSetDescriptorType, MappingProxyType, MemberDescriptorType
from typing import TYPE_CHECKING, Any
from uuid import UUID

from coagent_langchain.redaction import is_secret
from coagent_langchain.values import media

if TYPE_CHECKING:
    from coagent_langchain.values.snapshot import Walk

MAX_KINDS = 1_000  # types whose plan is cached: a program that keeps creating types must not fill memory
MAX_NAME = 200

Plan = Callable[["Walk", Any, int], Any]

_plans: dict[int, tuple[type, Plan]] = {}  # by id, with the type kept alive: a metaclass may make a type unhashable


def plan(kind: type) -> Plan:
    """The plan for objects of exactly this type."""
    known = _plans.get(id(kind))
    if known is None:
        if len(_plans) >= MAX_KINDS:
            _plans.clear()
        known = _plans[id(kind)] = (kind, _made(kind))
    return known[1]


def name(kind: type) -> str:
    """`module.Class`, read without the metaclass's code."""
    module = type.__dict__["__module__"].__get__(kind)
    short = type.__dict__["__qualname__"].__get__(kind)
    full = short if module in (None, "builtins", "__main__") or type(module) is not str else f"{module}.{short}"
    return str(full)[:MAX_NAME]


def _made(kind: type) -> Plan:
    mro: tuple[type, ...] = type.__dict__["__mro__"].__get__(kind)
    names = [name(base) for base in mro]
    for base_name in names:
        if base_name in _PLANS_BY_NAME:
            return _PLANS_BY_NAME[base_name]
    bases = {id(base) for base in mro}
    for base, known in _PLANS_BY_BASE:
        if id(base) in bases:
            return known
    slots = _slots(mro)
    if "pydantic.main.BaseModel" in names:
        return _Fields(slots, _hidden_pydantic(mro))
    if any("__dataclass_fields__" in base.__dict__ for base in mro):
        return _Fields(slots, _hidden_dataclass(mro))
    return _Fields(slots, label=name(kind)) if slots else _named


def _slots(mro: tuple[type, ...]) -> dict[str, Any]:
    """The interpreter's own descriptors of what holds an instance's values: its `__dict__` and slots."""
    found: dict[str, Any] = {}
    for base in reversed(mro[:-1]):
        for key, descriptor in type.__getattribute__(base, "__dict__").items():
            slot = type(descriptor) is MemberDescriptorType and base.__module__ != "builtins"
            if slot or (key == "__dict__" and type(descriptor) is GetSetDescriptorType):
                found[key] = descriptor
    return found


def reader_of_dict(kind: type) -> Callable[[Any], Any]:
    """A function that reads the `__dict__` of this type's objects; it returns None if that is missing or a property."""
    descriptor = _slots(type.__dict__["__mro__"].__get__(kind)).get("__dict__")
    return (lambda value: None) if descriptor is None else descriptor.__get__


def shown_fields(value: Any) -> dict[Any, Any]:
    """An object's public fields, with their raw values; empty if a snapshot does not read its fields."""
    made = plan(type(value))
    return made.read(value) if isinstance(made, _Fields) else {}


class _Fields:
    """Plan of a type whose objects are shown by their public fields, except the hidden ones, and the label, if any."""

    def __init__(self, slots: dict[str, Any], hidden: frozenset[str] = frozenset(), label: str | None = None) -> None:
        self._hidden = hidden
        self._label = label
        self._slots = {key: slot for key, slot in slots.items() if key in _DICTS or self._shows(key)}

    def _shows(self, key: Any) -> bool:
        return type(key) is str and not key.startswith("_") and key not in self._hidden and not is_secret(key)

    def read(self, value: Any, room: int = sys.maxsize) -> dict[Any, Any]:
        """The fields that are shown, with their raw values; beyond as many as there is room for, all: to be counted."""
        found: dict[Any, Any] = {}
        for key, slot in self._slots.items():
            try:
                held = slot.__get__(value)
            except AttributeError:  # an unset slot
                continue
            if key not in _DICTS:
                found[key] = held
            elif isinstance(held, dict):
                for k, v in dict.copy(held).items():
                    if len(found) >= room or self._shows(k):
                        found[k] = v
        return found

    def __call__(self, walk: Walk, value: Any, depth: int) -> Any:
        """The fields that are shown, as a JSON object."""
        if not (room := walk.room):
            return _named(walk, value, depth)
        found = self.read(value, room)
        if self._label is not None:
            if not found:
                return f"<{self._label}>"
            found = {"__type__": self._label, **found}
        me = id(value)
        if me in walk.path:
            return f"<cycle: {name(type(value))}>"
        walk.path.add(me)
        plain = walk.mapping(found, depth)
        walk.path.discard(me)
        return plain


def _hidden_pydantic(mro: tuple[type, ...]) -> frozenset[str]:
    """Fields that the model's author excluded or hid from `repr`."""
    for base in mro:
        own = type.__getattribute__(base, "__dict__")
        known = own.get("__pydantic_fields__") or own.get("model_fields")
        if isinstance(known, dict):
            return frozenset(k for k, f in known.items() if f.exclude or not getattr(f, "repr", True))
    return frozenset()


def _hidden_dataclass(mro: tuple[type, ...]) -> frozenset[str]:
    for base in mro:
        if known := base.__dict__.get("__dataclass_fields__"):
            return frozenset(k for k, f in known.items() if not f.repr)
    return frozenset()


def _named(walk: Walk, value: Any, depth: int) -> str:
    own = getattr(value, "__qualname__", None) if type(value).__module__ == "builtins" else None
    return f"<{name(type(value))} {own}>"[:MAX_NAME] if type(own) is str else f"<{name(type(value))}>"


def _message(walk: Walk, value: Any, depth: int) -> Any:
    from coagent_langchain.values import messages  # late: it imports snapshot, which imports this module

    if walk.items <= 0:
        return _named(walk, value, depth)
    # Walked like any other value: its contents count against the budget, are cut only here, and are made encodable.
    return walk.mapping(messages.message_dict(value, sys.maxsize), depth)


def _error(walk: Walk, value: BaseException, depth: int) -> Any:
    args = BaseException.__dict__["args"].__get__(value)
    return walk.mapping({"error_type": name(type(value)), "args": list(args)}, depth)


def _numpy_array(walk: Walk, value: Any, depth: int) -> Any:
    return f"<{name(type(value))} {value.dtype!s} {'x'.join(map(str, value.shape))}>"


def _tuple(walk: Walk, value: tuple[Any, ...], depth: int) -> Any:
    """A named tuple as a dict of its fields, any other tuple as a list."""
    mro: tuple[type, ...] = type.__dict__["__mro__"].__get__(type(value))
    fields = next((own for base in mro if (own := base.__dict__.get("_fields")) is not None), None)
    items = list(tuple.__iter__(value))
    if isinstance(fields, tuple) and len(fields) == len(items):
        named = zip(fields, items, strict=True)
        return walk.mapping({k: v for k, v in named if type(k) is not str or not is_secret(k)}, depth)
    return walk.sequence(items, depth)


_DICTS = ("__dict__", "__pydantic_extra__")  # slots that hold fields themselves

# The nearest base with one of these names decides. Of services and code, whose fields say little, only the type is
# named. A tool's runtime holds the whole conversation; langchain-core 1.1 passes it among the tool's arguments.
_PLANS_BY_NAME: dict[str, Plan] = {
    "langchain_core.messages.base.BaseMessage": _message,
    "langchain_core.runnables.base.Runnable": _named,
    "langchain_core.callbacks.base.BaseCallbackHandler": _named,
    "langchain_core.callbacks.base.BaseCallbackManager": _named,
    "langgraph.store.base.BaseStore": _named,
    "langgraph.prebuilt.tool_node.ToolRuntime": _named,
    "logging.Logger": _named,
    "threading.Thread": _named,
    "numpy.generic": lambda w, v, d: w.value(sys.modules["numpy"].generic.item(v), d),
    "numpy.ndarray": _numpy_array,
    "pandas.api.typing.NaTType": lambda w, v, d: "NaT",  # a `datetime` whose own fields say year 1
    "pandas._libs.tslibs.nattype.NaTType": lambda w, v, d: "NaT",
}

# The first matching base decides; methods are called on the base, so that a subclass's own code never runs.
_PLANS_BY_BASE: list[tuple[type, Plan]] = [
    (type, lambda w, v, d: f"<class {name(v)}>"),
    (str, lambda w, v, d: w.string(str.__str__(v))),
    (bool, lambda w, v, d: bool(v)),
    (int, lambda w, v, d: w.value(int.__int__(v), d)),
    (float, lambda w, v, d: w.value(float.__float__(v), d)),
    (Enum, lambda w, v, d: w.value(v._value_, d)),
    (dict, lambda w, v, d: w.mapping(v, d)),
    (MappingProxyType, lambda w, v, d: w.mapping(v.copy(), d)),
    (list, lambda w, v, d: w.sequence(list.copy(v), d)),
    (tuple, _tuple),
    (set, lambda w, v, d: w.sequence(set.copy(v), d)),
    (frozenset, lambda w, v, d: w.sequence(frozenset.copy(v), d)),
    (deque, lambda w, v, d: w.sequence(list(deque.copy(v)), d)),
    (range, lambda w, v, d: w.sequence(v, d)),
    (bytes, lambda w, v, d: media.of_bytes(v)),
    (bytearray, lambda w, v, d: media.of_bytes(v)),
    (memoryview, lambda w, v, d: media.of_bytes(v)),
    (datetime.datetime, lambda w, v, d: datetime.datetime.isoformat(v)),
    (datetime.date, lambda w, v, d: datetime.date.isoformat(v)),
    (datetime.time, lambda w, v, d: datetime.time.isoformat(v)),
    (datetime.timedelta, lambda w, v, d: datetime.timedelta.__str__(v)),
    (UUID, lambda w, v, d: UUID.__str__(v)),
    (PurePath, lambda w, v, d: w.string(PurePath.__str__(v))),
    (Decimal, lambda w, v, d: w.string(Decimal.__str__(v))),
    (Fraction, lambda w, v, d: w.string(Fraction.__str__(v))),
    (complex, lambda w, v, d: complex.__str__(v)),
    (re.Pattern, lambda w, v, d: w.string(v.pattern) if isinstance(v.pattern, str) else "<re.Pattern>"),
    (BaseException, _error),
]
