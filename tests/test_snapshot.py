"""Any object becomes plain JSON, and none of the object's own code runs."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import enum
import hashlib
import io
import math
import threading
import types
import uuid
from collections import Counter, OrderedDict, deque, namedtuple
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy
import orjson
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from langgraph.prebuilt import ToolRuntime
from langgraph.store.memory import InMemoryStore
from pydantic import BaseModel, ConfigDict, Field, SecretStr, computed_field

from coagent_langchain.values.encoding import encode
from coagent_langchain.values.snapshot import MAX_DEPTH, MAX_ITEMS, snapshot

PIXEL = b"\x89PNG\r\n\x1a\n" + bytes(range(64))

BASE64 = base64.b64encode(PIXEL).decode()

PICTURE = PIXEL * 5  # longer than any address that could be base64


def described(mime: str, content: bytes = PIXEL) -> dict[str, Any]:
    """The description that replaces the pixel or the picture."""
    return {"mime": mime, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


class Hostile:
    """An object that raises whatever is done to it."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    def __hash__(self) -> int:
        return 1


class Sly:
    """An object that lies about its class, and whose property must not run."""

    def __init__(self) -> None:
        self.size = 3
        self.api_key = "sk-1234"
        self._private = "hidden"

    @property
    def __class__(self) -> Any:
        raise RuntimeError("class")

    @property
    def total(self) -> int:
        raise RuntimeError("a property ran")


class Colour(enum.Enum):
    """An enumeration."""

    RED = "red"


class Order(BaseModel):
    """A pydantic model with a secret, hidden fields and a computed field."""

    number: int
    token: SecretStr = SecretStr("sk-secret")
    internal: str = Field(default="hidden", exclude=True)
    pin: str = Field(default="hidden", repr=False)

    @computed_field
    @property
    def price(self) -> int:
        """Must never be computed by a snapshot."""
        raise RuntimeError("a computed field ran")

    def model_dump(self, **kwargs: Any) -> Any:
        """Must never be called by a snapshot."""
        raise RuntimeError("model_dump ran")


@dataclasses.dataclass(slots=True)
class Line:
    """A dataclass with slots and a hidden field."""

    text: str
    pin: str = dataclasses.field(default="x", repr=False)


class Pair(tuple[int, int]):
    """A tuple subclass without field names."""


class Slots:
    """An object with a slot that is never filled."""

    __slots__ = ("empty", "filled")

    def __init__(self, value: str) -> None:
        self.filled = value


class Nothing(BaseModel):
    """A pydantic model without fields."""


@dataclasses.dataclass
class Empty:
    """A dataclass without fields."""


Point = namedtuple("Point", "x y")


def test_plain_values_stay_as_they_are() -> None:
    """A value that is already JSON comes back equal, as a copy."""
    value = {"a": 1, "b": [1.5, None, True, {"c": "d"}], "e": ""}

    copy = snapshot(value)

    assert copy == value
    assert copy is not value
    assert copy["b"] is not value["b"]


def test_snapshot_does_not_change_with_its_source() -> None:
    """Later changes to the source do not reach the snapshot."""
    flat, nested = {"a": 1}, {"a": [1]}

    copies = snapshot(flat), snapshot(nested)
    flat["a"] = 2
    nested["a"].append(2)

    assert copies == ({"a": 1}, {"a": [1]})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, "NaN"),
        (-math.inf, "-Infinity"),
        ({"x": math.inf}, {"x": "Infinity"}),
        ([math.nan], ["NaN"]),
        (2**64, str(2**64)),
        ({"x": -(2**63) - 1}, {"x": str(-(2**63) - 1)}),
        (Decimal("1.10"), "1.10"),
        (3 + 4j, "(3+4j)"),
        ((1, 2), [1, 2]),
        ({1}, [1]),
        (deque([1]), [1]),
        (range(3), [0, 1, 2]),
        (Point(1, 2), {"x": 1, "y": 2}),
        (OrderedDict(a=1), {"a": 1}),
        (Counter("a"), {"a": 1}),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (Colour.RED, "red"),
        (Path("/a/b"), "/a/b"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime.datetime(2026, 1, 2, 3, 4, tzinfo=datetime.UTC), "2026-01-02T03:04:00+00:00"),
        (datetime.timedelta(seconds=1), "0:00:01"),
        (pandas.NaT, "NaT"),
        (numpy.float64(1.5), 1.5),
        (numpy.int8(3), 3),
        (numpy.zeros((2, 2)), "<numpy.ndarray float64 2x2>"),
        (pandas.DataFrame({"a": [1]}), "<pandas.DataFrame>"),
        (Pair((1, 2)), [1, 2]),
        (type("Triple", (tuple,), {"_fields": ("x", "y")})((1, 2, 3)), [1, 2, 3]),
        (Slots("a"), {"__type__": f"{__name__}.Slots", "filled": "a"}),
        (Nothing(), {}),
        (Empty(), {}),
        ({1: "a", "1": "b", None: "c", (1, 2): "d"}, {"1": "a", "1 (str)": "b", "None": "c", "(1, 2)": "d"}),
        (ValueError("no", 1), {"error_type": "ValueError", "args": ["no", 1]}),
        (Order(number=1), {"number": 1}),
        (Line("a"), {"text": "a"}),
        (HumanMessage("hi"), {"role": "user", "content": "hi"}),
        (Document("text", metadata={"k": 1}), {"page_content": "text", "metadata": {"k": 1}, "type": "Document"}),
        (Colour, f"<class {__name__}.Colour>"),
    ],
)
def test_types_have_their_form(value: Any, expected: Any) -> None:
    """Each common type has one plain form."""
    found = snapshot(value)

    if isinstance(found, dict):
        found.pop("id", None)
    assert found == expected


@pytest.mark.parametrize(
    "make",
    [
        lambda: iter([1]),
        lambda: (x for x in [1]),
        threading.Lock,
        lambda: len,
        lambda: threading,
        lambda: FakeListChatModel(responses=["a"]),
        lambda: io.StringIO("a"),
        InMemoryStore,
        lambda: ToolRuntime({"messages": ["a"]}, None, {}, print, "c1", None),
        object,
    ],
)
def test_what_is_no_datum_is_named(make: Any) -> None:
    """Iterators, locks, functions, models, files, stores and a tool's runtime are named, not read."""
    value = make()
    found = snapshot({"x": value})["x"]

    assert isinstance(found, str)
    assert found.startswith("<")
    assert "0x" not in found


def test_an_enormous_integer_is_named() -> None:
    """An integer that Python itself refuses to convert to a string is described by its size."""
    assert snapshot([10**20_000]) == ["<integer of 66,439 bits>"]


def test_hostile_objects_are_harmless() -> None:
    """Objects that raise or lie when they are inspected become a placeholder or their plain fields."""
    found = snapshot([Hostile(), Sly()])

    assert found == [f"<{__name__}.Hostile>", {"__type__": f"{__name__}.Sly", "size": 3}]


def test_dict_that_lies_about_its_length_is_read_as_it_is() -> None:
    """Its own `__len__` might as well load it from somewhere; one that is cut short tells its true length."""

    class Lazy(dict[Any, Any]):
        def __len__(self) -> int:
            raise RuntimeError("len")

    found = snapshot([Lazy(a=1), Lazy({str(number): number for number in range(MAX_ITEMS + 5)})])

    assert (found[0], found[1]["…"]) == ({"a": 1}, "[cut: 5 of 10,005 entries]")


def test_hostile_metaclass_is_harmless() -> None:
    """A type that cannot be hashed or compared is still named."""

    class Meta(type):
        def __hash__(cls) -> int:
            raise RuntimeError("hash")

        def __eq__(cls, other: object) -> bool:
            raise RuntimeError("eq")

    found = snapshot(Meta("Odd", (), {"__module__": "m"})())

    assert found == "<m.Odd>"


def test_a_time_zone_that_raises_is_contained() -> None:
    """If an object's own code cannot be avoided and raises, the value is marked as unreadable."""

    class Zone(datetime.tzinfo):
        def utcoffset(self, when: Any) -> Any:
            raise RuntimeError("offset")

        dst = tzname = utcoffset

    found = snapshot([datetime.datetime(2026, 1, 1, tzinfo=Zone())])

    assert found == ["<unreadable datetime.datetime>"]


def test_secrets_are_not_read() -> None:
    """Secret values, hidden and excluded fields, and attributes named like keys are left out."""
    found = orjson.dumps(
        snapshot([Order(number=1), Line("a"), Sly(), SecretStr("sk-secret"), {"t": SecretStr("sk-x")}])
    )

    assert not [word for word in (b"sk-", b"hidden", b"password") if word in found]


Account = namedtuple("Account", ["login", "password"])


class Lax(BaseModel):
    """A pydantic model that keeps fields it does not know."""

    model_config = ConfigDict(extra="allow")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Account("ada", "hunter2"), {"login": "ada"}),
        (Lax.model_validate({"size": 1, "api_key": "hunter2", "_pin": "hunter2"}), {"size": 1}),
        (types.SimpleNamespace(auth=("ada", "hunter2"), author="Ada"), {"author": "Ada"}),
        (types.SimpleNamespace(private_key="hunter2", key=1), {"key": 1}),
        (types.SimpleNamespace(passphrase="hunter2", pwd="hunter2", cwd="/"), {"cwd": "/"}),
        (types.SimpleNamespace(accessToken="hunter2", tokens=5, max_tokens=9), {"tokens": 5, "max_tokens": 9}),
    ],
)
def test_field_named_like_a_secret_is_left_out(value: Any, expected: dict[str, Any]) -> None:
    """Of named tuples too, and of the fields that a pydantic model does not declare."""
    found = snapshot(value)
    found.pop("__type__", None)

    assert found == expected


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{BASE64}"}},
            {"type": "image_url", "image_url": {"url": described("image/png")}},
        ),
        ({"url": f"data:image/svg+xml;charset=utf-8;base64,{BASE64}"}, {"url": described("image/svg+xml")}),
        ({"url": f"data:;base64,{BASE64}"}, {"url": described("text/plain")}),
        ({"base64": BASE64}, {"base64": described("application/octet-stream")}),
        ({"bytes": memoryview(PIXEL).cast("I")}, {"bytes": described("application/octet-stream")}),
        (
            {"type": "image", "base64": BASE64, "mime_type": "image/png"},
            {"type": "image", "base64": described("image/png"), "mime_type": "image/png"},
        ),
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": BASE64}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": described("image/png")}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": BASE64, "format": "wav"}},
            {"type": "input_audio", "input_audio": {"data": described("audio/wav"), "format": "wav"}},
        ),
        (
            {"type": "input_audio", "input_audio": BASE64},
            {"type": "input_audio", "input_audio": described("audio")},
        ),
        (
            {"type": "image_url", "image_url": base64.b64encode(PICTURE).decode()},
            {"type": "image_url", "image_url": described("image", PICTURE)},
        ),
        (
            {"type": "file_url", "file_url": {"url": base64.b64encode(PICTURE).decode()}},
            {"type": "file_url", "file_url": {"url": described("application/octet-stream", PICTURE)}},
        ),
        (
            {"type": "file", "source_type": "base64", "data": BASE64, "mime_type": "application/pdf"},
            {"type": "file", "source_type": "base64", "data": described("application/pdf"),
             "mime_type": "application/pdf"},
        ),
        (
            {"type": "image_generation_call", "result": BASE64},
            {"type": "image_generation_call", "result": described("image")},
        ),
        (
            {"type": "image_generation_call", "result": BASE64, "output_format": "webp"},
            {"type": "image_generation_call", "result": described("image/webp"), "output_format": "webp"},
        ),
        (
            {"image": {"source": {"bytes": PIXEL}}},
            {"image": {"source": {"bytes": described("application/octet-stream")}}},
        ),
        (
            {"type": "resource", "resource": {"blob": BASE64, "mimeType": "application/pdf"}},
            {"type": "resource", "resource": {"blob": described("application/pdf"), "mimeType": "application/pdf"}},
        ),
        (
            {"image_b64": base64.b64encode(PICTURE).decode(), "page": 1},
            {"image_b64": described("image", PICTURE), "page": 1},
        ),
        ([f"data:image/png;base64,{BASE64}"], [described("image/png")]),
        (
            {"data": base64.urlsafe_b64encode(PIXEL).decode(), "mime_type": "image/png"},
            {"data": described("image/png"), "mime_type": "image/png"},
        ),
        (
            {"data": base64.encodebytes(PIXEL).decode(), "mime_type": "image/png"},
            {"data": described("image/png"), "mime_type": "image/png"},
        ),
    ],
)  # fmt: skip
def test_media_are_described(block: Any, expected: Any) -> None:
    """Base64 media and bytes become MIME type, size and digest, in every provider's format."""
    assert snapshot(block) == expected


@pytest.mark.parametrize(
    "block",
    [
        {"data": "abcd", "format": "csv"},
        {"data": "abcd"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "abcd"}},
        {"result": "abcd"},
        {"image_b64": "none"},
        {"url": "https://example.org/data:x"},
        {"url": "data:text/plain,abcd"},
        {"type": "image", "url": "images/cat1", "mime_type": "image/png"},
        {"type": "image", "url": "https://example.org/" + "images/" * 100, "mime_type": "image/png"},
        {"mime_type": "text/plain", "data": "plain words, not base64"},
        {"type": ["string", "null"], "data": "a schema's words"},
        {"mime_type": "text/plain", "data": "Crème brûlée"},
    ],
)
def test_plain_text_is_not_taken_for_media(block: dict[str, Any]) -> None:
    """Text under the same keys stays text."""
    assert snapshot(block) == block


LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(st.characters()), st.binary(), st.decimals(),
    st.datetimes(), st.uuids(), st.complex_numbers(), st.dates(), st.timedeltas(),
    st.builds(object), st.builds(Hostile), st.builds(Sly), st.builds(threading.Lock), st.just(Colour.RED),
    st.builds(Order, number=st.integers()), st.builds(Line, st.text()),
    st.sampled_from(["data:", f"data:image/png;base64,{BASE64}", BASE64, "\ud800"]),
)  # fmt: skip

KEYS = st.one_of(
    st.text(st.characters()), st.integers(), st.booleans(), st.none(), st.floats(),
    st.sampled_from(["type", "data", "base64", "url", "result", "format", "…"]),
)  # fmt: skip

ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(KEYS, inner), st.lists(inner).map(tuple), st.lists(inner).map(iter),
        st.lists(inner).map(deque), inner.map(lambda v: types.SimpleNamespace(v=v)), inner.map(lambda v: ValueError(v)),
    ),
    max_leaves=40,
)  # fmt: skip


def parts_of(value: Any, depth: int = 0) -> Iterator[tuple[int, Any]]:
    """Every value in plain JSON, including keys, with its depth."""
    yield depth, value
    if isinstance(value, dict):
        yield from ((depth + 1, key) for key in value)
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts_of(inner, depth + 1)


@given(ANYTHING, st.integers(min_value=1, max_value=2000))
def test_anything_becomes_bounded_json(value: Any, limit: int) -> None:
    """Every snapshot contains only plain types, has bounded depth and length, and can be encoded."""
    found = snapshot(value, limit)
    parts = list(parts_of(found))

    assert {type(part) for _, part in parts} <= {dict, list, str, int, float, bool, type(None)}
    assert max(depth for depth, _ in parts) <= MAX_DEPTH + 2
    assert max((len(part) for _, part in parts if isinstance(part, str)), default=0) <= max(limit, 1000) + 100
    assert orjson.loads(encode({"value": found})).keys() == {"value"}


@given(ANYTHING)
def test_anything_can_be_encoded(value: Any) -> None:
    """An entry with any value in it becomes one line of JSON."""
    line = encode({"value": value})

    assert line.count(b"\n") == 1
    assert set(orjson.loads(line)) == {"value"}
