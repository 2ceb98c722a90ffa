"""Files of a root that are damaged: no command ends in a traceback, or answers something else and does not say so."""

import collections
import os

import pytest

from tests.torture.damaged import SAME, SILENT, TOLD, TRACEBACK, sweep

SEED = int(os.environ.get("ZSAR_SEED", "0"))


@pytest.mark.heavy
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("fake")
def test_each_kind_of_file_damaged_is_told_or_changes_no_answer(tmp_path):
    parts = ("runs/", "manifest/", "refs/") if not os.environ.get("ZSAR_TORTURE") else ("",)
    found = sweep(tmp_path, SEED, only=lambda path: any(part in path for part in parts))
    counts = collections.Counter(outcome.what for outcome in found)
    print(f"of {len(found)} damages and commands: {counts[SAME]} the same answer, {counts[TOLD]} told in one line")
    assert [outcome for outcome in found if outcome.what == TRACEBACK] == []
    # a snapshot of Icechunk has no checksum: a flipped bit in a commit's own message is shown as it is
    assert [
        one for one in found if one.what == SILENT and not ("/snapshots/" in one.file and "show" in one.command)
    ] == []
