"""Export and import (placeholder until the formats land)."""
