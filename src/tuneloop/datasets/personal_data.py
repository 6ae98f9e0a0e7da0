"""Personal data in an example: found, counted, and replaced by its kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from tuneloop.datasets.example import Example
from tuneloop.personal_data import redacted


def redacted_example(example: Example) -> tuple[Example, Counter[str]]:
    """The example with every text and tag redacted, and the finds in its texts."""
    counts: Counter[str] = Counter()

    def clean(text: str) -> str:
        result, kinds = redacted(text)
        counts.update(kinds)
        return result

    messages = tuple(
        message if message.role == "system" else message.rewritten(clean)
        for message in example.messages
    )
    completion = clean(example.completion)
    rejected = None if example.rejected is None else redacted(example.rejected)[0]
    tags = {key: redacted(value)[0] for key, value in example.tags.items()}
    clean_example = replace(
        example,
        messages=messages,
        completion=completion,
        reasoning=clean(example.reasoning),
        tags=tags,
        rejected=rejected,
    )
    return clean_example, counts
