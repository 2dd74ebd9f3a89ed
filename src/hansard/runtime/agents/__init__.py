"""Agents: what stands behind the chat server and makes the answers."""
