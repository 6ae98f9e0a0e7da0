"""The languages in which a refusal is recognised, by family."""

from tuneloop.refusal.languages.asian import ASIAN
from tuneloop.refusal.languages.germanic import GERMANIC
from tuneloop.refusal.languages.middle_eastern import MIDDLE_EASTERN
from tuneloop.refusal.languages.romance import ROMANCE
from tuneloop.refusal.languages.slavic import SLAVIC

LANGUAGES = GERMANIC + ROMANCE + SLAVIC + MIDDLE_EASTERN + ASIAN

__all__ = ["LANGUAGES"]
