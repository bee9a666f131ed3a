"""Limits of queries, for programs that load no network, as the client does."""

# Most characters of a text that is searched for.
MAX_TEXT = 1000
