"""Values: what LangChain passes to hooks, or an application logs, read as plain values. Knows no run or session."""
