"""How model servers are started, and what is refused before anything starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tuneloop.deployment.backends import llamacpp
from tuneloop.deployment.backends.llamacpp import LlamaSettings
from tuneloop.deployment.backends.llamacpp_child import arguments, parameters
from tuneloop.errors import DeploymentError, UsageError


def test_a_bundle_is_served_with_the_attention_that_it_was_evaluated_with() -> None:
    serving = {"context_tokens": 512, "parallel_requests": 1, "threads": 1}
    words = {
        stated: llamacpp.command(
            Path("m.gguf"), served_name="b", port=1, settings=llamacpp.settings_of(manifest)
        )
        for stated, manifest in {
            "before it could be said": serving,
            "off": {**serving, "flash_attention": False},
            "on": {**serving, "flash_attention": True},
        }.items()
    }
    assert [name for name, line in words.items() if "--flash-attention" in line] == [
        "before it could be said",
        "on",
    ]


@pytest.mark.parametrize("dry", [False, True])
def test_a_bundle_is_steered_away_from_loops_as_it_was_evaluated(dry: bool) -> None:
    serving = {"context_tokens": 512, "parallel_requests": 1, "threads": 1}
    settings = llamacpp.settings_of({**serving, "dry": True} if dry else serving)
    command = llamacpp.command(Path("m.gguf"), served_name="b", port=1, settings=settings)
    sampling = parameters(arguments(command[3:])).sampling
    assert (sampling.dry_multiplier > 0) == dry
    if dry:
        assert (sampling.dry_allowed_length, sampling.dry_penalty_last_n) == (8, 256)


def test_every_slot_owns_its_context_and_the_bundle_its_name() -> None:
    settings = LlamaSettings(context_tokens=512, parallel=3, threads=1)
    command = llamacpp.command(
        Path("/models/m.gguf"), served_name="b-1", port=8081, settings=settings
    )
    params = parameters(arguments(command[3:]))
    assert params.model.path == "/models/m.gguf"
    assert params.model_alias == {"b-1"}
    assert (params.hostnames, params.port) == (["127.0.0.1"], 8081)
    assert (params.n_ctx, params.n_parallel, params.kv_unified) == (1536, 3, False)
    assert params.cpuparams.n_threads == params.cpuparams_batch.n_threads == 1
    assert params.use_jinja
    assert params.cache_ram_mib == 512


def test_threads_default_to_the_cores_we_may_use() -> None:
    assert 1 <= llamacpp.physical_cores() <= len(os.sched_getaffinity(0))


def test_another_llama_server_is_used_only_where_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = LlamaSettings(executable="llama-server", threads=2)
    with pytest.raises(UsageError, match="on PATH"):
        llamacpp.command(Path("m"), served_name="b", port=1, settings=settings)
    fake = tmp_path / "llama-server"
    fake.write_text("#!/bin/sh\n")
    fake.chmod(0o755)
    command = llamacpp.command(Path("m"), served_name="b", port=1, settings=settings)
    assert command[0] == str(fake)
    assert command[command.index("--ctx-size") + 1] == str(4 * 4096)


def test_a_file_that_is_no_gguf_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "m.gguf"
    wrong.write_bytes(b"PK\x03\x04")
    with pytest.raises(DeploymentError, match="Expected a GGUF model"):
        llamacpp.check_gguf(wrong)
    with pytest.raises(DeploymentError, match="No such file"):
        llamacpp.check_gguf(tmp_path / "missing.gguf")
