"""Names of what OpenTelemetry is told; they stand here and nowhere else.

Those that begin ``gen_ai.`` follow the conventions for generative AI
(github.com/open-telemetry/semantic-conventions-genai), which are still in development and have
changed names before. Money has no name there yet: what is ours begins ``hansard.``.
"""

from __future__ import annotations

from typing import Final

AGENT_NAME: Final = "gen_ai.agent.name"
CACHE_READ_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
CONVERSATION_ID: Final = "gen_ai.conversation.id"
ERROR_TYPE: Final = "error.type"
FINISH_REASONS: Final = "gen_ai.response.finish_reasons"
INPUT_MESSAGES: Final = "gen_ai.input.messages"
INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
MAX_TOKENS: Final = "gen_ai.request.max_tokens"
OPERATION_NAME: Final = "gen_ai.operation.name"
OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
PROVIDER_NAME: Final = "gen_ai.provider.name"
REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
REQUEST_MODEL: Final = "gen_ai.request.model"
RESPONSE_MODEL: Final = "gen_ai.response.model"
TYPE_OF_TOKENS: Final = "gen_ai.token.type"

CALL_ID: Final = "hansard.call_id"
CONFIDENCE: Final = "hansard.confidence"
COST_NANOUSD: Final = "hansard.cost_nanousd"
TENANT_ID: Final = "hansard.tenant_id"
TURN_ID: Final = "hansard.turn_id"
TURN_STATUS: Final = "hansard.turn_status"

OPERATION_DURATION: Final = "gen_ai.client.operation.duration"
USED_TOKENS: Final = "gen_ai.client.token.usage"

CHAT: Final = "chat"
INVOKE_AGENT: Final = "invoke_agent"
INPUT: Final = "input"
OUTPUT: Final = "output"

DURATION_BOUNDS_S: Final = (
    *(0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28),
    *(2.56, 5.12, 10.24, 20.48, 40.96, 81.92),
)
TOKEN_BOUNDS: Final = tuple(4**power for power in range(14))

_PROVIDERS: Final = {
    "aws": "aws.bedrock",
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "google": "gcp.gen_ai",
    "google-gla": "gcp.gemini",
    "google-vertex": "gcp.vertex_ai",
    "mistral": "mistral_ai",
    "moonshotai": "moonshot_ai",
    "x-ai": "x_ai",
    "": "unknown",
}
"""What the conventions call those that our price table calls otherwise."""


def provider_name(provider: str) -> str:
    """Return a provider's name in the conventions."""
    return _PROVIDERS.get(provider, provider)
