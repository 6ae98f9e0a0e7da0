"""The process that serves one GGUF file: llama.cpp's own server, out of the xllamacpp wheel.

    python -m tuneloop.deployment.backends.llamacpp_child --model F --port P --alias NAME

With `--until-stdin-closes` it ends when its parent does.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tuneloop.errors import require

_CONNECTIONS = 128
"""Of all gateway processes together; more wait until one is closed, which may take seconds."""

DRY = {"multiplier": 0.8, "base": 1.75, "allowed_length": 8, "penalty_last_n": 256}
"""llama.cpp's DRY sampler ("don't repeat yourself"): a token that would go on with a run of eight
or more that stands in the last 256 loses 0.8 × 1.75 ^ (length - 8) of its logit. Multiplier and
base are the usual ones; runs of a few tokens are left alone, which any text about one thing has,
and so is what stands further back, such as the prompt of a longer answer."""


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line, read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="GGUF file")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--alias", required=True, help="model name that clients ask for")
    parser.add_argument("--ctx", type=int, required=True, help="context tokens of each slot")
    parser.add_argument("--parallel", type=int, required=True, help="slots: requests at a time")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--prompt-cache-mb", type=int, default=512)
    parser.add_argument("--flash-attention", action="store_true", help="on a CPU, too")
    parser.add_argument("--dry", action="store_true", help="do not say a run of tokens again")
    parser.add_argument("--until-stdin-closes", action="store_true")
    return parser.parse_args(argv)


def parameters(chosen: argparse.Namespace) -> Any:
    """llama.cpp's `common_params`; what is not set here has the default of `llama-server`."""
    params = require("xllamacpp", extra="serve").CommonParams()
    params.model.path = str(chosen.model)
    params.model_alias = {chosen.alias}
    params.hostnames = [chosen.host]
    params.port = chosen.port
    # Without a unified KV cache each slot owns ctx tokens, so that one long conversation cannot
    # take the room of the others; llama.cpp divides n_ctx by the slots.
    params.n_ctx = chosen.ctx * chosen.parallel
    params.n_parallel = chosen.parallel
    params.kv_unified = False
    params.cpuparams.n_threads = chosen.threads
    params.cpuparams_batch.n_threads = chosen.threads
    # A connection holds one of these threads for as long as it is open, asked or idle.
    params.n_threads_http = _CONNECTIONS
    params.cache_prompt = True
    params.cache_ram_mib = chosen.prompt_cache_mb  # its own default is 8 GB
    if not chosen.flash_attention and on_processors_alone():
        # The CPU's flash attention rounds otherwise for a long piece of a prompt than for a short
        # one, so that an answer would depend on what the cache holds: docs/decisions/0014.
        params.flash_attn_type = type(params.flash_attn_type).LLAMA_FLASH_ATTN_TYPE_DISABLED
    if chosen.dry:
        for name, value in DRY.items():
            setattr(params.sampling, f"dry_{name}", value)
    # The model's own template; what it says stays in `content` as it said it.
    params.use_jinja = True
    params.reasoning_format = type(params.reasoning_format).COMMON_REASONING_FORMAT_NONE
    params.endpoint_metrics = True
    params.endpoint_slots = False
    params.ui = False
    params.cors_origins = f"http://{chosen.host}:{chosen.port}"  # not any web page
    params.verbosity = 2  # warnings: a line for each request would fill the disk
    return params


def on_processors_alone() -> bool:
    """Whether llama.cpp sees nothing but CPUs here."""
    devices = require("xllamacpp", extra="serve").get_device_info()
    return all(device["type"].name.endswith("_CPU") for device in devices)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM, or until the parent is gone."""
    chosen = arguments(argv)
    server_class = require("xllamacpp", extra="serve").Server
    try:
        server = server_class(parameters(chosen))
    except RuntimeError as e:
        print(f"tuneloop: {e}", file=sys.stderr)
        return 1
    print(f"tuneloop: serving {chosen.alias} at {server.listening_address}", flush=True)
    if chosen.until_stdin_closes:
        sys.stdin.buffer.read()
        os._exit(0)  # an ordinary exit would wait for the requests under way
    while True:
        signal.pause()


if __name__ == "__main__":
    sys.exit(main())
