"""Parity that was shown once is not shown again, as long as everything about it is the same."""

from __future__ import annotations

from pathlib import Path

from tuneloop.deployment.export.forms.form import SAFETENSORS
from tuneloop.deployment.export.parity import (
    ADAPTER,
    MERGED,
    ParityBounds,
    ParityVerdict,
)
from tuneloop.deployment.export.parity_record import ParityRecord
from tuneloop.deployment.export.stage import Export, ExportedFile, ExportedForm


def exported(folder: Path) -> Export:
    forms = {
        name: ExportedForm(
            name=name,
            files=(ExportedFile(path=name, digest=f"digest of {name}", size_bytes=1),),
            tool="t",
            seconds=0.0,
        )
        for name in (SAFETENSORS, "q8_0")
    }
    return Export(folder=folder, forms=forms, inputs={"base": "b", "trained": "t"})


def shown(hop: str, reference: str) -> ParityVerdict:
    return ParityVerdict(
        hop=hop,
        reference=reference,
        passed=True,
        reason="",
        prompts=8,
        same_token_ids=8,
        agreement=1.0,
        largest_logprob_difference=0.01,
        mean_logprob_difference=0.001,
        positions=80,
        bounds=ParityBounds(),
    )


def test_what_is_served_otherwise_is_checked_again(tmp_path: Path) -> None:
    """Attention is part of how a file is read; the merged weights no server reads."""
    export = exported(tmp_path)
    plain, flash = (
        ParityRecord(
            tmp_path, export, reader="llama 1", served_with={"threads": 2, "flash_attention": flash}
        )
        for flash in (False, True)
    )
    plain.keep(shown("q8_0", MERGED))
    plain.keep(shown(MERGED, ADAPTER))
    assert plain.find("q8_0", MERGED, prompts=8) == shown("q8_0", MERGED)
    assert plain.find("q8_0", MERGED, prompts=9) is None
    assert flash.find("q8_0", MERGED, prompts=8) is None
    assert flash.find(MERGED, ADAPTER, prompts=8) == shown(MERGED, ADAPTER)
