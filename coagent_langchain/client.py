"""`CoagentClient`: CoAgent's documented synchronous methods, for writing and reading."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from pydantic import ValidationError

from coagent_langchain.checks import check_count, check_seconds, check_session_id
from coagent_langchain.config import Settings
from coagent_langchain.connection import Connection
from coagent_langchain.delivery import Delivery, delivery_for
from coagent_langchain.errors import CoagentClientError, ConfigurationError, warn
from coagent_langchain.events import LogEntry
from coagent_langchain.http import errors_in
from coagent_langchain.log_methods import Entry, LogMethods, LogResult
from coagent_langchain.logged import LoggedEvent, RunSummary
from coagent_langchain.outlet import Outlet, without_content
from coagent_langchain.sessions.open_sessions import sessions_of
from coagent_langchain.sessions.session import Session
from coagent_langchain.texts import clean, counted
from coagent_langchain.values.encoding import encode
from coagent_langchain.values.snapshot import snapshot
from coagent_langchain.wire import BATCH_BYTES, BATCH_ENTRIES, VERSION, JsonObject, event_ids, now_ms

if TYPE_CHECKING:
    from coagent_langchain.analysis import LoggedSession

SETTLE_TIMEOUT = 2.0  # seconds


class CoagentClient(LogMethods):
    """Writes events to a CoAgent server and reads them back; each call makes its requests in the calling thread.

    Writing never raises because of the server: if it is unavailable or refuses, the result has `success=False` and says
    what was tried. Failed reads raise `CoagentClientError`. Thread-safe, and a context manager.

    Parameters:
        base_url: the API's address; from `COAGENT_BASE_URL`, else http://localhost:3000/api/v1.
        auth_token: bearer token; from `COAGENT_AUTH_TOKEN`, else none.
        timeout: seconds to wait for a response.
        max_retries: how often a request is retried on connection errors, 408, 425, 429 and 5xx.
        retry_backoff_factor: the first delay is random, from 0 to this many seconds; the bound doubles with each retry.
        debug: log each request at level DEBUG to the logger `coagent_langchain`.

    Raises:
        ConfigurationError: an argument is invalid; the message names it.
    """

    def __init__(
        self,
        base_url: str | None = None,
        auth_token: str | None = None,
        timeout: float = 30.0,
        max_retries: int = 3,
        retry_backoff_factor: float = 0.3,
        debug: bool = False,
    ) -> None:
        self._settings = Settings.load(base_url=base_url, auth_token=auth_token)
        self._connection = Connection(
            self._settings.base_url,
            self._settings.auth_token,
            timeout=check_seconds("timeout", timeout, positive=True),
            max_retries=check_count("max_retries", max_retries),
            backoff=check_seconds("retry_backoff_factor", retry_backoff_factor),
            debug=debug,
        )
        self._delivery: Delivery | None = None

    @property
    def base_url(self) -> str:
        """The API's address, without a user name and password."""
        return self._connection.base_url

    def close(self) -> None:
        """Close the connections. A closed client can neither write nor read."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def store_log(self, entry: Entry, max_retries: int | None = None) -> LogResult:
        """Store one entry.

        Parameters:
            entry: a dict, in which `version`, `event_id` and `timestamp` are filled in if absent; a `LogEntry`; or one
                of CoAgent's own client.
            max_retries: retries for this call, instead of the client's.
        """
        return self._store(self._encode(entry), 1, max_retries)

    def store_logs(self, entries: Iterable[Entry], max_retries: int | None = None) -> LogResult:
        """Store many entries, in as few requests as possible.

        If some entries are invalid, this package's server stores the others, and the result's `errors` names the
        invalid ones by their index in `entries`. Another server may refuse a whole request.

        Parameters:
            entries: each as for `store_log`.
            max_retries: retries for each request, instead of the client's.
        """
        if isinstance(entries, LogEntry | Mapping | str) or not isinstance(entries, Iterable):
            return LogResult(False, "store_logs takes a list of entries; store_log takes one")
        stored, failed, errors = 0, list[str](), list[JsonObject]()
        for first, batch in _batches(map(self._encode, entries)):
            result = self._store(b"[%b]" % b",".join(batch), len(batch), max_retries)
            errors += [{**error, "index": first + error["index"]} for error in result.errors]
            if result.success:
                stored += len(batch)
                continue
            failed.append(result.message)
            stored += len(batch) - _refused(result, len(batch))
        return LogResult(not failed, "; ".join([f"{counted(stored, 'log entry')} stored", *failed[:1]]), tuple(errors))

    def _encode(self, entry: Any) -> bytes:
        """Encode one entry as JSON, whatever it contains."""
        if isinstance(entry, LogEntry):
            entry = entry.model_dump(exclude_none=True, warnings=False)  # the server says what is wrong with it
        elif not isinstance(entry, Mapping):
            entry = _plain(entry)
        if isinstance(entry, Mapping):  # the server rejects anything else, and stores the others
            given = {"version": VERSION, "event_id": event_ids.next(), "timestamp": now_ms()}
            # A complete entry keeps its order: in another, a server would take an event that it has for a new one.
            entry = {**{name: value for name, value in given.items() if name not in entry}, **entry}
            if not self._settings.capture_content:
                entry = without_content(entry)
        return encode(entry)

    def _store(self, body: bytes, count: int, max_retries: int | None) -> LogResult:
        self._settle()
        try:
            answer = self._connection.post("/logs", body, max_retries)
        except CoagentClientError as error:
            result = LogResult(False, str(error), errors_in(error.answer))
        else:
            content, errors = answer if isinstance(answer, dict) else {}, errors_in(answer)
            success = content.get("success") is not False and not errors
            result = LogResult(success, str(content.get("message", "stored" if success else "refused")), errors)
        if not result.success:
            warn("not stored: %s: %s", counted(_refused(result, count), "log entry"), result.message)
        return result

    def get_runs(self) -> list[str]:
        """The ids of all sessions.

        Raises:
            CoagentClientError: the server is unavailable or refuses; the message says what was tried.
        """
        return [str(run) for run in self._list("/runs")[0]]

    def summarize(self, newest: int = 0) -> list[RunSummary]:
        """A summary of each session, the earliest first. Raises like `get_runs`.

        Parameters:
            newest: return only this many, those that started last; 0 for all.
        """
        some = {"newest": str(newest)} if check_count("newest", newest) else {}
        runs, _ = self._list("/runs", {"summarize": "1"} | some)
        try:
            found = [RunSummary.model_validate(run) for run in runs]
        except ValidationError as error:
            what = f"GET {self.base_url}/runs did not return a list of sessions; is it a CoAgent server?"
            raise CoagentClientError(what, status=200, answer=runs) from error
        return sorted(found, key=lambda each: each.start_timestamp)[-newest:]  # another server returns all of them

    def get_logs(self, session_id: str) -> list[LoggedEvent]:
        """The events of a session in chronological order; none for an unknown session.

        Raises:
            CoagentClientError: as for `get_runs`.
            ConfigurationError: the id is not a string of 1 to 512 characters, as in all methods that read a session.
        """
        return [LoggedEvent.read(entry) for entry in self._list(_path("logs", session_id))[0]]

    def get_logs_json(self, session_id: str) -> str:
        """The same as the text of a JSON array, with every number as the server has it. Raises like `get_logs`."""
        return self._list(_path("logs", session_id))[1]

    def filter_logs(self, session_id: str, jmespath_query: str) -> Any:
        """The result of a JMESPath expression over the session's entries, as JSON.

        Parameters:
            session_id: the session's id.
            jmespath_query: for example "[?event_type=='error'].error_info.error_message".

        Raises:
            ConfigurationError: the expression is not a string.
            CoagentClientError: as for `get_runs`, or if the server cannot parse the expression.
        """
        if not isinstance(jmespath_query, str):
            raise ConfigurationError(f"jmespath_query must be a string, not {jmespath_query!r:.80}")
        return self._get(_path("filter_logs", session_id), {"pre": clean(jmespath_query)})[0]

    def session(self, session_id: str) -> LoggedSession:
        """A session to analyse: events, totals, `to_pandas()`, and a waterfall in a notebook.

        Raises:
            CoagentClientError: there is no session with that id, or as for `get_runs`.
        """
        from coagent_langchain.analysis import LoggedSession  # late: code that only logs needs no timeline

        events = self.get_logs(session_id)
        if not events:
            raise CoagentClientError(f"no session {session_id!r} on {self.base_url}", status=200)
        return LoggedSession(session_id, events)

    def start_session(
        self, prompt: str | None = None, session_id: str | None = None, meta: JsonObject | None = None
    ) -> Session:
        """A session around a block of code or each call of a decorated function, without LangChain.

        Its own events are numbered, and delivered in the background through the spool. Log the events inside
        yourself, with `session_id`.

        Parameters:
            prompt: the task, for `session_start`.
            session_id: its id; a new one when None.
            meta: free-form JSON for `session_start`.

        Returns:
            a context manager (sync and async) and decorator; `.prompt(text)` opens a prompt inside.

        Raises:
            ConfigurationError: the session id, the prompt or the meta is invalid.
        """
        delivery = self._delivery = self._delivery or delivery_for(self._settings)  # once: others may renew the token
        outlet = Outlet(delivery, capture_content=self._settings.capture_content)
        return Session(sessions_of(delivery), outlet, session_id, text=prompt, meta=meta, counts=False)

    def _settle(self) -> None:
        """Deliver what this client's sessions have logged so far, so that no later request overtakes it."""
        if self._delivery is not None and not self._connection.down:
            self._delivery.flush(SETTLE_TIMEOUT)

    def _get(self, path: str, params: dict[str, str] | None = None) -> tuple[Any, str]:
        self._settle()
        return self._connection.get(path, params)

    def _list(self, path: str, params: dict[str, str] | None = None) -> tuple[list[Any], str]:
        answer, text = self._get(path, params)
        if not isinstance(answer, list):
            what = f"GET {self.base_url}{path} did not return a list; is it a CoAgent server?"
            raise CoagentClientError(what, status=200, answer=answer)
        return answer, text


def _plain(entry: Any) -> Any:
    """Convert an object to plain JSON: by `to_dict`, which entries of CoAgent's own client have, else by its fields."""
    try:
        return entry.to_dict()
    except Exception:  # noqa: BLE001 - it has none, or one that fails: no reason to raise where something is logged
        return snapshot(entry)


def _refused(result: LogResult, count: int) -> int:
    """How many of a request's entries were not stored: those that the result names, or else all of them."""
    return len({error["index"] for error in result.errors}) or count


def _path(what: str, session_id: str) -> str:
    name = quote(clean(check_session_id(session_id)), safe="")  # cleaned, as when it was written
    return f"/{what}/{name.replace('.', '%2E')}"  # `quote` leaves dots, and `..` would be resolved on the way


def _batches(entries: Iterator[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Split the entries into batches of bounded count and size, each with the index of its first entry."""
    first, batch, size = 0, list[bytes](), 0
    for entry in entries:
        if batch and (len(batch) == BATCH_ENTRIES or size + len(entry) > BATCH_BYTES):
            yield first, batch
            first, batch, size = first + len(batch), [], 0
        batch.append(entry)
        size += len(entry)
    if batch:
        yield first, batch
