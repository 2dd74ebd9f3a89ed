"""One module for each generated part; each has ``render() -> str``, which gives Markdown."""
