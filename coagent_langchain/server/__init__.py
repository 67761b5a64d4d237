"""The embedded CoAgent server: JSON API, store and log viewer (extra `server`)."""
