"""The flow on a real Prefect: a server, a worker and a deployment started by `make prefect`'s own script."""

import contextlib
import errno
import gzip
import http
import itertools
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from extractors.joints import NTU_25
from pipelines.extract.extraction import extract
from pipelines.extract.settings import ExtractConfig
from pipelines.index.captions import index_captions
from pipelines.index.settings import IndexConfig
from pipelines.index.videos import index
from pipelines.judge.results import results
from pipelines.look.listing import runs
from pipelines.practice.practice import practice
from pipelines.practice.settings import PracticeConfig
from pipelines.texts.adding import add
from pipelines.texts.settings import TextsConfig
from stores.features import FeatureStore
from stores.root import Root
from tests.conftest import contents, make_video
from tests.extractors.test_pose_files import skeleton
from tests.pipelines.skeletons import body

pytest.importorskip("prefect")
pytestmark = pytest.mark.heavy

HERE = Path(__file__).parents[1]
START_S, RUN_S, CHAIN_S = 180, 240, 900
SLOW = {"features": ["r2plus1d_18:clips=1,frames=8"], "weights": ["r2plus1d_18=random:0"], "commit_every_s": 1}


class Prefect:
    """A server with the deployments and one worker, as `make prefect` makes them."""

    def __init__(self, home: Path, root: Path, kinetics: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.env = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PREFECT_HOME": str(home),
            "PREFECT_PORT": str(port),
            "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "ZSAR_POOL": "cpu",
            "ZSAR_ROOT": str(root),
            "KINETICS": str(kinetics),
            "ACTIONHUB": str(home / "actionhub"),
            "DEFINITIONS": str(home / "definitions.json"),
            "NTU": str(home / "ntu"),
            "NTU_CLASSES": str(home / "ntu_classes.txt"),
        }
        self._log = (home / "script.log").open("w+")
        self.process = subprocess.Popen(
            [str(HERE / "prefect.sh")], env=self.env, stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
        )
        end = time.monotonic() + START_S
        while "started!" not in self.log():
            assert self.process.poll() is None, self.log()
            assert time.monotonic() < end, self.log()
            time.sleep(0.5)

    def log(self) -> str:
        return Path(self._log.name).read_text()

    def zsar(self, *arguments: str, within_s: float = RUN_S) -> dict[str, Any]:
        """`zsar run ... --json`; the object of its last line."""
        command = [sys.executable, "-m", "pipelines.command.main", "run", *arguments, "--json"]
        done = subprocess.run(command, env=self.env, text=True, capture_output=True, timeout=within_s)
        return json.loads(done.stdout.strip().splitlines()[-1]) | {"status": done.returncode, "log": done.stderr}

    def prefect(self, *arguments: str) -> str:
        done = subprocess.run(
            ["prefect", *arguments], env=self.env, text=True, capture_output=True, timeout=RUN_S, check=True
        )
        return done.stdout

    def api(self, method: str, path: str, sent: Any = None) -> Any:
        """Ask the server as its UI does, and again while its SQLite is busy, as Prefect's own client does."""
        request = urllib.request.Request(
            f"{self.env['PREFECT_API_URL']}/{path}",
            method=method,
            data=None if sent is None else json.dumps(sent).encode(),
            headers={"Content-Type": "application/json"},
        )
        for left in reversed(range(10)):
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    return json.loads(answer.read() or "null")
            except urllib.error.HTTPError as error:
                if error.code != http.HTTPStatus.SERVICE_UNAVAILABLE or not left:
                    raise
                time.sleep(1)

    def deployments(self) -> dict[str, Any]:
        """What the server has deployed, by name."""
        volatile = ("updated", "status", "last_polled", "version_id", "version_info")
        found = self.api("POST", "deployments/filter", {})
        return {row["name"]: {key: row[key] for key in row if key not in volatile} for row in found}

    def logs(self, run: str) -> list[dict[str, Any]]:
        """Every line of a run's log, its tasks' among them."""
        time.sleep(3)  # Prefect hands lines over in bundles
        asked = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"}
        lines: list[dict[str, Any]] = self.api("POST", "logs/filter", asked)
        return lines

    def artifacts(self) -> dict[str, Any]:
        """The newest artifact of each key: its type and its data."""
        code = (
            "import json; from prefect.client.orchestration import get_client\n"
            "with get_client(sync_client=True) as client:\n"
            "    found = client.read_latest_artifacts()\n"
            "print(json.dumps({a.key: [a.type, a.data] for a in found}))"
        )
        printed = subprocess.check_output([sys.executable, "-c", code], env=self.env, text=True)
        return json.loads(printed.strip().splitlines()[-1])

    def kill(self) -> None:
        """The server, the worker and all that these started, flow runs among them: at once and without a word."""
        processes = [psutil.Process(self.process.pid), *self._children()]
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait(10)
        _, alive = psutil.wait_procs(processes[1:], timeout=10)
        assert alive == []
        self._log.close()

    def stop(self) -> None:
        """As somebody ends the script; it leaves nothing behind."""
        children = self._children()
        self.process.terminate()
        self.process.wait(60)
        _, alive = psutil.wait_procs(children, timeout=10)
        for process in alive:
            process.kill()
        assert alive == []
        self._log.close()

    def _children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@pytest.fixture(scope="module")
def kinetics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small folder laid out as Kinetics is: csv beside folders by class."""
    folder = tmp_path_factory.mktemp("kinetics")
    lines = ["label,youtube_id,time_start,time_end,split"]
    for i in range(9):
        label, name = ("bee keeping", "zumba")[i % 2], f"id_{i:08d}"
        (folder / "train" / label).mkdir(parents=True, exist_ok=True)
        make_video(folder / "train" / label / f"{name}_000010_000020.mp4", seed=i, frames=20)
        lines.append(f"{label},{name},10,20,train")
    (folder / "train" / "zumba" / "id_broken00_000001_000011.mp4").write_bytes(b"no film")
    (folder / "train.csv").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory, kinetics: Path) -> Iterator[Prefect]:
    home = tmp_path_factory.mktemp("prefect")
    running = Prefect(home, home / "root", kinetics)
    yield running
    running.stop()


def uninterrupted(tmp_path: Path, kinetics: Path) -> dict[bytes, bytes]:
    """What the command gives, without Prefect."""
    root = Root(tmp_path / "whole")
    index(IndexConfig((str(kinetics),), "kinetics"), root)
    extract(ExtractConfig(tuple(SLOW["features"]), "kinetics", tuple(SLOW["weights"])), root)  # type: ignore[arg-type]
    return contents(root, "r2plus1d_18")


def given(parameters: dict[str, Any], **more: Any) -> list[str]:
    return [f"--param={name}={json.dumps(value)}" for name, value in (parameters | more).items()]


def test_deployment_runs_through_a_worker_reports_and_again_does_nothing(
    prefect: Prefect, kinetics: Path, tmp_path: Path
) -> None:
    ran = prefect.zsar("extract-kinetics", *given(SLOW, shard_size=4, same_errors=4))
    assert (ran["state"], ran["status"]) == ("Completed", 0), ran
    root = Root(prefect.env["ZSAR_ROOT"])
    assert contents(root, "r2plus1d_18") == uninterrupted(tmp_path, kinetics)
    found = prefect.artifacts()
    kind, results = found["extract-results-kinetics"]
    counts = {"planned": 10, "extracted": 9, "skipped": 0, "failed": 1, "quarantined": 0}
    assert kind == "table"
    assert json.loads(results)[0].items() >= counts.items()
    assert "id_broken00" in found["extract-failures-kinetics"][1]
    assert found["extract-progress-kinetics"] == ["progress", 100.0]
    page = Path(found["extract-report-kinetics"][1].rpartition("file://")[2].rstrip(")"))
    assert "9 extracted of 10 planned" in page.read_text()

    prefect.prefect("deployment", "run", "extract/extract-kinetics", "--watch", *given(SLOW))
    (again,) = json.loads(prefect.artifacts()["extract-results-kinetics"][1])
    assert again.items() >= {"planned": 0, "extracted": 0, "skipped": 9, "quarantined": 1}.items()


@pytest.mark.pack
@pytest.mark.shared
def test_a_second_delivery_of_descriptions_costs_its_own_new_texts_and_no_video_stage_runs(
    prefect: Prefect, shared_data: Path
) -> None:
    deliveries = Path(prefect.env["ACTIONHUB"])
    deliveries.mkdir(exist_ok=True)
    few = [line for number, line in enumerate(lines_of(shared_data, 1)) if number % 100 == 0]
    (deliveries / "1.jsonl").write_text("".join(few))
    labels = str(shared_data / "classes/labels/activitynet_label_map.txt")
    features = given({"features": ["minilm"], "shard_size": 400, "dataset": "activitynet", "labels": [labels]})
    assert prefect.zsar("embed-actionhub", *features)["state"] == "Completed"
    root = Root(prefect.env["ZSAR_ROOT"])
    videos = {name: contents(root, name) for name in FeatureStore(root).names() if not name.startswith("minilm")}
    before = FeatureStore(root).find("minilm")
    first, digest = len(before.keys()), contents(root, "minilm")

    more = [line for number, line in enumerate(lines_of(shared_data, 2)) if number % 100 == 0]
    (deliveries / "2.jsonl").write_text("".join(more))
    new = {json.loads(line)["description"].strip() for line in more} - {json.loads(line)["description"] for line in few}
    ran = prefect.zsar("embed-actionhub", *features)
    assert ran["state"] == "Completed", ran
    (counts,) = json.loads(prefect.artifacts()["extract-results-texts-of-activitynet"][1])
    assert counts.items() >= {"planned": len(new), "extracted": len(new), "skipped": first, "failed": 0}.items()
    assert digest.items() <= contents(root, "minilm").items()
    after = {name: contents(root, name) for name in FeatureStore(root).names() if not name.startswith("minilm")}
    assert after == videos
    page = Path(
        prefect.artifacts()["extract-report-texts-of-activitynet"][1].rpartition("file://")[2].rstrip(")")
    ).read_text()
    touched = {json.loads(line)["action"] for line in more}
    assert f"Classes whose texts changed, {len(touched)} of them" in page


CHAINED = {"running on a track": "ran", "cooking soup": "stirs a pot", "swimming": "is in a pool"}
CHAINED |= {"reading a book": "turns a page", "rowing a boat": "pulls an oar", "knitting": "makes a scarf"}


@pytest.mark.pack
@pytest.mark.timeout(2400)
def test_one_name_runs_from_videos_to_three_judged_heads_and_a_second_delivery_costs_its_own_texts(
    prefect: Prefect, tmp_path: Path
) -> None:
    """The shipped deployments as a chain: what one makes the next reads. Weights are drawn, but the encoder's."""
    videos, root = tmp_path / "videos", Root(tmp_path / "root")
    lines = ["label,youtube_id,time_start,time_end,split"]
    for i in range(12):
        label, name = list(CHAINED)[i % 6], f"ch_{i:08d}"
        (videos / label).mkdir(parents=True, exist_ok=True)
        make_video(videos / label / f"{name}_000010_000020.mp4", seed=i, frames=32)
        lines.append(f"{label},{name},10,20,train")
    (videos / "train.csv").write_text("\n".join(lines))
    meant = [{"class": name, "definition": f"somebody {said}"} for name, said in CHAINED.items()]
    (tmp_path / "definitions.json").write_text(json.dumps(meant))
    (tmp_path / "splits.json").write_text(json.dumps([{"seen": list(CHAINED)[:3], "unseen": list(CHAINED)[3:]}]))
    (tmp_path / "hub").mkdir()
    deliver(tmp_path / "hub/1.jsonl", "a man", "a woman")
    networks = prefect.deployments()["extract-kinetics"]["parameters"]["features"]
    quick = [f"{name}:frames=8" for name in networks]
    fitted = {"encoder": "minilm", "protocol": str(tmp_path / "splits.json"), "options": ["epochs=1"]}
    steps: dict[str, Any] = {
        "extract/extract-kinetics": {
            **{"path": str(videos), "features": quick, "weights": [f"{name}=random:0" for name in networks]}
        },
        "extract/embed-definitions": {"path": str(tmp_path / "definitions.json"), "features": ["minilm"]},
        "extract/embed-actionhub": {"path": str(tmp_path / "hub"), "features": ["minilm"]},
        **{f"fit/fit-{head}": fitted for head in ("jigsaw", "coco", "er")},
    }
    shipped = prefect.deployments()["kinetics"]["parameters"]["steps"]
    assert shipped == list(steps)

    def run() -> dict[str, set[str]]:
        ran = prefect.zsar("kinetics", *given({"given": steps, "root": root.url}), within_s=CHAIN_S)
        assert (ran["state"], ran["status"]) == ("Completed", 0), ran
        kind, rows = prefect.artifacts()["chain-kinetics"]
        assert (kind, [row["step"] for row in json.loads(rows)]) == ("table", shipped)
        return {
            head: {row["run"] for row in results(root) if row["system"] == head} for head in ("jigsaw", "coco", "er")
        }

    first = run()
    assert {head: len(runs) for head, runs in first.items()} == {"jigsaw": 1, "coco": 1, "er": 1}
    assert {row["n"] for row in results(root)} == {6}
    store = FeatureStore(root)
    assert {len(store.find(name).keys()) for name in networks} == {12}
    texts, films = contents(root, "minilm"), {name: contents(root, name) for name in networks}

    new = deliver(tmp_path / "hub/2.jsonl", "a girl", "a man")  # half of it was there
    second = run()
    (counts,) = json.loads(prefect.artifacts()["extract-results-texts-of-kinetics"][1])
    assert counts.items() >= {"planned": len(new) // 2, "extracted": len(new) // 2, "failed": 0}.items()
    assert texts.items() <= contents(root, "minilm").items()
    assert {name: contents(root, name) for name in networks} == films
    assert (second["er"], second["jigsaw"]) == (first["er"], first["jigsaw"])  # which read no descriptions
    assert len(second["coco"] - first["coco"]) == 1

    wrong = {"steps": ["fit/fit-coco"], "given": {"fit/fit-coco": fitted | {"protocol": "no-such"}}}
    ran = prefect.zsar("kinetics", *given(wrong, root=root.url))
    assert (ran["state"], ran["status"]) == ("Failed", 1)
    assert ran["message"].startswith("fit/fit-coco ended as Failed: ")
    assert "no-such" in ran["message"]
    assert "Traceback" not in ran["log"]


def deliver(file: Path, *who: str) -> list[str]:
    """A delivery of descriptions, one of each class by each of those who do it."""
    told = [{"action": name, "description": f"{each} {said}"} for name, said in CHAINED.items() for each in who]
    file.write_text("".join(json.dumps(row) + "\n" for row in told))
    return [row["description"] for row in told]


@pytest.mark.pack
def test_deployment_fits_a_head_and_judges_it_and_again_fits_nothing(prefect: Prefect, tmp_path: Path) -> None:
    root = Root(prefect.env["ZSAR_ROOT"])
    said = {"running": "a man runs on a track", "cooking": "a woman stirs a pot", "swimming": "a boy swims in a pool"}
    said |= {"reading": "a girl reads a book", "rowing": "two people row a boat", "knitting": "somebody knits a scarf"}
    rows = [
        {"video": f"{name}{i}", "class": name, "captions": [f"{text} {i}", text]}
        for name, text in said.items()
        for i in range(4)
    ]
    (tmp_path / "captions.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "definitions.json").write_text(json.dumps([{"class": k, "definition": v} for k, v in said.items()]))
    halves = [sorted(said)[:3], sorted(said)[3:]]
    splits = [{"seen": seen, "unseen": unseen} for seen, unseen in (halves, halves[::-1])]
    (tmp_path / "halves.json").write_text(json.dumps(splits))
    index_captions(IndexConfig((str(tmp_path / "captions.jsonl"),), "told", kind="captions"), root)
    add(TextsConfig((str(tmp_path / "definitions.json"),), "definition", "told"), root)
    extract(ExtractConfig(("minilm",), "told"), root)
    asked = {"dataset": "told", "set": "told", "feature": "minilm", "encoder": "minilm", "objects": "", "k": 0}
    asked |= {"protocol": str(tmp_path / "halves.json"), "options": ["epochs=2"]}
    ran = prefect.zsar("fit-coco", *given(asked))
    assert (ran["state"], ran["status"]) == ("Completed", 0), ran
    (run,) = (row for row in runs(root) if row["feature"].startswith("minilm"))
    assert (run["fitted"], run["judged"]) == (2, True)
    kind, rows = prefect.artifacts()["fit-told"]
    assert kind == "table"
    (top1,) = (row["mean"] for row in json.loads(rows) if row["measure"] == "top1")
    assert top1 == pytest.approx(np.mean([row["top1"] for row in results(root) if row["run"] == run["run"]]))
    weights = Path(root.path("runs", run["run"], "split-000", "weights.safetensors"))
    before = weights.stat().st_mtime_ns
    assert prefect.zsar("fit-coco", *given(asked))["state"] == "Completed"
    assert weights.stat().st_mtime_ns == before


@pytest.mark.pack
def test_deployments_train_stgcn_extract_with_its_weights_and_fit_heads_on_that(prefect: Prefect) -> None:
    root, folder = Root(prefect.env["ZSAR_ROOT"]), Path(prefect.env["NTU"])
    names = ["drink water", "brush teeth", "pick up", "throw", "sit down", "clapping", "reading", "writing", "hopping"]
    names.append("jump up")
    Path(prefect.env["NTU_CLASSES"]).write_text("\n".join(names))
    folder.mkdir()
    for k, seed in itertools.product(range(len(names)), range(2)):
        moving = body(k % 4, seed + 2 * k, frames=8, layout=NTU_25)
        file = folder / f"S001C001P{seed + 1:03d}R001A{k + 1:03d}.skeleton"
        file.write_text(skeleton([{1: frame} for frame in moving]))
    add(TextsConfig((prefect.env["NTU_CLASSES"],), "class", "ntu60"), root)
    asked = {"frames": 8, "people": 1, "epochs": 1, "batch": 8}
    ran = prefect.zsar("finetune-stgcn", *given(asked))
    assert (ran["state"], ran["status"]) == ("Completed", 0), ran
    (trained,) = (row for row in runs(root) if row["network"])
    assert (trained["network"], trained["fitted"], trained["state"]) == ("stgcn", 1, "done")
    kind, rows = prefect.artifacts()["finetune-ntu60"]
    (row,) = json.loads(rows)
    assert (kind, row["split"]) == ("table", 0)
    weights = Path(row["weights"])
    assert weights == Path(root.path("runs", trained["run"], "split-000", "weights.safetensors"))
    ran = prefect.zsar("extract-ntu", *given({"weights": [f"stgcn={weights}"]}))
    assert (ran["state"], ran["status"]) == ("Completed", 0), ran
    (counts,) = json.loads(prefect.artifacts()["extract-results-ntu60"][1])
    assert counts.items() >= {"planned": 20, "extracted": 20, "failed": 0}.items()
    asked = {"dataset": "ntu60", "set": "ntu60", "feature": "stgcn", "encoder": "glove_50d", "objects": "", "k": 0}
    asked |= {"protocol": "ntu-random", "splits": "0"}
    for head, options in (("eszsl", []), ("relation", ["epochs=1"])):
        ran = prefect.zsar("fit-er", *given(asked, head=head, options=options))
        assert (ran["state"], ran["status"]) == ("Completed", 0), ran
        (judged,) = (row for row in results(root) if row["system"] == head)
        assert (judged["splits"], judged["n"], judged["missing"]) == (1, 10, 0)
        assert judged["pretraining"].partition(";")[0] == "ntu60 (5 classes)"
        assert "TEST CLASSES" not in judged["pretraining"]


def test_deployments_train_from_pixels_judge_each_split_and_again_do_nothing(prefect: Prefect, tmp_path: Path) -> None:
    root, world = Root(prefect.env["ZSAR_ROOT"]), tmp_path / "world"
    practice(PracticeConfig(str(world), classes=6, videos=2, size=64, splits=2), root)
    add(TextsConfig((str(world / "definitions.json"),), "definition", "practice"), root)
    vectors = (f"word_vectors={world / 'word_vectors.txt'}",)
    extract(ExtractConfig(("word_vectors",), weights=vectors, set="practice"), root)
    small = ["vectors=word_vectors", "width=2", "resize=32", "crop=24", "flip=false"]
    asked = {"path": str(world / "videos"), "dataset": "practice", "joints": "auto", "epochs": 1, "batch": 4}
    asked |= {"labels": [str(world / "labels.csv")], "frames": 8, "options": small, "precision": "fp32"}
    splits = {"protocol": str(world / "splits.json"), "splits": "0-1"}
    ran = prefect.zsar("finetune-and-judge-e2e", *given(asked | splits, sampling="clips=1"))
    assert (ran["state"], ran["status"]) == ("Completed", 0), ran
    (trained,) = (row for row in runs(root) if row["network"] == "e2e_r2plus1d")
    assert (trained["fitted"], trained["state"]) == (2, "done")
    artifacts = prefect.artifacts()
    rows = {row["measure"]: row["mean"] for row in json.loads(artifacts["judged-practice"][1])}
    judged = [row for row in results(root) if row["dataset"] == "practice" and row["system"] == "nearest"]
    assert rows["top1"] == pytest.approx(np.mean([row["top1"] for row in judged]))
    assert {row["state"] for row in judged} == {"good"}
    assert f"run-{trained['run']}.html" in artifacts["learned-practice"][1]
    weights = [Path(root.path("runs", trained["run"], f"split-00{k}", "weights.safetensors")) for k in (0, 1)]
    before = [path.stat().st_mtime_ns for path in weights]
    ran = prefect.zsar("finetune-and-judge-e2e", *given(asked | splits, sampling="clips=1"))
    assert (ran["state"], [path.stat().st_mtime_ns for path in weights]) == ("Completed", before)
    ran = prefect.zsar("finetune-e2e", *given(asked, judge=["ucf101"]))
    assert (ran["state"], ran["status"]) == ("Failed", 1)
    assert "No set of classes is called 'ucf101'" in ran["message"]


def lines_of(shared_data: Path, delivery: int) -> list[str]:
    with gzip.open(shared_data / f"actionhub_standin/delivery{delivery}.jsonl.gz", "rt") as file:
        return list(file)


def test_a_users_mistake_is_one_line_and_no_traceback(prefect: Prefect) -> None:
    failed = prefect.zsar("extract-kinetics", "--param=path=/no/such/place")
    assert (failed["state"], failed["status"]) == ("Failed", 1)
    assert failed["message"].startswith("Nothing to index at '/no/such/place'")
    assert "Traceback" not in failed["log"]
    assert failed["results"] == {}
    told = [log["message"] for log in prefect.logs(failed["run"])]
    assert [line for line in told if "Nothing to index" in line] == [f"Finished in state Failed({failed['message']!r})"]
    assert not [line for line in told if "Traceback" in line or "NoneType" in line]
    assert "'nope' is not one of ['nearest', 'er', " in prefect.zsar("fit-er", "--param=head=nope")["error"]
    assert "extract/extract-kinetics" in prefect.zsar("extract-kinetic")["error"]
    assert "it has: adapt, axes, cluster" in prefect.zsar("extract-kinetics", "--param=pat=/data")["error"]


def test_a_run_that_no_worker_takes_says_so(prefect: Prefect) -> None:
    there = prefect.deployments()["extract-hmdb51"]
    prefect.api("PATCH", f"deployments/{there['id']}", {"work_pool_name": "gpu"})
    ran = prefect.zsar("extract-hmdb51", "--detach")
    assert (ran["state"], ran["status"]) == ("Scheduled", 0)
    assert "It waits: no worker takes runs of the work pool 'gpu'. Start one: `prefect worker start" in ran["log"]
    prefect.api("PATCH", f"deployments/{there['id']}", {"work_pool_name": "cpu"})
    prefect.api("POST", f"flow_runs/{ran['run']}/set_state", {"state": {"type": "CANCELLED"}, "force": True})


FULL_ONCE = """
import errno, itertools, sys, flows
count, work = itertools.count(), flows.work
def once_full(shard):
    if next(count) < int(sys.argv[3]):
        raise OSError(int(sys.argv[4]), "refused", "/disk")
    return work(shard)
flows.work = once_full
try:
    done = flows.extract(sys.argv[1], "d", %r, root=sys.argv[2], weights=%r)
    print("done", next(iter(done.values()))["extracted"], next(count))
except Exception as error:
    print("failed", next(count), str(error))
"""


@pytest.mark.parametrize(
    ("faults", "error", "ends"),
    [(2, errno.ENOSPC, "done 1 3"), (9, errno.ENOSPC, "failed 3 Cannot use '/disk'"), (1, errno.EACCES, "failed 1 ")],
    ids=["room is made", "it stays full", "not permitted"],
)
def test_a_task_is_tried_again_where_the_machine_failed_and_not_where_the_user_did(
    prefect: Prefect, tmp_path: Path, faults: int, error: int, ends: str
) -> None:
    (tmp_path / "videos").mkdir()
    make_video(tmp_path / "videos/v.mp4", seed=0, frames=20)
    code = FULL_ONCE % (SLOW["features"], SLOW["weights"])
    command = [sys.executable, "-c", code, str(tmp_path / "videos"), str(tmp_path / "root"), str(faults), str(error)]
    env = prefect.env | {"ZSAR_RETRY_S": "0,0"}
    ran = subprocess.run(command, cwd=HERE, env=env, text=True, capture_output=True, timeout=RUN_S)
    assert ran.stdout.splitlines()[-1].startswith(ends), ran
    assert "Traceback" not in ran.stderr


def test_a_worker_killed_in_the_middle_and_run_again_equals_an_uninterrupted_run(
    kinetics: Path, tmp_path: Path
) -> None:
    """The worker and all it started die without a word, the server with them; then everything is started again."""
    root = Root(tmp_path / "root")
    home = tmp_path / "prefect"
    home.mkdir()
    first = Prefect(home, tmp_path / "root", kinetics)
    killed = first.zsar("extract-kinetics", "--detach", *given(SLOW, shard_size=4, same_errors=4, workers=1))["run"]
    wait(lambda: 0 < len(kept(root)) < 9)
    first.kill()
    before = kept(root)
    assert 0 < len(before) < 9

    second = Prefect(home, tmp_path / "root", kinetics)
    try:
        ran = second.zsar("extract-kinetics", *given(SLOW, shard_size=4, same_errors=4))
        assert ran["state"] == "Completed", ran
        (counts,) = ran["results"]["extract-results-kinetics"]
        assert counts["skipped"] + counts["extracted"] + counts["failed"] + counts["quarantined"] == 10
        wait(lambda: second.api("GET", f"flow_runs/{killed}")["state"]["type"] == "CRASHED")
    finally:
        second.stop()
    now = contents(root, "r2plus1d_18")
    assert before.items() <= now.items()
    assert now == uninterrupted(tmp_path, kinetics)


def kept(root: Root) -> dict[bytes, bytes]:
    """What is committed so far."""
    store = FeatureStore(root)
    return contents(root, "r2plus1d_18") if any(store.get(name) for name in store.names()) else {}


def wait(until: Callable[[], bool]) -> None:
    end = time.monotonic() + RUN_S
    while not until():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_the_script_says_when_its_port_is_taken_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        env = os.environ | {"PREFECT_HOME": str(tmp_path), "PREFECT_PORT": str(taken.getsockname()[1])}
        env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
        script = subprocess.run([str(HERE / "prefect.sh")], env=env, capture_output=True, text=True, timeout=START_S)
    assert script.returncode == 1
    assert "A program that is no Prefect server" in script.stderr
    assert "nothing was changed. Give another with PREFECT_PORT" in script.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_second_script_on_the_port_of_a_server_says_whose_it_is_and_changes_nothing(prefect: Prefect) -> None:
    before, log = prefect.deployments(), Path(prefect.env["PREFECT_HOME"], "zsar-server.log").read_bytes()
    env = prefect.env | {"ZSAR_POOL": "gpu", "KINETICS": "/somewhere/else"}
    script = subprocess.run([str(HERE / "prefect.sh")], env=env, capture_output=True, text=True, timeout=START_S)
    assert script.returncode == 1
    assert script.stderr.startswith(
        f"A Prefect server of yours runs on port {env['PREFECT_PORT']}; nothing was changed."
    )
    assert prefect.deployments() == before
    assert Path(prefect.env["PREFECT_HOME"], "zsar-server.log").read_bytes().startswith(log)


def test_deploying_again_keeps_what_was_set_in_the_ui_and_brings_what_the_file_changed(prefect: Prefect) -> None:
    """A schedule switched on and moved, one made, parameters changed and taken away, a pause; then the file again."""
    fresh = prefect.deployments()
    nightly, weekly = fresh["extract-folder"], fresh["finetune-e2e"]
    (schedule,) = nightly["schedules"]
    at_five = {"schedule": {"cron": "0 5 * * *", "timezone": "Europe/Berlin"}, "active": True}
    prefect.api("PATCH", f"deployments/{nightly['id']}/schedules/{schedule['id']}", at_five)
    few = nightly["parameters"] | {"features": ["i3d_k400"], "workers": 2}
    del few["precision"]
    prefect.api("PATCH", f"deployments/{nightly['id']}", {"parameters": few, "tags": ["mine"], "concurrency_limit": 3})
    prefect.api("POST", f"deployments/{fresh['extract-hmdb51']['id']}/schedules", [{**at_five, "slug": "early"}])
    prefect.api("PATCH", f"deployments/{weekly['id']}", {"paused": True})
    prefect.api("DELETE", f"deployments/{weekly['id']}/schedules/{weekly['schedules'][0]['id']}")
    named = prefect.deployments()
    assert named["extract-folder"]["parameters"] == few

    again = {**prefect.env, "FOLDER": "/moved/videos", "UCF101": "/moved/ucf101", "ZSAR_HOME": str(HERE)}
    for _ in range(2):
        subprocess.run(["prefect", "deploy", "--all"], cwd=HERE, env=again, check=True, capture_output=True)
    now = prefect.deployments()
    assert now["extract-folder"]["parameters"] == few | {"path": "/moved/videos"}
    assert now["extract-ucf101"]["parameters"] == fresh["extract-ucf101"]["parameters"] | {"path": "/moved/ucf101"}
    for name in ("extract-folder", "extract-hmdb51", "finetune-e2e", "extract-kinetics"):
        for field in ("schedules", "paused", "tags", "global_concurrency_limit", "description"):
            assert now[name][field] == named[name][field], (name, field)
    assert now["extract-folder"]["schedules"][0]["schedule"]["cron"] == "0 5 * * *"
    assert now["finetune-e2e"]["schedules"] == []
