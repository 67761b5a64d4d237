"""Retrievers, which are logged as tools."""

from __future__ import annotations

from collections import deque
from typing import Any

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import InMemoryVectorStore

from coagent_langchain import CoagentCallbackHandler
from coagent_langchain.testing import MemoryDelivery
from tests.reading import of_type


def test_retriever_answers_with_how_much_it_found_and_the_first_of_it(
    log: MemoryDelivery, handler: CoagentCallbackHandler
) -> None:
    """The first documents have their text, id and metadata, as far as they have one."""

    class Shelf(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            return [Document("leek", id="d1", metadata={"aisle": 3}), *[Document("rice")] * 59]

    Shelf().invoke("soup", {"callbacks": [handler]})

    (call,), (response,) = of_type(log, "tool_call"), of_type(log, "tool_response")
    assert call["tool_call"] == {"tool_name": "Shelf", "parameters": {"query": "soup"}}
    assert response["tool_response"]["result"] == {
        "count": 60,
        "documents": [
            {"page_content": "leek", "id": "d1", "metadata": {"aisle": 3}},
            *[{"page_content": "rice"}] * 49,
        ],
    }


def test_documents_may_come_in_a_sequence_without_slices(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """LangChain accepts any: a deque that keeps the newest ones, for example."""

    class Shelf(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> Any:
            return deque([Document("leek")])

    Shelf().invoke("soup", {"callbacks": [handler]})

    result = {"count": 1, "documents": [{"page_content": "leek"}]}
    assert of_type(log, "tool_response")[0]["tool_response"]["result"] == result


def test_vector_in_a_documents_metadata_is_cut(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """Some stores return it; the other metadata is kept."""

    class Shelf(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
            return [Document("leek", metadata={"vector": [0.5] * 1536, "aisle": 3})] * 2

    Shelf().invoke("soup", {"callbacks": [handler]})

    vector = [*[0.5] * 98, "… [cut: 1,438 of 1,536 items]"]
    assert of_type(log, "tool_response")[0]["tool_response"]["result"] == {
        "count": 2,
        "documents": [{"page_content": "leek", "metadata": {"vector": vector, "aisle": 3}}] * 2,
    }


def test_tags_of_a_retriever_are_the_users_own(log: MemoryDelivery, handler: CoagentCallbackHandler) -> None:
    """The class names and numbers with which LangChain tags retrievers are left out: nobody filters by them."""
    retriever = InMemoryVectorStore.from_texts(["leek"], DeterministicFakeEmbedding(size=4)).as_retriever()
    retriever.invoke("q", {"callbacks": [handler]})
    retriever.invoke("q", {"callbacks": [handler], "tags": ["mine", "retriever_1"]})  # as in an `EnsembleRetriever`

    assert [entry["meta"].get("context") for entry in of_type(log, "tool_call")] == [None, {"tags": ["mine"]}]
