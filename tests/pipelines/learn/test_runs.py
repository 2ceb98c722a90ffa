"""One kind of run: a name from all it depends on, splits begun and done, and a file that is whole or not there."""

import dataclasses
from pathlib import Path

import pytest

from pipelines.learn.runs import DONE, Run, identity, name_of, network
from stores.errors import StoreError
from tests.pipelines.studies import folder_of


@dataclasses.dataclass(frozen=True)
class Settings:
    lr: float = 0.1
    splits: str = ""
    clip: float = dataclasses.field(default=0.0, metadata={"later": True})
    kinds: tuple[str, ...] = dataclasses.field(default=(), metadata={"later": True})


def test_a_field_that_came_later_enters_a_name_only_where_it_is_set():
    old = {"lr": 0.1}
    assert identity(Settings(splits="0"), ("splits",)) == old
    assert identity(Settings(clip=2.0, kinds=("a",)), ("splits",)) == old | {"clip": 2.0, "kinds": ("a",)}
    names = [
        name_of(("er", "d"), "a/b", [identity(each)]) for each in (Settings(), Settings(clip=1.0), Settings(lr=1.0))
    ]
    assert len(set(names)) == 3
    assert all(name.startswith("er-d-a-b-") for name in names)
    assert name_of(("er", "d"), "some/own.json", [1]).startswith("er-d-own-")
    with pytest.raises(StoreError):
        name_of(("er", "../d"), "p", [])


@pytest.mark.parametrize(("stage", "file"), [("fit", "run.json"), ("finetune", "finetune.json")])
def test_a_run_knows_what_it_is_of_and_which_splits_are_done(root, stage, file):
    run = Run(root, "r-1", stage)
    assert (run.about(), run.numbers) == ({}, [])
    run.begin({"config": {"lr": 1}, "splits": [0, 2]})
    made = run.about()["made"]
    assert Path(root.path("runs", "r-1", file)).is_file()
    run.begin({"config": {"lr": 2}, "splits": [0, 2]})
    assert run.about() == {"config": {"lr": 2}, "splits": [0, 2], "made": made}
    folder_of(run.root, run.name, 1).mkdir()
    assert (run.numbers, run.lacking([0, 1, 2])) == ([0, 1, 2], [0, 1, 2])
    run.done(1, {"number": 1, "top1": 0.5})
    assert (run.told(1), run.told(0), run.lacking([0, 1, 2])) == ({"number": 1, "top1": 0.5}, None, [0, 2])
    assert run.state() == "1 of 3 splits: in progress, or killed"
    for number in (0, 2):
        run.done(number, {"number": number, "top1": None})
    assert run.state() == DONE
    assert sorted(path.name for path in folder_of(run.root, run.name, 1).iterdir()) == ["split.json"]
    if stage == "finetune":
        told = network(root, "r-1")
        assert (told["top1"], [row["state"] for row in told["splits"]]) == (0.5, [DONE] * 3)


def test_a_split_that_cannot_be_written_whole_is_not_done(root, monkeypatch):
    run = Run(root, "r-1")
    run.begin({})
    run.done(0, {"number": 0})

    def half(self: Path, text: str) -> int:
        with self.open("w") as file:
            file.write(text[: len(text) // 2])
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", half)
        for number in (0, 1):
            with pytest.raises(StoreError, match="disk full"):
                run.done(number, {"number": number, "more": "x" * 100})
    assert (run.told(0), run.told(1)) == ({"number": 0}, None)
