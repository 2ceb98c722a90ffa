"""Several processes at one root at once: nothing that was acknowledged is lost, nothing is there twice."""

import json
import os
import subprocess
import sys
import time

import pytest

from stores import leases
from stores.captions import Captions
from stores.classes import Classes
from stores.errors import StoreError, WriteFailed
from stores.features import FeatureStore
from stores.manifest import Manifest
from stores.root import Root
from stores.texts import Texts
from tests.conftest import make_video

TRIALS = int(os.environ.get("ZSAR_TRIALS", "2"))


@pytest.fixture(params=["disk", pytest.param("object store", marks=pytest.mark.heavy)])
def place(request, tmp_path):
    return Root(tmp_path / "root") if request.param == "disk" else request.getfixturevalue("object_root")


def at_once(code: str, *arguments: list[str], at: int = 120) -> None:
    """A process for each list of arguments, begun together: they import first and start on a word."""
    code = code.replace("#GO", "print('ready', flush=True); sys.stdin.readline()")
    running = [
        subprocess.Popen([sys.executable, "-c", code, *each], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         stderr=subprocess.PIPE, text=True)
        for each in arguments
    ]  # fmt: skip
    for process in running:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    for process in running:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in running:
        _, err = process.communicate(timeout=at)
        assert process.returncode == 0, err[-2000:]


COMMANDS = """import sys
from pipelines.index.indexing import index; from pipelines.index.settings import IndexConfig
from pipelines.texts.adding import add; from pipelines.texts.settings import TextsConfig
import pipelines.index.videos, pipelines.index.captions; from stores.root import Root
from extractors import names; names.canonical("a")
root, what, path = sys.argv[1:]
#GO
if what == "videos": index(IndexConfig((path,), "d"), Root(root))
elif what == "captions": index(IndexConfig((path,), "c", kind="captions"), Root(root))
else: add(TextsConfig((path,), what, "t"), Root(root))
"""


def test_commands_at_once_lose_no_row_and_keep_none_twice(place, tmp_path):
    film = make_video(tmp_path / "film.mp4").read_bytes()
    for part in "ab":
        (folder := tmp_path / part).mkdir()
        for i in range(10):
            (folder / f"{part}{i}.mp4").write_bytes(film + bytes([i, ord(part)]))
        told = [{"video": f"{part}{i}", "captions": [f"{part} goes {i} times", "and stops"]} for i in range(10)]
        (tmp_path / f"captions-{part}").write_text("\n".join(map(json.dumps, told)))
        (tmp_path / f"class-{part}").write_text("\n".join(f"{part}{part}ing number {'i' * (i + 1)}" for i in range(10)))
    same = [{"class": "aaing number i", "text": f"a text of {i} words"} for i in range(10)]
    (tmp_path / "same").write_text("\n".join(map(json.dumps, same)))
    for trial in range(TRIALS):
        root = Root(f"{place.url}/{trial}")
        pairs = [(what, f"{tmp_path}/{what}-{part}") for what in ("captions", "class") for part in "ab"]
        pairs += [("videos", f"{tmp_path}/{part}") for part in "ab"]
        at_once(COMMANDS, *([root.url, what, path] for what, path in pairs), at=240)
        assert Manifest(root).read("d").num_rows == 20
        assert Manifest(root).read("c").num_rows == 20
        assert Captions(root).read("c").num_rows == 40
        assert Classes(root).read("t").num_rows == 20
        at_once(COMMANDS, *([root.url, "description", f"{tmp_path}/same"] for _ in range(2)), at=240)
        assert Texts(root, "t").read(kinds=("description",)).num_rows == 10


CREATE = """import sys
from stores.root import Root; from stores.features import FeatureStore
from tests.stores.store_contract import OUTPUTS, rows_of
store, start = FeatureStore(Root(sys.argv[1])), int(sys.argv[2])
#GO
store.create("x@ab", {"extractor": "x"}, "ab", OUTPUTS).append([rows_of(i) for i in range(start, start + 3)])
"""


def test_of_several_that_make_a_set_at_once_one_makes_it_and_all_add_to_it(place):
    for trial in range(TRIALS):
        root = Root(f"{place.url}/{trial}")
        at_once(CREATE, *([root.url, str(10 * n)] for n in range(3)))
        feature_set = FeatureStore(root).find("x")
        assert feature_set.shape()[0] == 9
        assert list(feature_set.damage()) == []


def test_a_creation_that_was_cut_short_is_gone_on_with(place):
    import icechunk

    from tests.stores.store_contract import OUTPUTS, rows_of

    icechunk.Repository.create(place.storage("features", "x@ab"))
    made = FeatureStore(place).create("x@ab", {"extractor": "x"}, "ab", OUTPUTS)
    assert made.append([rows_of(0)]) == 1


@pytest.mark.heavy
class TestLeases:
    def test_one_that_is_held_is_waited_for_and_one_of_the_dead_is_taken_over(self, object_root, monkeypatch):
        monkeypatch.setattr(leases, "LEASE_S", 2.0)
        code = (
            "import sys, os, time; from stores.root import Root\n"
            "with Root(sys.argv[1]).lock('l'): print('held', flush=True); time.sleep(100)"
        )
        other = subprocess.Popen([sys.executable, "-c", code, object_root.url], stdout=subprocess.PIPE, text=True)
        try:
            assert other.stdout.readline() == "held\n"
            with pytest.raises(TimeoutError), object_root.lock("l", timeout_s=0):
                pass
            other.kill()
            started = time.monotonic()
            with object_root.lock("l"):
                assert time.monotonic() - started > 1.5
        finally:
            other.kill()
            other.communicate()

    def test_who_lost_it_and_goes_on_writes_nothing(self, object_root):
        one, two = Root(object_root.url), Root(object_root.url)
        one.write_text("0", "a.txt")
        with one.lock("l"):
            assert one.read_text("a.txt") == "0"
            two.write_text("1", "a.txt")
            with pytest.raises(WriteFailed, match="written by another command meanwhile"):
                one.write_text("2", "a.txt")
            assert not one.exists("b.txt")
            two.write_text("1", "b.txt")
            with pytest.raises(WriteFailed, match="written by another command meanwhile"):
                one.write_text("2", "b.txt")
        assert (two.read_text("a.txt"), two.read_text("b.txt")) == ("1", "1")

    def test_a_bucket_that_is_not_there_is_one_line(self, object_root):
        root = Root(f"{object_root.url.partition(':')[0]}://no-such-bucket-here/x")
        asked = (FeatureStore(root).names, lambda: root.write_text("a", "b"), lambda: root.exists("a", "b"))
        for ask in (*asked, lambda: root.read_text("a"), lambda: root.lock("x").__enter__()):
            with pytest.raises(StoreError, match="no bucket") as raised:
                ask()
            assert "\n" not in str(raised.value)
