"""When two texts are the same: one definition for scorers, duplicates, contradictions and leaks.

A text has two normal forms, and two texts are the same where their forms are equal:

| form | for | forgets |
|---|---|---|
| `strict` | where sameness throws something away: duplicates, questions, leaks | how it is typed |
| `forgiving` | where difference does: scorers, and answers that contradict | how it is put down |

The forgiving form is made of the strict one, so what is strictly the same is forgivably the same.
`forms` has the definitions, `segmenting` the words of every script, `stored` the form behind
identities that workspaces keep, which never changes. Why so: docs/decisions/0022-sameness.md.
"""

from tuneloop.sameness.answers import forgiving_answer, is_json_container, strict_answer
from tuneloop.sameness.forms import forgiving, strict
from tuneloop.sameness.segmenting import spans, tokens, words

__all__ = [
    "forgiving",
    "forgiving_answer",
    "is_json_container",
    "spans",
    "strict",
    "strict_answer",
    "tokens",
    "words",
]
