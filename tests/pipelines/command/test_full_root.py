"""A wrong name in a root of hundreds of everything: one line that a person can read, with what is like it."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

import extractors
from pipelines.command.main import app
from pipelines.look.selection import save
from pipelines.look.views import ask
from stores.root import Root
from tests.pipelines import studies

_COPIES = 300
_LONGEST = 900  # characters of a message, paths and all


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Root:
    """Data sets, texts, selections, feature sets and runs, three hundred of each."""
    folder: Path = tmp_path_factory.mktemp("full")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(extractors.EXTRACTORS, "fake_text", "tests.fake:FakeTextExtractor")
        root = studies.made(folder)
    save(ask("select dataset, video_id from videos limit 3", root), "chosen", "the first three", root)
    top = folder / "root"
    (feature,) = (top / "features").iterdir()
    for number in range(_COPIES):
        shutil.copyfile(top / "manifest/d.parquet", top / f"manifest/other-{number}.parquet")
        shutil.copyfile(top / "classes/d.parquet", top / f"classes/other-{number}.parquet")
        shutil.copytree(top / "texts/d", top / f"texts/other-{number}")
        shutil.copytree(top / "selections/chosen", top / f"selections/chosen-{number}")
        (top / f"features/{feature.name.partition('@')[0]}@{number:012x}").mkdir()
        (top / f"runs/er-d-own-{number:010x}").mkdir(parents=True)
        (top / f"runs/er-d-own-{number:010x}/run.json").write_text("{}")
    return root


@pytest.mark.parametrize(
    "command",
    [
        "evaluate coco",
        "evaluate er",
        "fuse er-d coco",
        "show coco",
        "show er-d",
        "show fake_text",
        "show coco --html",
        "audit none",
        "query cats --feature coco",
        "query cats --dataset none",
        "export fake_text --dataset none --format npy --out x.npy",
        "export none --dataset d --format npy --out x.npy",
        "export fake_text --set none --format npy --out x.npy",
        "extract fake_text --dataset none",
        "extract fake_text --set none",
        "fit er --dataset none --feature fake_text --protocol ucf101-50",
        "fit er --dataset d --feature none --protocol ucf101-50",
        "fit er --dataset d --feature fake_text --set none --protocol ucf101-50",
        "texts lint --set none",
        "texts rank --set none",
        "verify none",
        "drop none",
        "compare none fake_text --dataset d",
        "show none --lineage",
        "sql selectx",
        "sql select+1+from+none",
    ],
)
def test_a_wrong_name_is_one_line_that_can_be_read(full, fake, command):
    done = CliRunner().invoke(app, [*(word.replace("+", " ") for word in command.split()), "--root", full.url])
    assert done.exit_code != 0
    assert isinstance(done.exception, SystemExit), done.exception
    message = done.stderr.strip()
    assert message
    assert len(message) < _LONGEST, message
    assert "Traceback" not in message


def test_names_like_the_one_that_was_asked_for_come_first(full):
    done = CliRunner().invoke(app, ["audit", "othr-299x", "--root", full.url])
    assert "indexed: other-299, " in done.stderr
    assert "more. Run `zsar index" in done.stderr
