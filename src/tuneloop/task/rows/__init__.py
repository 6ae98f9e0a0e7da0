"""The one parser of rows: chats, prompts and completions, preference pairs, exports of tools.

Data sources and suites take the same forms. A form is recognised by the names of its columns, in
whatever case, and a null counts as absent. What the formats in use put beside prompt and answer is
used as they define it, or the row is left out with a reason that names the column; in a data source
columns that no format knows become tags.
"""

from tuneloop.conversation import Message
from tuneloop.task.rows.drafts import Answered, CaseDraft, Draft, Turns
from tuneloop.task.rows.fields import ANSWER_COLUMNS, PROMPT_COLUMNS, FormError
from tuneloop.task.rows.marks import MARKED_BAD
from tuneloop.task.rows.recognise import recognise, recognise_case

__all__ = [
    "ANSWER_COLUMNS",
    "MARKED_BAD",
    "PROMPT_COLUMNS",
    "Answered",
    "CaseDraft",
    "Draft",
    "FormError",
    "Message",
    "Turns",
    "recognise",
    "recognise_case",
]
