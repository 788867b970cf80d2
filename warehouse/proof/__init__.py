"""Questions whose answers show whether a lake can be trusted."""
