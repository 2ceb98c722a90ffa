"""The command as its users type it: exit status, one JSON line, one line for a mistake, no traceback."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from pipelines.command import base
from pipelines.command.main import app
from pipelines.learn.finetune import own_options
from pipelines.learn.settings import FinetuneConfig
from tests.conftest import make_video

RUN = """
import sys, extractors
extractors.EXTRACTORS["fake"] = "tests.fake:FakeExtractor"
extractors.EXTRACTORS["fake_still"] = "tests.fake:FakeStillExtractor"
from pipelines.command.main import main
main()
"""


@pytest.fixture
def zsar(tmp_path):
    """Call the command in a process of its own, with this test's root."""

    def call(*arguments: str, env: dict[str, str] | None = None, stdin: str | None = None) -> SimpleNamespace:
        done = subprocess.run(
            [sys.executable, "-c", RUN, *arguments],
            env=os.environ | {"ZSAR_ROOT": str(tmp_path / "root")} | (env or {}),
            capture_output=True,
            text=True,
            input=stdin,
        )
        last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""
        assert "Traceback" not in done.stderr, done.stderr
        return SimpleNamespace(
            code=done.returncode,
            out=done.stdout,
            err=done.stderr,
            json=json.loads(last) if "--json" in arguments else None,
        )

    return call


@pytest.fixture
def films(tmp_path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    for i in range(4):
        make_video(folder / f"v{i}.mp4", frames=10 + i, seed=i)
    return folder


def test_names_with_commas_are_told_where_they_are_kept(zsar, tmp_path):
    (tmp_path / "names.txt").write_text("up, then down\n")
    clip = str(tmp_path / "none.mp4")
    asked = zsar("classify", clip, "--classes", "up, then down", "--classes", "welding", "--json")
    assert asked.code == 1
    assert asked.err.startswith("--classes stands more than once, so each is one name: 'up, then down'.")
    assert "none.mp4 does not exist" in asked.json["error"]
    told = zsar("classify", clip, "--classes", f"@{tmp_path / 'names.txt'}", "--leave-out", "@nowhere", "--json")
    assert told.json == {"error": "nowhere cannot be read: No such file or directory. Check the spelling."}


def test_the_whole_way_in_json(zsar, films, tmp_path):
    assert zsar("index", str(films), "--dataset", "d", "--json").json == {
        "videos": 4,
        "new": 4,
        "unchanged": 0,
        "contents": 4,
    }
    assert zsar("index", str(films), "--dataset", "d", "--json").json == {
        "videos": 4,
        "new": 0,
        "unchanged": 4,
        "contents": 4,
    }
    first = zsar("extract", "fake", "--dataset", "d", "--json").json
    assert {k: first[k] for k in ("planned", "extracted", "skipped", "failed")} == {
        "planned": 4,
        "extracted": 4,
        "skipped": 0,
        "failed": 0,
    }
    assert set(first) == {"planned", "extracted", "skipped", "failed", "recipe", "seconds"}
    again = zsar("extract", "fake", "--dataset", "d", "--json").json
    assert (again["planned"], again["extracted"], again["skipped"], again["recipe"]) == (0, 0, 4, first["recipe"])
    (listed,) = zsar("list", "features", "--json").json["features"]
    assert (listed["items"], listed["rows"], listed["recipe"]) == (4, 12, first["recipe"])
    assert zsar("list", "failures", "--json").json == {"failures": []}
    verified = zsar("verify", "--json").json
    assert (verified["features"], verified["items"], verified["damaged"]) == (1, 4, 0)
    shown = zsar("show", "fake", "--json").json
    assert shown["recipe"]["sampling"]["clips"] == 3
    assert shown["commits"][0]["message"] == "4 items"
    out = tmp_path / "F.h5"
    assert zsar("export", "fake", "--dataset", "d", "--format", "hdf5", "--out", str(out), "--json").json["items"] == 4
    compared = zsar("compare", "fake", str(out), "--dataset", "d", "--json").json
    assert compared["worst"] is not None
    dropped = zsar("drop", "fake", "--yes", "--gc", "--json").json
    assert dropped["dropped"] == [listed["name"]]
    assert zsar("list", "features", "--json").json == {"features": []}


def test_what_was_not_taken_and_what_has_no_label_is_said_on_the_screen_and_in_json(zsar, tmp_path):
    (tmp_path / "v").mkdir()
    for name in ("abc_000001_000011.mp4", "xyz_000001_000011.MTS", "poster.jpg"):
        (tmp_path / "v" / name).write_text(name)
    csv = tmp_path / "k.csv"
    csv.write_text("label, youtube_id, time_start, time_end\nbow, abc, 1, 11\nbow, gone, 1, 11\n")
    asked = ("index", str(tmp_path / "v"), "--dataset", "d", "--labels", str(csv))
    assert zsar(*asked, "--json").json == {
        "videos": 2,
        "new": 2,
        "unchanged": 0,
        "contents": 2,
        "without_file": 1,
        "unlabelled": 1,
        "not_taken": {".jpg": 1},
    }
    done = zsar(*asked)
    assert "1 unlabelled" in done.out
    assert "Not taken, for they do not end like a video: 1 .jpg." in done.err
    csv.write_text("label,youtube_id,time_start,time_end\nbow,other,1,11\n")
    refused = zsar(*asked, "--json")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "name none of the 2 videos: they name 1: 'other_000001_000011'; the files are" in refused.json["error"]


def test_features_of_others_say_how_their_ids_were_matched(zsar, tmp_path):
    (tmp_path / "v").mkdir()
    (tmp_path / "v/a.mp4").write_text("a")
    (tmp_path / "v/b.mp4").write_text("b")
    zsar("index", str(tmp_path / "v"), "--dataset", "d")
    file = tmp_path / "f.npz"
    np.savez(file, **{"train/v_a": np.ones((1, 4)), "c": np.ones((1, 4))})
    (read,) = zsar("index", str(file), "--dataset", "d", "--json").json["imports"]
    assert (read["matched"], read["unknown"], read["lacking"]) == ({"folder, v_": 1}, ["c"], ["b"])
    done = zsar("index", str(file), "--dataset", "d")
    assert f"Ids of {file} matched: 1 folder, v_." in done.err
    assert "are not in the data set: 'c'; 1 of the data set are not in the file: 'b'." in done.err
    told = zsar("compare", "imported", str(file), "--dataset", "d")
    assert f"Ids of {file} matched: 1 folder, v_." in told.err


def test_a_run_without_work_imports_no_torch(zsar, films, tmp_path):
    zsar("index", str(films), "--dataset", "d")
    zsar("extract", "fake", "--dataset", "d", "--device", "cpu")
    poison = tmp_path / "poison" / "torch"
    poison.mkdir(parents=True)
    (poison / "__init__.py").write_text("raise ImportError('torch was imported')")
    again = zsar("extract", "fake", "--dataset", "d", "--json", env={"PYTHONPATH": f"{poison.parent}:{Path.cwd()}"})
    assert again.json["skipped"] == 4


def test_several_features_map_names_to_recipes(zsar, films):
    zsar("index", str(films), "--dataset", "d")
    both = zsar("extract", "fake", "fake_still", "--dataset", "d", "--json").json
    assert both["extracted"] == 8
    assert sorted(name.partition("@")[0] for name in both["recipe"]) == ["fake", "fake_still"]


def test_the_plan_can_be_seen_without_running_it(zsar, films):
    zsar("index", str(films), "--dataset", "d")
    shown = zsar("extract", "fake", "--dataset", "d", "--dry-run", "--json").json
    assert shown["features"][0]["planned"] == 4
    assert zsar("list", "features", "--json").json == {"features": []}


def test_people_get_tables(zsar, films):
    assert "4 videos, 4 new" in zsar("index", str(films), "--dataset", "d").out
    assert "planned" in zsar("extract", "fake", "--dataset", "d").out
    assert "Nothing to compute" in zsar("extract", "fake", "--dataset", "d").out
    assert "fake@" in zsar("list", "features").out
    assert "No failures" in zsar("list", "failures").out
    assert "sampling" in zsar("show", "fake").out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("extract", "fake", "--dataset", "nowhere"), "No data set is called 'nowhere'"),
        (("extract", "nothing", "--dataset", "d"), "No extractor is called 'nothing'"),
        (("extract", "fake", "--dataset", "d", "--device", "tpu"), "device must be auto, cpu, cuda"),
        (
            ("extract", "fake", "--dataset", "d", "--precision", "fp8"),
            "No precision is called 'fp8'; there are: fp32, bf16.",
        ),
        (("list", "everything"), "There is no list of 'everything'; there are: features, failures"),
        (("show", "fake"), "No feature set matches 'fake'"),
        (("drop",), "Name the feature sets to drop"),
        (("index", "/nowhere/at/all", "--dataset", "d"), "/nowhere/at/all"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_in_json(zsar, films, arguments, message):
    zsar("index", str(films), "--dataset", "d")
    done = zsar(*arguments, "--json")
    assert done.code == 1
    assert message in done.json["error"]
    assert [line for line in done.err.splitlines() if line.startswith("zsar: ")] == done.err.splitlines()
    assert len(done.err.splitlines()) == 1


def test_a_root_that_cannot_be_written_is_one_line(zsar, films, tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = zsar("index", str(films), "--dataset", "d", "--root", str(tmp_path / "file"), "--json")
    assert done.code == 1
    assert "file" in done.json["error"]


@pytest.mark.parametrize("url", ["", "s4://bucket/x", "ftp://host/x"])
def test_a_root_of_no_known_kind_is_one_line(zsar, films, url):
    done = zsar("list", "features", "--root", url, "--json")
    assert done.code == 1
    assert "root" in done.json["error"]


def test_names_with_brackets_are_shown_as_they_are(zsar, tmp_path):
    folder = tmp_path / "x["
    folder.mkdir()
    (folder / "y].mp4").touch()
    (folder / "Title [dQw4w9WgXcQ].mp4").touch()
    zsar("index", str(folder), "--dataset", "d")
    zsar("extract", "fake", "--dataset", "d")
    shown = "".join(zsar("list", "failures").out.split())
    assert "[dQw4w9WgXcQ]" in shown


def test_dropping_where_nobody_can_be_asked_says_what_to_give(zsar, films):
    zsar("index", str(films), "--dataset", "d")
    zsar("extract", "fake", "--dataset", "d")
    done = zsar("drop", "fake", "--json", stdin="")
    assert done.code == 1
    assert "give --yes" in done.json["error"]


def test_a_config_file_gives_options_and_those_by_hand_win(zsar, films, tmp_path):
    zsar("index", str(films), "--dataset", "d")
    config = tmp_path / "c.toml"
    config.write_text('dataset = "d"\nworkers = 1\n')
    assert zsar("extract", "fake", "--config", str(config), "--json").json["planned"] == 4
    config.write_text('dataset = "other"\n')
    assert zsar("extract", "fake", "--config", str(config), "--dataset", "d", "--json").json["skipped"] == 4
    config.write_text("colour = 3\n")
    done = zsar("extract", "fake", "--config", str(config), "--dataset", "d")
    assert done.code == 2
    assert "colour" in done.err


def test_options_by_name_are_joined_with_those_of_a_file(tmp_path):
    config = tmp_path / "c.toml"
    config.write_text('dataset = "d"\noptions = ["width=8", "flip=false"]\ntune = ["lr=1,2"]\n')
    typed = {"config": config, "options": ["flip=true", "crop=56"], "tune": ["lr=1,2"], "dataset": "d"}
    assert base._joined(typed) == {"options": ["width=8", "flip=true", "crop=56"], "tune": ["lr=1,2"]}
    assert base._joined(typed | {"config": None}) == {}


def test_dropping_asks_once_and_takes_no_for_an_answer(zsar, films):
    zsar("index", str(films), "--dataset", "d")
    zsar("extract", "fake", "--dataset", "d")
    assert zsar("drop", "fake", stdin="n\n").code == 1
    assert len(zsar("list", "features", "--json").json["features"]) == 1
    assert zsar("drop", "fake", stdin="y\n").code == 0
    assert zsar("list", "features", "--json").json["features"] == []


def _interruptible() -> None:
    """Ctrl-C is ignored by what a shell started in the background, and so by its children, these tests too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.heavy
def test_a_stopped_run_commits_what_was_handed_over(zsar, tmp_path, films):
    for i in range(4, 80):
        make_video(films / f"v{i}.mp4", frames=10, seed=i)
    zsar("index", str(films), "--dataset", "d")
    for number in (signal.SIGINT, signal.SIGTERM):
        count = tmp_path / f"{number.name}.count"
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, "extract", "fake", "--dataset", "d", "--workers", "1"],
            env=os.environ | {"ZSAR_ROOT": str(tmp_path / "root"), "FAKE_SECONDS": "0.2", "FAKE_COUNT": str(count)},
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=_interruptible,
        )
        end = time.monotonic() + 60
        while not count.exists() or count.stat().st_size < 4:  # in the middle of it, however slow the start was
            assert time.monotonic() < end
            time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 130
        assert "Stopped. What was handed over is committed" in err
        assert "Traceback" not in err
    (listed,) = zsar("list", "features", "--json").json["features"]
    assert 2 <= listed["items"] < 80
    assert zsar("extract", "fake", "--dataset", "d", "--json").json["skipped"] == listed["items"]


@pytest.mark.parametrize("command", ["index", "extract", "list", "show", "verify", "compare", "export", "drop", "demo"])
def test_help_teaches(zsar, command):
    done = zsar(command, "--help")
    assert done.code == 0
    assert "JSON" in done.out
    assert "--root" in done.out


def test_recipes_that_come_along_are_settings_that_their_command_takes():
    folder = Path(__file__).parents[3] / "pipelines" / "learn" / "recipes"
    for path in folder.glob("*.toml"):
        told = tomllib.loads(path.read_text())
        config = FinetuneConfig(**{name: tuple(v) if isinstance(v, list) else v for name, v in told.items()})
        assert own_options(config).vectors == "word_vectors"
    names = {each for system in ("e2e", "jigsaw", "rest") for each in (system, f"{system}-practice")}
    assert {path.stem for path in folder.glob("*.toml")} == names


def test_a_recipe_is_named_and_what_is_given_by_hand_wins():
    runner = CliRunner()
    done = runner.invoke(app, ["finetune", "--config", "e2e", "--dataset", "mine", "--root", "/nonexistent/root"])
    assert done.stderr.startswith("zsar: No data set is called 'mine'")
    done = runner.invoke(app, ["finetune", "--config", "another"])
    assert done.exit_code == 2
    assert "Recipes that come along: e2e, e2e-practice, jigsaw, jigsaw-practice, rest" in " ".join(
        re.sub("[│╭╮╰╯─]", " ", done.stderr).split()
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit", "nothing", "--dataset", "d", "--feature", "f", "--protocol", "truze"), "No head is called 'nothing'"),
        (("fit", "er", "--dataset", "d", "--feature", "f", "--protocol", "half"), "No protocol is called 'half'"),
        (("finetune", "nothing", "--dataset", "d"), "No network is called 'nothing'; there are: stgcn"),
        (("extract", "fake", "nothing:clips=2", "--dataset", "d"), "No extractor is called 'nothing'"),
        (("fit", "er", "--dataset", "d", "--feature", "f", "--protocol", "truze"), "No data set is called 'd'"),
        (("finetune", "stgcn", "--dataset", "d"), "No data set is called 'd'"),
        (("evaluate", "nothing"), "No run is called 'nothing'"),
        (("judge", "nothing"), "No run is called 'nothing'"),
    ],
)
def test_a_wrong_name_is_told_before_torch_is_imported(arguments, message):
    code = RUN.replace("main()", "try:\n    main()\nfinally:\n    print('torch' in sys.modules)")
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (1, ["False"])
    assert message in done.stderr


def test_what_can_be_named_is_listed_with_what_it_is(zsar):
    from heads import HEADS

    assert [row["name"] for row in zsar("list", "heads", "--json").json["heads"]] == list(HEADS)
    extractors = zsar("list", "extractors", "--json").json["extractors"]
    assert "R(2+1)D-18 trained on Kinetics-400." in [row["what"] for row in extractors]
    assert all(row["what"] for row in extractors)
    protocols = {row["name"]: row for row in zsar("list", "protocols", "--json").json["protocols"]}
    assert (protocols["ucf101-50"]["splits"], protocols["ucf101-50"]["of"]) == (50, "ucf101")
    layouts = [row["name"] for row in zsar("list", "layouts", "--json").json["layouts"]]
    assert {"auto", "kinetics", "ntu-25"} < set(layouts)


def test_the_version_and_every_head_are_told(zsar):
    from importlib.metadata import version

    from heads import HEADS

    assert zsar("--version").out == f"zsar {version('zsar')}\n"
    told = zsar("fit", "--help").out
    assert [head for head in HEADS if f"`{head}`" not in told] == []


def test_brackets_stand_in_a_help_as_they_are_written(zsar):
    assert '"captions": [text, ...]}' in " ".join(zsar("index", "--help").out.split())


def test_nothing_to_compute_is_said_only_where_something_is_there(zsar, films):
    zsar("index", str(films), "--dataset", "d")
    zsar("extract", "fake", "--dataset", "d")
    assert "Nothing to compute" in zsar("extract", "fake", "--dataset", "d").out
