"""The demonstration behind ``make demo``; see ``__main__`` for its story."""
