"""Scorers: one case and one answer in, one score out; pure, so that any run can be scored again."""

from tuneloop.evaluation.scorers.abstention import abstained, abstention_right
from tuneloop.evaluation.scorers.base import Fault, Score, Scorer
from tuneloop.evaluation.scorers.own import own_function
from tuneloop.evaluation.scorers.same_values import by_rules
from tuneloop.evaluation.scorers.structured import (
    in_form,
    json_all_fields,
    json_field,
    where_not,
)
from tuneloop.evaluation.scorers.text import exact, normalised_match, token_f1

__all__ = [
    "Fault",
    "Score",
    "Scorer",
    "abstained",
    "abstention_right",
    "by_rules",
    "exact",
    "in_form",
    "json_all_fields",
    "json_field",
    "normalised_match",
    "own_function",
    "token_f1",
    "where_not",
]
