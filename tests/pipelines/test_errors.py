"""What the disk refuses is one line that says where and what to do; a defect of ours keeps its traceback."""

import errno
import os

import pytest
from typer.testing import CliRunner

from pipelines.command.main import app
from pipelines.errors import refused


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EACCES, "Check its permissions"),
        (errno.EROFS, "Check its permissions"),
        (errno.ENOSPC, "Make room"),
        (errno.EIO, "Look whether the disk is well"),
        (errno.ENAMETOOLONG, "Give a path that can be one"),
        (errno.EMFILE, "Allow more open files (`ulimit -n 65536`)"),
    ],
)
def test_what_is_refused_says_where_why_and_what_to_do(number, advice):
    told = refused(OSError(number, os.strerror(number), "/a/b"))
    assert told is not None
    assert told.startswith(f"Cannot use '/a/b': {os.strerror(number)}. {advice}")


def test_a_file_that_was_not_looked_for_is_a_defect():
    assert refused(FileNotFoundError(errno.ENOENT, "No such file", "/a/b")) is None
    assert refused(OSError("told by a library")) is None


@pytest.mark.parametrize(
    "arguments",
    [
        "list runs --root LONG/x",
        "show x --root LONG",
        "texts add LONG/a.txt --kind class --set s",
        "practice LONG/w",
        "extract i3d_k400 --dataset d --weights i3d_k400=LONG/a.npz",
    ],
)
def test_a_path_that_the_disk_refuses_is_one_line_whatever_is_asked(tmp_path, arguments):
    long = tmp_path / ("a" * 300)  # refused whoever asks, as a folder of somebody else is
    done = CliRunner().invoke(app, arguments.replace("LONG", str(long)).split(), env={"ZSAR_ROOT": str(tmp_path)})
    assert done.exit_code == 1
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith(f"zsar: Cannot use '{long}"), line
    assert line.endswith("File name too long. Give a path that can be one.")
