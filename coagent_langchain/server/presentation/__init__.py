"""What pages, files and terminals show of a session: pure, from entries to rows, parts and words. No HTTP, no store."""
