"""Capture: from LangChain's callbacks to entries. The only wing that imports LangChain."""
