"""Agents as users write them, for tests that load them by name."""

from __future__ import annotations

from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel

polite = Agent(TestModel(custom_output_text="How do you do?"), name="polite")
nameless = Agent(TestModel())
modelless = Agent()
no_agent = 3
