"""The project's own files agree with one another."""

import re
import tomllib
from pathlib import Path

import yaml

HERE = Path(__file__).parents[1]
PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]


def test_environment_and_pyproject_agree():
    environment = yaml.safe_load((HERE / "environment.yml").read_text())
    python = next(d for d in environment["dependencies"] if isinstance(d, str) and d.startswith("python"))
    assert python.removeprefix("python") == PROJECT["requires-python"]
    (pip,) = next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    match = re.fullmatch(r"-e \.\[([\w,]+)\]", pip)
    assert match, pip
    assert set(match[1].split(",")) <= set(PROJECT["optional-dependencies"])


def test_every_dependency_is_pinned_in_the_constraints():
    pins = {
        re.split("==", line)[0].lower().replace("_", "-")
        for line in (HERE / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    asked = PROJECT["dependencies"] + [d for group in PROJECT["optional-dependencies"].values() for d in group]
    names = {re.match(r"[\w-]+", dependency)[0].lower() for dependency in asked}  # type: ignore[index]
    assert names <= pins


def test_the_offline_pack_is_pinned_by_version_and_hash():
    text = re.sub(r"\\\n", " ", (HERE / "offline-pack.txt").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert len(lines) == 9
    for line in lines:
        assert re.fullmatch(r"[\w-]+==[\w.]+( +--hash=sha256:[0-9a-f]{64})+", line.strip()), line
