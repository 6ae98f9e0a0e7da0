"""Stage 4: the files, the endpoint, and how a candidate takes over."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from tuneloop.modelfile.sections.base import ModelServer, Name, NameIn, Section, Share
from tuneloop.table import FORM_GROUP

FORM_NAMES = ("f16", "q8_0", "q5_k_m", "q4_k_m")
FormName = Annotated[str, NameIn(FORM_GROUP, FORM_NAMES)]


class ExportSettings(Section):
    """Stage 4: the files that are made from a trained model."""

    quantisations: tuple[FormName, ...] = Field(
        FORM_NAMES,
        description="What `tuneloop export` makes when it is asked; a cycle makes `serve` alone.",
    )
    serve: FormName = Field("q8_0", description="The one that production runs.")
    parity: dict[FormName, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict,
        description="Allowed log-probability difference to the step before, in nats: "
        "the largest one for f16, the mean for a quantisation.",
    )


class ServedElsewhere(ModelServer):
    """Where somebody else runs the tuned model: any OpenAI-compatible server."""

    model: str = Field(
        description="The name that the tuned model has there, another one for each file: {file} "
        "stands for the first 12 digits of the served file's SHA-256."
    )
    wait_minutes: Annotated[float, Field(ge=0)] = Field(
        10.0, description="How long an evaluation waits until the server lists that name."
    )

    @field_validator("model")
    @classmethod
    def _is_pattern(cls, name: str) -> str:
        if not name.strip() or set("{}") & set(name.replace("{file}", "")):
            raise ValueError('expected a name such as "router-{file}"')
        return name

    def as_address(self, model: str) -> dict[str, str | None]:
        """What a bundle's manifest says of it: address, the name there, never the key."""
        return {
            "base_url": self.base_url.rstrip("/"),
            "model": model,
            "api_key_env": self.api_key_env,
        }


class EndpointSettings(Section):
    """Where clients find the model, and how it is run."""

    name: Name | None = Field(None, description="`model` in a client's request; default: the name.")
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)] = 8400
    processes: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="Gateway processes that share the port."
    )
    capture: bool | Literal["required"] = Field(
        True, description="Keep requests and answers; required: serve nothing that is not kept."
    )
    capture_share: Share = Field(1.0, description="Share of the conversations that is kept.")
    logprobs_share: Share = Field(
        0.1,
        description="Share of the kept requests for which the model server is asked for "
        "log-probabilities, which the monitor confidence needs; clients do not see them.",
    )
    redact: bool = Field(
        False, description="Replace personal data by its kind before anything is written."
    )
    retention_days: Annotated[float, Field(gt=0, le=36_500)] | None = Field(
        None, description="Older captured traffic is removed; default: kept until you prune it."
    )
    failover: bool = Field(
        True, description="Let the previous bundle answer when production's server cannot."
    )
    first_token_seconds: Annotated[float, Field(gt=0)] = Field(
        120.0, description="Longest wait for the first token of a stream."
    )
    total_seconds: Annotated[float, Field(gt=0)] = Field(
        600.0, description="Longest wait for a whole answer."
    )
    backend: str = Field(
        "llama.cpp",
        description="What serves the tuned model: llama.cpp, started here, or openai, an "
        "OpenAI-compatible server of yours at `server`.",
    )
    server: ServedElsewhere | None = Field(None, description="With backend openai: where it is.")
    constrain_output: bool = Field(
        False, description="Let the server write nothing but what fits task.output_schema."
    )
    context_tokens: Annotated[int, Field(ge=128)] = Field(
        2048,
        description="Per request, prompt and answer together: each of parallel_requests has all of "
        "it. llama.cpp takes the next multiple of 256. Default: context_tokens of the whole file, "
        "where that is said.",
    )
    parallel_requests: Annotated[int, Field(ge=1)] = 4
    threads: Annotated[int, Field(ge=1)] | None = None
    flash_attention: bool = Field(
        False,
        description="On a CPU: reads long prompts faster, and lets the prompt cache decide between "
        "two tokens that are nearly equally likely.",
    )
    dry: bool = Field(
        False,
        description="Steer away from saying a run of eight tokens or more again (llama.cpp's DRY "
        "sampler): for prose, where small models loop; not for answers in a fixed form.",
    )
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    max_tokens: Annotated[int, Field(ge=1)] = 256


class RolloutSettings(Section):
    """Stage 4: how a candidate takes over from production, step by step."""

    automatic: bool = Field(
        False,
        description="tuneloop run begins a rollout; otherwise it deploys all at once. The first "
        "bundle, which can be compared with nothing, is always deployed at once.",
    )
    shadow: bool = Field(
        True, description="Begin with copies of the traffic, whose answers nobody sees."
    )
    shadow_pairs: Annotated[int, Field(ge=1)] = Field(
        200, description="Conversations that both must have answered before the first canary."
    )
    steps: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        (0.05, 0.25, 0.5), description="Shares of the conversations that the candidate answers."
    )
    minimum_samples: Annotated[int, Field(ge=1)] = Field(
        200, description="Conversations of each bundle in each canary step."
    )
    guards: tuple[
        Literal["errors", "format", "latency", "length", "aborts", "edits", "judge"], ...
    ] = Field(
        ("errors", "format", "latency", "length", "aborts"),
        description="What may not get worse; add edits where people correct answers (feedback), "
        "judge where a judge scores them.",
    )
    edit_minutes: Annotated[float, Field(ge=0)] = Field(
        60.0, description="An answer that nobody corrected for so long was left as it was."
    )
    maximum_step_hours: Annotated[float, Field(gt=0)] = Field(
        48.0, description="After so long in one step a person is asked."
    )
