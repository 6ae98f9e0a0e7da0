"""What clients asked and were answered: the one reading of captured chats and of what was said.

Frames are lazy: a week of traffic may not fit into memory.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from tuneloop import metric_names
from tuneloop.conversation.thoughts import BEGUN, CLOSINGS, FIRST_MARK, OPENED, WHOLE
from tuneloop.storage.traffic import Traffic

if TYPE_CHECKING:
    import polars as pl

PROBE_TAG = "probe"
"""A request with a tag of this name, whatever its value, is ours: a smoke test, a golden case. It
says nothing about production."""
OF_THE_SERVER = ("upstream_error", "context_length_exceeded")
"""Error codes of a 4xx with which the model server itself refused a request."""


def probe() -> pl.Expr:
    """Whether the tags of a row of the interactions table mark a probe."""
    import polars as pl

    return pl.col("tags").str.json_path_match(f"$.{PROBE_TAG}").is_not_null()


def whole() -> pl.Expr:
    """Whether the client got a whole answer."""
    import polars as pl

    return (pl.col("status") == 200) & pl.col("error").is_null()


def failed() -> pl.Expr:
    """Whether the model server, or the way to it, failed the request: the rule of `is_failure`."""
    import polars as pl

    status, error = pl.col("status"), pl.col("error")
    broken_off = (status == 200) & error.is_not_null()
    return ((status >= 500) | broken_off | error.is_in(OF_THE_SERVER)).fill_null(value=False)


def is_failure(status: int, error: str | None) -> bool:
    """Whether the model server, or the way to it, failed a request that ended so.

    A 5xx, an answer that broke off, and every 4xx that the model server itself said: a prompt that
    is too long for it, a field that it does not take, too many requests at a time. Another 4xx is
    the gateway's own word on what the client sent, and `CLIENT_LEFT` the client's.
    """
    return status >= 500 or (status == 200 and error is not None) or error in OF_THE_SERVER


def in_text() -> pl.Expr:
    """Whether an answer is text, and no call of a tool."""
    import polars as pl

    return pl.col("tool_calls").is_null()


def text() -> pl.Expr:
    """What was answered, in words, without what was thought before; empty where there are none.

    The column keeps its name; the table keeps the thought.
    """
    import polars as pl

    said = pl.col("response").fill_null("")
    begun = said.str.extract(FIRST_MARK, 1).is_in(CLOSINGS)
    cut_off = said.str.contains(OPENED) & ~said.str.contains(WHOLE)
    return (
        pl.when(begun)
        .then(said.str.replace(BEGUN, ""))
        .when(cut_off)
        .then(pl.lit(""))
        .otherwise(said.str.replace(WHOLE, ""))
        .alias("response")
    )


def chats(
    traffic: Traffic,
    *,
    endpoint: str,
    bundle: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    probes: bool = False,
) -> pl.LazyFrame:
    """Rows of the interactions table: an endpoint's chats, those that failed among them.

    `since` <= time < `until`; of one bundle, where it is named; with `probes`, those too.

    Raises:
        StoreError: the table cannot be read.
    """
    frame = traffic.scan("interactions", since=since, until=until)
    import polars as pl

    # Embeddings are no answers; what an earlier version captured was all chat.
    chat = pl.col("operation").fill_null("chat") == "chat"
    frame = frame.filter(pl.col("endpoint") == endpoint, chat)
    if bundle is not None:
        frame = frame.filter(pl.col("bundle") == bundle)
    return frame if probes else frame.filter(~probe())


def first_of_conversations(rows: pl.LazyFrame) -> pl.LazyFrame:
    """The first of these interactions in each conversation, in the order in which they began."""
    return rows.sort("id").unique("conversation", keep="first", maintain_order=True)


def feedback(
    traffic: Traffic,
    *kinds: str,
    since: datetime | None = None,
    until: datetime | None = None,
) -> pl.LazyFrame:
    """Rows of the feedback table: what was said of these kinds, `since` <= time < `until`.

    What it is about is found out when it is joined: feedback need not name its endpoint.

    Raises:
        StoreError: the table cannot be read.
    """
    frame = traffic.scan("feedback", since=since, until=until)
    import polars as pl

    return frame.filter(pl.col("kind").is_in(kinds))


def metrics(traffic: Traffic, *, since: datetime, until: datetime) -> pl.LazyFrame:
    """Rows of the feedback table: a team's own figures, of every name, `since` <= time < `until`.

    Raises:
        StoreError: the table cannot be read.
    """
    frame = traffic.scan("feedback", since=since, until=until)
    import polars as pl

    return frame.filter(pl.col("kind").str.starts_with(metric_names.PREFIX))


def last_said(feedback: pl.LazyFrame) -> pl.LazyFrame:
    """The last feedback of each kind on each interaction, which is the one that counts."""
    return feedback.sort("time", "id").unique(
        ["interaction", "kind"], keep="last", maintain_order=True
    )
