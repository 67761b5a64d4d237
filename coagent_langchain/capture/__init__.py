"""Capture: turns LangChain's callbacks into entries. The only part that imports LangChain."""
