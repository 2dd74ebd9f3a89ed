"""The record over HTTP: Starlette's router, msgspec's shapes, one table of endpoints."""
