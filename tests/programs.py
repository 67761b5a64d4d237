"""How the tests start Python programs."""

# Every warning is an error, except the one that langsmith, which LangChain imports, causes on Python 3.14.
STRICT = ("-W", "error", "-W", "ignore:'asyncio.iscoroutinefunction' is deprecated:DeprecationWarning")
