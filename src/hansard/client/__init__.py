"""The face of a record over the HTTP API of a Hansard server."""
