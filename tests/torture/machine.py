"""A root against a plain dictionary: commands in any order, killed, two at once, on full disks, over a bad network.

    hypothesis ──draws──▶ index, extract, texts, fit, evaluate, drop  x  whole, killed, twice, full, faults
                                        │
    what was acknowledged  ⊆  what is there  ⊆  what was ever asked for,   nothing twice,   each the bits it should be

At the end every command is run whole, and the root is then equal to one that nothing ever happened to.
"""

import collections
import contextlib
import dataclasses
import functools
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stores.errors import Damaged, NotInStore
from stores.features import FeatureStore
from stores.manifest import Manifest
from stores.root import Root
from stores.runs import Runs
from stores.texts import Texts
from tests.conftest import contents, make_video
from tests.pipelines import studies
from tests.stores.proxy import CUT, LOSE, PASS, Proxy
from tests.torture import work

FILMS, LINES, SPLITS = 8, 12, 3
COUNTS: collections.Counter[str] = collections.Counter()  # what was tried, over all machines
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["tests.torture.work"])


@functools.cache
def given() -> "Given":
    """What the commands read, made once."""
    work.known()
    folder = Path(tempfile.mkdtemp(prefix="zsar-torture-"))
    for number in range(FILMS):
        make_video(folder / f"v{number}.mp4", frames=12 + number, seed=number)
    for number in range(LINES):
        name = studies.CLASSES[number % len(studies.CLASSES)]
        studies.json_lines(folder / f"t{number}", [{"action": name, "description": f"it is the text {'a' * number}b"}])
    base = studies.made(folder, "base")
    fitted = dataclasses.asdict(studies.config(folder, splits="0"))
    whole = Root(shutil.copytree(base.url, folder / "whole"))
    found = Given(folder, base, fitted, whole, "")
    fit, *others = found.everything()
    work.COMMANDS[fit[0]](whole, fit[1])
    (run,) = Runs(whole).names()
    work.COMMANDS["evaluate"](whole, (run, f"0-{SPLITS - 1}"))  # before its texts change
    for command, argument in others:
        work.COMMANDS[command](whole, argument)
    return dataclasses.replace(found, run=run)


@dataclasses.dataclass(frozen=True)
class Given:
    """Files, settings, and the root to which nothing happened."""

    folder: Path
    base: Root
    fitted: dict[str, Any]
    whole: Root
    run: str

    def film(self, number: int) -> str:
        return str(self.folder / f"v{number}.mp4")

    def text(self, number: int) -> str:
        return str(self.folder / f"t{number}")

    def fit(self, split: int) -> str:
        return json.dumps(self.fitted | {"splits": str(split)})

    def everything(self) -> Iterator[tuple[str, Any]]:
        """All that there is to do, in an order in which it can be done."""
        every = f"0-{SPLITS - 1}"
        yield "fit", json.dumps(self.fitted | {"splits": every})
        if self.run:
            yield "evaluate", (self.run, every)
        yield "texts", [self.text(number) for number in range(LINES)]
        yield "index", [self.film(number) for number in range(FILMS)]
        yield "extract", None


class Torture(RuleBasedStateMachine):
    """A root on a disk; its subclass below has one on an object store."""

    ways: ClassVar[tuple[str, ...]] = ("whole", "killed", "killed", "twice", "twice", "full")
    longest_s: ClassVar[float] = 0.5

    def __init__(self) -> None:
        super().__init__()
        self.given = given()
        self.folder = Path(tempfile.mkdtemp(prefix="zsar-torture-"))
        self.root, self.environment = self.place()
        #: by what it is of: what was acknowledged, and what was asked for and may be there
        self.there: dict[str, set[Any]] = {name: set() for name in ("films", "rows", "texts", "splits", "judged")}
        self.maybe: dict[str, set[Any]] = {name: set() for name in self.there}
        self.dropping = False
        COUNTS["roots"] += 1

    def place(self) -> tuple[Root, dict[str, str]]:
        small = self.folder / "small"
        small.mkdir()
        self.is_small = not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(small)], capture_output=True
        ).returncode
        return Root(shutil.copytree(self.given.base.url, small / "root")), {}

    # -- commands -----------------------------------------------------------------------------------------------------

    @rule(numbers=st.sets(st.integers(0, FILMS - 1), min_size=1), how=st.data())
    def index(self, numbers: set[int], how: Any) -> None:
        self.run(how, "index", [self.given.film(number) for number in sorted(numbers)])

    @precondition(lambda self: self.there["films"])
    @rule(how=st.data())
    def extract(self, how: Any) -> None:
        self.run(how, "extract", None)

    @rule(number=st.integers(0, LINES - 1), how=st.data())
    def texts(self, number: int, how: Any) -> None:
        self.run(how, "texts", [self.given.text(number)])

    @precondition(
        lambda self: not (self.there["texts"] or self.maybe["texts"])
    )  # whose texts are others is another run
    @rule(split=st.integers(0, SPLITS - 1), how=st.data())
    def fit(self, split: int, how: Any) -> None:
        self.run(how, "fit", self.given.fit(split))

    @precondition(lambda self: self.there["splits"] and not (self.there["texts"] or self.maybe["texts"]))
    @rule(how=st.data())
    def evaluate(self, how: Any) -> None:
        self.run(how, "evaluate", (self.given.run, str(how.draw(st.sampled_from(sorted(self.there["splits"]))))))

    @precondition(lambda self: self.there["rows"])
    @rule(how=st.data())
    def drop(self, how: Any) -> None:
        self.run(how, "drop", None)

    def run(self, data: Any, command: str, argument: Any) -> None:
        """Run a command in one of the ways, and take what it acknowledged into the dictionary."""
        how = data.draw(st.sampled_from(self.ways))
        asked = [(command, argument)]
        if how == "twice":
            asked.append(data.draw(st.sampled_from([(command, argument), *self.beside(command)])))
        with contextlib.ExitStack() as stack:
            if how == "full":
                stack.enter_context(self.full(data.draw(st.integers(0, 256)) << 10))
            if how == "faults":
                stack.enter_context(self.faults(data.draw(st.integers(0, 2**32))))
            running = [self.start(*each) for each in asked]
            if how == "killed":
                running[0][0].join(data.draw(st.floats(0, self.longest_s)))
                running[0][0].kill()
            ended = [self.ended(process, said) for process, said in running]
        COUNTS["kills"] += ended[0][0] == -9
        COUNTS["races"] += how == "twice"
        COUNTS["full disks"] += how == "full"
        COUNTS["bad networks"] += how == "faults"
        COUNTS["commands"] += len(asked)
        told = [status for status, _ in ended]
        drops = [each for each, _ in asked].count("drop")
        # an extraction may have met what was indexed beside it
        both = sorted(zip(asked, ended, strict=True), key=lambda one: one[0][0] == "extract")
        for (each, given_to), (status, said) in both:
            assert status != work.DEFECT, (how, each, said)
            assert "\n" not in said, said
            may_fail = how in ("full", "faults", "twice") or self.dropping
            assert status != work.LINE or may_fail, (how, each, said)
            self.took(each, given_to, status == work.DONE, bool(drops))
        if drops:
            self.maybe["rows"] |= self.there["rows"]
            self.there["rows"] = set()
            self.dropping = work.DONE not in told
            if len(asked) == 1 and told == [work.DONE]:
                self.maybe["rows"] = set()

    def beside(self, command: str) -> list[tuple[str, Any]]:
        """Other commands that may run at the same time."""
        if command in ("fit", "evaluate"):
            return [("index", [self.given.film(0)])]
        return [("index", [self.given.film(FILMS - 1)]), ("texts", [self.given.text(LINES - 1)])]

    def took(self, command: str, argument: Any, is_done: bool, while_dropped: bool) -> None:
        """What a command is to have made, or may have made."""
        name, made = {
            "index": lambda: ("films", {Path(path).stem for path in argument}),
            "extract": lambda: ("rows", self.there["films"]),
            "texts": lambda: ("texts", {int(Path(path).name[1:]) for path in argument}),
            "fit": lambda: ("splits", {int(json.loads(argument)["splits"])}),
            "evaluate": lambda: ("judged", {int(argument[1])}),
            "drop": lambda: ("rows", set()),
        }[command]()
        self.maybe[name] |= made
        if command == "extract":
            self.maybe["rows"] |= self.maybe["films"]
        if is_done and not (command == "extract" and while_dropped):
            self.there[name] |= made

    def start(self, command: str, argument: Any) -> tuple[Any, Path]:
        said = self.folder / f"said-{COUNTS['commands']}-{random.random()}"
        told = (command, self.root.url, self.environment, argument, str(said))
        process = _SERVER.Process(target=work.do, args=told)
        main = sys.modules["__main__"]
        with mock.patch.object(main, "__spec__", None), mock.patch.object(main, "__file__", None, create=True):
            process.start()  # which would import the main module first, and that is none of a command's
        return process, said

    def ended(self, process: Any, said: Path) -> tuple[int, str]:
        process.join(180)
        assert process.exitcode is not None, "a command hangs"
        return process.exitcode, said.read_text() if said.exists() else ""

    @contextlib.contextmanager
    def full(self, left: int) -> Iterator[None]:
        """The disk holds so many bytes more."""
        filler = self.folder / "small" / "filler"
        if self.is_small:
            free = os.statvfs(filler.parent)
            filler.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - left)))
        yield
        filler.unlink(missing_ok=True)

    def faults(self, seed: int) -> Any:
        raise NotImplementedError

    # -- the dictionary -----------------------------------------------------------------------------------------------

    @invariant()
    def what_is_there_is_what_was_acknowledged_and_nothing_else(self) -> None:
        found = self.found()
        for name, held in found.items():
            lost, strange = self.there[name] - held.keys(), held.keys() - self.maybe[name]
            assert not lost, f"{name}: {lost} were acknowledged, and are lost"
            assert not strange, f"{name}: {strange} are there, and nobody asked for them"
            for what, value in held.items():
                assert value == expected()[name][what], f"{name}: {what} is not what it should be"

    def found(self) -> dict[str, dict[Any, Any]]:
        try:
            return contents_of(self.root, self.given.run)
        except Damaged:
            assert self.dropping  # a set of which a part was dropped
            return {name: {} for name in ()}

    def teardown(self) -> None:
        """Everything is done, whole: then the root is as if nothing had happened to it."""
        try:
            if self.dropping:
                self.whole("drop", None)
            has_new_texts = bool(self.there["texts"] or self.maybe["texts"])
            for command, argument in self.given.everything():
                if command in ("fit", "evaluate") and has_new_texts:
                    continue
                self.whole(command, argument)
            found, wanted = contents_of(self.root, self.given.run), expected()
            for name in wanted:
                if name in ("splits", "judged") and has_new_texts:
                    continue
                assert found[name] == wanted[name], name
            COUNTS["roots equal at the end"] += 1
        finally:
            self.clean()

    def whole(self, command: str, argument: Any) -> None:
        status, said = self.ended(*self.start(command, argument))
        assert status == work.DONE or (command == "drop" and "No feature set" in said), (command, said)

    def clean(self) -> None:
        if getattr(self, "is_small", False):
            subprocess.run(["umount", str(self.folder / "small")], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


class OnObjectStore(Torture):
    """The same on an object store, over a network that may be bad."""

    ways = ("whole", "killed", "twice", "twice", "twice", "faults")
    longest_s = 1.5
    proxy: ClassVar[Proxy]
    bucket: ClassVar[Callable[[], str]]

    def place(self) -> tuple[Root, dict[str, str]]:
        root = Root(f"s3://{type(self).bucket()}/cache")
        for path in Path(self.given.base.url).rglob("*"):
            if path.is_file() and "locks" not in path.parts:
                root._objects.put(root.path(path.relative_to(self.given.base.url).as_posix()), path, None)
        # all of it: the server that forks may be older than what this test has set
        known = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
        return root, known | {"AWS_ENDPOINT_URL": self.proxy.url, "ZSAR_STORE_TIMEOUT_S": "20"}

    @contextlib.contextmanager
    def faults(self, seed: int) -> Iterator[None]:
        draw = random.Random(seed)
        most = draw.choice((0.02, 0.1, 0.3))
        self.proxy.fate = lambda method, path: draw.choice((503, 500, CUT, LOSE)) if draw.random() < most else PASS
        yield
        self.proxy.fate = lambda method, path: PASS


@functools.cache
def expected() -> dict[str, dict[Any, Any]]:
    """What the root holds to which nothing happened."""
    return contents_of(given().whole, given().run)


def contents_of(root: Root, run: str) -> dict[str, dict[Any, Any]]:
    """What a root holds, by kind and by what it is of; an AssertionError where something is there twice."""
    manifest = Manifest(root)
    rows = manifest.read("films").to_pylist() if "films" in manifest.datasets() else []
    films = {row["video_id"]: row["key"] for row in rows}
    assert len(films) == len(rows), "a film is there twice"
    names = {key: name for name, key in expected()["films"].items()} if root is not given().whole else {}
    names = names or {key: name for name, key in films.items()}
    features = {}
    with contextlib.suppress(NotInStore):
        if FeatureStore(root).get(FeatureStore(root).resolve("fake")):
            own = contents(root)
            assert len(own) == FeatureStore(root).find("fake").shape()[0], "an item is there twice"
            features = {names[key]: digest for key, digest in own.items()}
    told = [row["text"] for row in Texts(root, "d").read(["text", "kind"], ("description",)).to_pylist()]
    told = [text for text in told if text.startswith("it is the text ")]
    assert len(told) == len(set(told)), "a text is there twice"
    runs = Runs(root)
    numbers = [number for number in range(SPLITS) if run and _told(runs, run, number)]
    splits = {number: studies.weights(root, run, number) for number in numbers}
    table = runs.read(run, "results") if run else None
    judged = [] if table is None else table.select(["split", "setting", "n", "top1", "hubness"]).to_pylist()
    assert len({(row["split"], row["setting"]) for row in judged}) == len(judged), "a split is judged twice"
    return {
        "films": films,
        "rows": features,
        "texts": {len(text.removeprefix("it is the text ")) - 1: text for text in told},
        "splits": {n: {name: array.tobytes() for name, array in own.items()} for n, own in splits.items()},
        "judged": {row["split"]: row for row in judged},
    }


def _told(runs: Runs, run: str, number: int) -> bool:
    return runs.told(run, f"split-{number:03d}", "split.json") is not None
