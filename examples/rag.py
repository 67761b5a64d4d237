"""Answers from documents: the retriever's query and the documents it found are logged next to the model call.

python examples/rag.py          # LangChain's in-memory vector store needs numpy: pip install numpy
"""

from __future__ import annotations

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnablePassthrough
from langchain_core.vectorstores import InMemoryVectorStore
from scripted_model import ScriptedModel

from coagent_langchain import CoagentCallbackHandler

documents = [
    Document("Carrots keep for four weeks in a cool cellar.", metadata={"source": "cellar.md"}),
    Document("Onions need a dry, dark place.", metadata={"source": "cellar.md"}),
    Document("Bread freezes well.", metadata={"source": "freezer.md"}),
]
store = InMemoryVectorStore.from_documents(documents, DeterministicFakeEmbedding(size=32))
retriever = store.as_retriever(search_kwargs={"k": 2})
prompt = ChatPromptTemplate([("system", "Answer from these notes: {notes}"), ("user", "{question}")])
model = ScriptedModel(answers=["Four weeks, in a cool cellar."])

chain = {"notes": retriever, "question": RunnablePassthrough()} | prompt | model
handler = CoagentCallbackHandler()

with handler.session("Ask the notes", meta={"example": "rag"}) as session:
    answer = chain.invoke("How long do carrots keep?", {"callbacks": [handler]})
    print("Answer:", answer.content)

print("See it: coagent-langchain show", session.session_id)
