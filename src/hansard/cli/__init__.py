"""The command ``hansard``: the record, for people and for scripts."""
