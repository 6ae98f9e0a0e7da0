"""Tokens: one start token everywhere, none beyond the embedding, an end that is an end."""

from __future__ import annotations

from collections.abc import Iterator

from tuneloop.setup.finding import Finding, UnseenError, error, ok, warning
from tuneloop.setup.look import Look


def start_token(look: Look) -> Iterator[Finding]:
    """What stands first is the same in template, tokenizer and server."""
    base = look.base
    text = base.specials.get("bos_token", "")
    prompts = [row.prompt for row in look.written.taken]
    rendered = bool(text) and bool(prompts) and prompts[0].startswith(text)
    if rendered and prompts[0].removeprefix(text).lstrip().startswith(text):
        yield warning(
            "start token",
            f"The template writes {text} twice at the start.",
            "Correct chat_template.jinja in the base's folder.",
        )
    elif base.adds_start and not rendered:
        if not look.served_here:
            yield warning(
                "start token",
                f"The tokenizer puts {text} first and the template does not: it is trained so, as "
                "llama.cpp serves it, and a server elsewhere may leave it out.",
                "Ask its owner that chats are tokenised with special tokens (vLLM: "
                "add_special_tokens: true).",
            )
        else:
            yield ok(
                "start token",
                f"The tokenizer puts {text} first and the template does not: trained and served "
                "with one.",
            )
    elif rendered and base.adds_start:
        yield ok("start token", f"Tokenizer and template both put {text} first: it counts once.")
    elif rendered:
        yield ok("start token", f"The template puts {text} first.")
    else:
        yield ok("start token", "Nothing is put before a prompt.")


def end_token(look: Look) -> Iterator[Finding]:
    """An answer ends with a token that ends it, and a prompt does not."""
    base = look.base
    text = base.specials.get("eos_token", "")
    if base.adds_end:
        yield error(
            "end token",
            f"The tokenizer puts {text} after every text: llama.cpp would put it between prompt "
            "and answer, and training does not.",
            "Set add_eos_token: false in tokenizer_config.json of the base's folder, and take it "
            "out of the post_processor in tokenizer.json.",
        )
    if not base.stops and base.tokenizer is None:
        raise UnseenError(f"Only transformers can read the tokenizer in {base.file.name}.")
    if not base.stops:
        yield error(
            "end token",
            "Neither the tokenizer nor generation_config.json names a token that ends an answer.",
            "Name eos_token in tokenizer_config.json of the base's folder.",
        )
        return
    tokens = look.tokens
    endless = [row for row in tokens if not row.answer or row.answer[-1] not in base.stops]
    if endless:
        yield warning(
            "end token",
            f"The template ends {len(endless):,} of {len(tokens):,} answers with none of the "
            f"tokens that end one ({text}); training puts it there.",
            "Check that eos_token is the base's end of turn.",
        )
    elif base.specials.get("pad_token") == text:
        yield ok(
            "end token",
            f"{text} is also the padding: it is learnt all the same, as training pads nothing "
            "that counts.",
        )
    elif not base.adds_end:
        yield ok("end token", f"Every answer ends with {text}.")


def vocabulary(look: Look) -> Iterator[Finding]:
    """Every token has a row in the embedding."""
    base = look.base
    rows = base.embedding_rows
    if rows is None or base.tokenizer is None:
        raise UnseenError("The base's files do not tell how many tokens there are.")
    beyond = base.largest_token - rows + 1
    if beyond <= 0:
        yield ok("tokens", f"{base.largest_token + 1:,}, and {rows:,} rows in the embedding.")
        return
    used = {token for row in look.tokens for token in (*row.prompt, *row.answer) if token >= rows}
    said = f"The tokenizer knows {beyond:,} tokens beyond the {rows:,} rows of the embedding"
    remedy = "Resize the embedding (resize_token_embeddings), or take the base's own tokenizer."
    if used:
        named = ", ".join(base.tokenizer.id_to_token(token) for token in sorted(used)[:3])
        yield error("tokens", f"{said}, and these rows use {named}.", remedy)
    else:
        yield warning("tokens", f"{said}; these rows use none of them.", remedy)
