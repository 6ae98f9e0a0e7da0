"""Scorers: one case and one answer in, one score out; pure, so that any run can be scored again."""

from tuneloop.evaluation.scorers.abstention import abstained, abstention_right
from tuneloop.evaluation.scorers.base import Score, Scorer
from tuneloop.evaluation.scorers.own_function import own_function
from tuneloop.evaluation.scorers.structured import json_all_fields, json_field, pattern, schema
from tuneloop.evaluation.scorers.text import exact, normalised_match, not_empty, token_f1

__all__ = [
    "Score",
    "Scorer",
    "abstained",
    "abstention_right",
    "exact",
    "json_all_fields",
    "json_field",
    "normalised_match",
    "not_empty",
    "own_function",
    "pattern",
    "schema",
    "token_f1",
]
