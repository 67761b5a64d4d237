"""Sessions: the blocks that users open, a session's state from start to end, and the open ones of the process."""
