"""Extraction: each item once, whatever is killed, full, broken or asked for twice; and the same bits every time."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from extractors import clips
from extractors.errors import Corrupt, Unreachable
from pipelines.errors import Stopped, UsageError
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.look.listing import failures
from pipelines.progress import Silent
from stores.errors import WriteFailed
from stores.features import FeatureStore
from stores.manifest import Manifest
from stores.root import Root
from tests.conftest import contents, make_video
from tests.fake import FakeExtractor
from tests.stores.store_contract import FailingStore

pytestmark = pytest.mark.usefixtures("fake")


def plain_rows(path: Path) -> np.ndarray:
    """What the small extractor gives, without the pipeline."""
    extractor = FakeExtractor()
    units = clips.read(str(path), {"v": extractor.view})["v"]
    assert isinstance(units, clips.Clips)
    padded = np.concatenate([units.pixels, units.pixels[:1]])
    return extractor.rows({n: v[:3] for n, v in extractor(padded).items()})["features"]


def test_the_rows_are_those_of_the_extractor_alone(root, videos):
    report = extract(ExtractConfig(("fake",), "d"), root)
    assert (report.features[0].planned, report.features[0].extracted, report.features[0].failed) == (6, 6, 0)
    keys = np.frombuffer(b"".join(Manifest(root).read("d")["key"].to_pylist()), np.uint8).reshape(-1, 32)
    loaded = FeatureStore(root).find("fake").load(keys)
    for i, path in enumerate(videos):
        assert np.array_equal(loaded.values[loaded.offsets[i] : loaded.offsets[i + 1]], plain_rows(path))
    assert loaded.times.shape == (18, 2)


def test_a_second_run_computes_nothing(root, videos, monkeypatch):
    first = extract(ExtractConfig(("fake",), "d"), root)
    monkeypatch.setattr(FakeExtractor, "load", lambda *a: pytest.fail("a model was loaded"))
    again = extract(ExtractConfig(("fake",), "d"), root)
    assert (again.features[0].planned, again.features[0].extracted, again.features[0].skipped) == (0, 0, 6)
    assert again.features[0].recipe == first.features[0].recipe
    assert again.decoded == 0


def test_two_features_share_one_decode(root, videos):
    report = extract(ExtractConfig(("fake", "fake_still"), "d"), root)
    assert report.decoded == 6
    assert [f.extracted for f in report.features] == [6, 6]
    assert FeatureStore(root).find("fake_still").shape() == (6, 6)


@pytest.mark.parametrize(("workers", "decoders"), [(1, 1), (4, 3)])
def test_threads_and_batch_mates_change_no_bit(root, videos, tmp_path, workers, decoders):
    extract(ExtractConfig(("fake",), "d", workers=2, decoders=1), root)
    other = Root(tmp_path / "other")
    Manifest(other).write("d", Manifest(root).read("d").slice(2, 3))
    extract(ExtractConfig(("fake",), "d", workers=workers, decoders=decoders), other)
    whole = contents(root)
    assert all(whole[key] == digest for key, digest in contents(other).items())
    assert len(contents(other)) == 3


def test_broken_videos_are_quarantined_by_name_and_the_others_done(root, videos, make_dataset, tmp_path):
    empty, text, short = tmp_path / "empty.mp4", tmp_path / "text.mp4", make_video(tmp_path / "short.mp4", frames=1)
    empty.touch()
    text.write_text("no film\n" * 100)
    gone = make_video(tmp_path / "gone.mp4", seed=9)
    make_dataset([*videos, empty, text, short, gone])
    gone.unlink()
    report = extract(ExtractConfig(("fake",), "d"), root).features[0]
    assert (report.planned, report.extracted, report.failed) == (10, 6, 4)
    found = {Path(f["file"]).name: (f["stage"], f["error"]) for f in failures(root)}
    assert found == {
        "empty.mp4": ("decode", "NotAVideo"),
        "text.mp4": ("decode", "NotAVideo"),
        "short.mp4": ("decode", "TooShort"),
        "gone.mp4": ("decode", "Unreachable"),
    }
    again = extract(ExtractConfig(("fake",), "d"), root).features[0]
    assert (again.planned, again.skipped, again.quarantined) == (0, 6, 4)
    retried = extract(ExtractConfig(("fake",), "d", retry_failed=True), root).features[0]
    assert (retried.planned, retried.failed) == (4, 4)
    assert {f["attempts"] for f in failures(root)} == {2}


def test_a_feature_row_overrides_a_failure(root, videos, make_dataset, tmp_path):
    gone = make_video(tmp_path / "gone.mp4", seed=9)
    data = gone.read_bytes()
    make_dataset([*videos, gone])
    gone.unlink()
    extract(ExtractConfig(("fake",), "d"), root)
    assert len(failures(root)) == 1
    gone.write_bytes(data)
    make_dataset([*videos, gone])
    assert extract(ExtractConfig(("fake",), "d", retry_failed=True), root).features[0].extracted == 1
    assert failures(root) == []


def test_a_file_changed_since_it_was_indexed_is_not_kept_under_its_old_key(root, videos, make_dataset):
    make_video(videos[1], frames=30, seed=77)
    report = extract(ExtractConfig(("fake",), "d"), root).features[0]
    assert (report.extracted, report.failed) == (5, 1)
    (found,) = failures(root)
    assert found["error"] == "Unreachable"
    assert "index the data set again" in found["reason"]
    make_dataset(videos)
    assert extract(ExtractConfig(("fake",), "d"), root).features[0].extracted == 1


def test_the_same_feature_spelt_twice_is_one(root, videos):
    report = extract(ExtractConfig(("fake", "fake:clips=3"), "d"), root)
    assert [f.extracted for f in report.features] == [6]


@pytest.mark.parametrize(
    "setting", [{"workers": -1}, {"decoders": -2}, {"commit_every_s": float("nan")}, {"same_errors": 0}]
)
def test_settings_that_make_no_sense_are_refused_by_name(setting):
    with pytest.raises(UsageError, match=f"{next(iter(setting))} must be at least"):
        ExtractConfig(("fake",), "d", **setting)


def test_a_twin_stands_in_for_a_file_that_is_gone(root, make_dataset, tmp_path):
    one = make_video(tmp_path / "a.mp4")
    two = tmp_path / "b.mp4"
    two.write_bytes(one.read_bytes())
    make_dataset([one, two])
    one.unlink()
    report = extract(ExtractConfig(("fake",), "d"), root).features[0]
    assert (report.planned, report.extracted, report.failed) == (1, 1, 0)


def test_rows_that_are_not_finite_are_a_failure_of_their_item(root, videos, monkeypatch):
    real = FakeExtractor.__call__

    def with_nan(self, units):
        out = real(self, units)
        out["features"][units.reshape(len(units), -1).mean(1) < 100] = np.nan
        return out

    monkeypatch.setattr(FakeExtractor, "__call__", with_nan)
    report = extract(ExtractConfig(("fake",), "d"), root).features[0]
    assert 0 < report.failed < 6
    assert report.extracted == 6 - report.failed
    assert {(f["stage"], f["error"]) for f in failures(root)} == {("forward", "NotFinite")}


def test_many_identical_errors_in_a_row_stop_the_run_and_quarantine_nobody(root, make_dataset, tmp_path):
    paths = make_dataset([make_video(tmp_path / f"v{i}.mp4", seed=i, frames=5) for i in range(40)])
    for path in sorted(paths)[3:]:
        path.unlink()
    with pytest.raises(Stopped, match="10 items in a row failed alike .Unreachable: the file is not there"):
        extract(ExtractConfig(("fake",), "d", same_errors=10), root)
    assert failures(root) == []
    assert FeatureStore(root).find("fake").shape()[0] <= 3
    report = extract(ExtractConfig(("fake",), "d", same_errors=50), root).features[0]
    assert report.failed == 37


def test_a_fault_of_the_machine_stops_the_run_and_keeps_what_was_done(root, videos, monkeypatch):
    calls = []
    real = FakeExtractor.__call__

    def out_of_memory(self, units):
        calls.append(1)
        if len(calls) == 4:
            raise MemoryError("no memory")
        return real(self, units)

    monkeypatch.setattr(FakeExtractor, "__call__", out_of_memory)
    with pytest.raises(MemoryError):
        extract(ExtractConfig(("fake",), "d", workers=1), root)
    assert failures(root) == []
    monkeypatch.setattr(FakeExtractor, "__call__", real)
    done = FeatureStore(root).find("fake").shape()[0]
    report = extract(ExtractConfig(("fake",), "d"), root).features[0]
    assert report.skipped == done
    assert done + report.extracted == 6


def test_a_full_disk_stops_the_run_and_the_next_one_gives_the_same_store(root, videos, tmp_path):
    whole = Root(tmp_path / "whole")
    Manifest(whole).write("d", Manifest(root).read("d"))
    extract(ExtractConfig(("fake",), "d"), whole)
    for k in (1, 3, 7):
        store = FeatureStore(root, wrap=lambda s, k=k: FailingStore(s, k))
        with pytest.raises(WriteFailed, match="no space left on the disk.*Free space and run the same command again"):
            extract(ExtractConfig(("fake",), "d", commit_every_s=0), root, store=store)
    extract(ExtractConfig(("fake",), "d"), root)
    assert contents(root) == contents(whole)


def test_a_second_run_waits_for_the_first_and_repeats_nothing(root, videos, monkeypatch):
    computed = []
    real = FakeExtractor.__call__

    def counted(self, units):
        computed.append(1)
        time.sleep(0.1)
        return real(self, units)

    monkeypatch.setattr(FakeExtractor, "__call__", counted)
    waits, reports = [], []

    class Watch(Silent):
        def waiting(self, feature):
            waits.append(feature)

    def run():
        reports.append(extract(ExtractConfig(("fake",), "d"), root, Watch()).features[0])

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(waits) == 1
    assert sorted(r.extracted for r in reports) == [0, 6]
    assert len(computed) == 5  # 18 clips in batches of 4


KILLED = """
import sys, extractors
from pipelines.extract.settings import ExtractConfig
from pipelines.extract.extraction import extract
from stores.root import Root
extractors.EXTRACTORS["fake"] = "tests.fake:FakeExtractor"
extract(ExtractConfig(("fake",), "d", commit_every_s=0, workers=2), Root(sys.argv[1]))
"""


@pytest.mark.heavy
def test_killed_at_any_moment_and_run_again_it_equals_an_uninterrupted_run(root, make_dataset, tmp_path):
    make_dataset([make_video(tmp_path / f"v{i}.mp4", seed=i, frames=8 + i) for i in range(36)])
    whole = Root(tmp_path / "whole")
    Manifest(whole).write("d", Manifest(root).read("d"))
    extract(ExtractConfig(("fake",), "d"), whole)
    random = np.random.default_rng(1)
    kept: dict[bytes, bytes] = {}
    kills = 0
    for _ in range(25):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, root.url],
            env=os.environ | {"FAKE_SECONDS": "0.4"},
            stderr=subprocess.DEVNULL,
        )
        time.sleep(random.uniform(0.8, 2.5))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        if all(FeatureStore(root).get(name) is None for name in FeatureStore(root).names()):
            continue  # killed before the set was made, or while it was: the next run makes it
        now = contents(root)
        assert kept.items() <= now.items()  # nothing acknowledged is lost
        assert list(FeatureStore(root).find("fake").damage()) == []
        kept = now
        if len(kept) == 36:
            break
    extract(ExtractConfig(("fake",), "d"), root)
    assert kills >= 3
    assert contents(root) == contents(whole)


@pytest.mark.heavy
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_is_really_full_ends_in_one_line_and_goes_on_when_there_is_space(videos, root, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("this machine mounts nothing")
    try:
        there = Root(small)
        Manifest(there).write("d", Manifest(root).read("d"))
        filler = small / "filler"
        filler.write_bytes(bytes((1 << 20) + (700 << 10)))
        with pytest.raises(WriteFailed, match="[Nn]o space left"):
            extract(ExtractConfig(("fake",), "d"), there)
        filler.unlink()
        assert extract(ExtractConfig(("fake",), "d"), there).features[0].extracted == 6
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.heavy
def test_memory_does_not_grow_with_the_number_of_videos(tmp_path):
    code = (
        "import sys, extractors\n"
        "from pathlib import Path\n"
        "from tests.conftest import contents, make_video\n"
        "from pipelines.extract.settings import ExtractConfig\n"
        "from pipelines.index.settings import IndexConfig\n"
        "from pipelines.extract.extraction import extract\n"
        "from pipelines.index.videos import index\n"
        "from stores.root import Root\n"
        "extractors.EXTRACTORS['fake'] = 'tests.fake:FakeExtractor'\n"
        "folder, root, n = Path(sys.argv[1]), Root(sys.argv[2]), int(sys.argv[3])\n"
        "folder.mkdir()\n"
        "[make_video(folder / f'v{i}.mp4', frames=16, size=(320, 240), seed=i) for i in range(n)]\n"
        "index(IndexConfig((str(folder),), 'd'), root)\n"
        "report = extract(ExtractConfig(('fake',), 'd', device='cpu'), root)\n"
        "assert report.features[0].extracted == n, report\n"
        "from tests.memory import peak_kib\n"
        "print(peak_kib())"
    )
    peaks = [
        int(
            subprocess.check_output(
                [sys.executable, "-c", code, str(tmp_path / f"f{n}"), str(tmp_path / f"r{n}"), str(n)]
            )
        )
        for n in (20, 200)
    ]
    assert peaks[1] < peaks[0] + 100 * 1024  # KiB


def test_unexpected_errors_of_the_decoder_are_not_swallowed(root, videos, monkeypatch):
    from pipelines.extract.runners import videos as runner

    def defect(*arguments):
        raise ZeroDivisionError("a defect of ours")

    monkeypatch.setattr(runner.Videos.__init__, "__defaults__", (defect,))
    with pytest.raises(ZeroDivisionError):
        extract(ExtractConfig(("fake",), "d"), root)


@pytest.mark.parametrize("fault", [Corrupt("bad"), Unreachable("away")])
def test_a_fault_in_one_place_is_reported_with_its_reason(root, videos, monkeypatch, fault):
    from pipelines.extract.runners import videos as runner

    real = clips.read

    def sometimes(uri, *rest):
        if uri.endswith("v2.mp4"):
            raise fault
        return real(uri, *rest)

    monkeypatch.setattr(runner.Videos.__init__, "__defaults__", (sometimes,))
    extract(ExtractConfig(("fake",), "d"), root)
    (found,) = failures(root)
    assert (Path(found["file"]).name, found["error"], found["reason"]) == ("v2.mp4", type(fault).__name__, str(fault))
