"""Capture: turns LangChain's callbacks into entries. `values` reads what they are given."""
