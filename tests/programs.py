"""How the tests start Python programs."""

# Every warning is an error, but the one that langsmith, which LangChain imports, gives of itself on Python 3.14.
STRICT = ("-W", "error", "-W", "ignore:'asyncio.iscoroutinefunction' is deprecated:DeprecationWarning")
