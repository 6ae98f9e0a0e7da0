"""Whether an answer refuses: whether the model, speaking for itself, declines what was asked.

Which words say so is a table of languages; one mechanism reads it. Made for all traffic: no model,
regular expressions behind a cheap check.
"""

from tuneloop.refusal.detector import refusal_in
from tuneloop.refusal.languages import LANGUAGES

__all__ = ["LANGUAGES", "refusal_in"]
