"""LangChain's standard chat-model tests, all that apply, through a real gateway.

They run in a pytest of their own, without our settings: they need plugins that we do without.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

SUITE = Path(__file__).parent / "langchain" / "standard_tests.py"
FETCHES_ITS_SAMPLE_FROM_THE_INTERNET = {
    "test_audio_inputs",
    "test_image_inputs",
    "test_image_tool_message",
    "test_pdf_inputs",
    "test_pdf_tool_message",
}
PLAYS_BACK_A_RECORDING = {"test_stream_time"}


def test_the_standard_tests_pass(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", str(SUITE), "-q", "-p", "no:cacheprovider"),
            *("--basetemp", str(tmp_path / "suite"), f"--junitxml={report}"),
        ],
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    cases = list(ElementTree.parse(report).iter("testcase"))
    skipped = {case.attrib["name"] for case in cases if case.find("skipped") is not None}
    assert skipped == FETCHES_ITS_SAMPLE_FROM_THE_INTERNET | PLAYS_BACK_A_RECORDING
    assert len(cases) - len(skipped) >= 44
