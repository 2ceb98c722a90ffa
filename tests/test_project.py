"""The project's own files agree with one another."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

HERE = Path(__file__).parents[1]
PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]


def test_environment_and_pyproject_agree():
    environment = yaml.safe_load((HERE / "environment.yml").read_text())
    python = next(d for d in environment["dependencies"] if isinstance(d, str) and d.startswith("python"))
    assert python.removeprefix("python") == PROJECT["requires-python"]
    pinned, pip = next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    assert pinned == "-c constraints.txt"
    match = re.fullmatch(r"-e \.\[([\w,]+)\]", pip)
    assert match, pip
    assert set(match[1].split(",")) <= set(PROJECT["optional-dependencies"])


def _imports(*places: str) -> dict[str, set[str]]:
    """What files import from elsewhere: name of the package to the files that do."""
    own = {"extractors", "heads", "pipelines", "stores", "untrusted", "flows", "tests", "benchmarks"}
    found: dict[str, set[str]] = {}
    for place in places:
        for path in [HERE / place] if place.endswith(".py") else (HERE / place).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
                for name in {each.partition(".")[0] for each in names} - own - sys.stdlib_module_names:
                    found.setdefault(name, set()).add(str(path.relative_to(HERE)))
    return found


def _named(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w-]+", each)[0].lower().replace("_", "-") for each in requirements}  # type: ignore[index]


def test_everything_that_is_imported_is_declared():
    by_import = importlib.metadata.packages_distributions()
    extras = PROJECT["optional-dependencies"]
    users = [each for name, group in extras.items() if name != "dev" for each in group]
    everybody = _named(PROJECT["dependencies"] + users)
    packages = _imports("extractors", "heads", "pipelines", "stores", "untrusted", "flows.py")
    for declared, imports in (
        (everybody, packages),
        (everybody | _named(extras["dev"]), _imports("tests", "benchmarks")),
    ):
        for name, files in imports.items():
            if name not in by_import:  # not installed here: one of the packs, or what a group brings
                continue
            assert {each.lower().replace("_", "-") for each in by_import[name]} & declared, (name, sorted(files))


def test_the_constraints_pin_all_that_an_installation_brings():
    pins = {line.partition("==")[0] for line in (HERE / "constraints.txt").read_text().splitlines() if "==" in line}
    pins = {each.lower().replace("_", "-") for each in pins}
    todo = list(
        PROJECT["dependencies"] + [each for group in PROJECT["optional-dependencies"].values() for each in group]
    )
    seen: set[str] = set()
    while todo:
        asked = Requirement(todo.pop())
        name = asked.name.lower().replace("_", "-").replace(".", "-")
        if name in seen | {"setuptools"} or (asked.marker and not asked.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        try:
            todo += importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:  # of another machine: a GPU's
            continue
        assert name in {each.replace(".", "-") for each in pins}, name
    assert len(seen) > 100


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


def test_every_deployment_names_parameters_of_its_flow_and_each_profile_is_one():
    flows = pytest.importorskip("flows", reason="Prefect is not installed")
    deployments = yaml.safe_load((HERE / "prefect.yaml").read_text())["deployments"]
    for deployment in deployments:
        taken = getattr(flows, deployment["entrypoint"].partition(":")[2]).parameters.properties
        assert set(deployment["parameters"]) <= set(taken), deployment["name"]
    assert sum("profile" in deployment.get("tags", ()) for deployment in deployments) == 3


@pytest.mark.parametrize("module", ["pipelines.look.listing", "pipelines.learn.runs", "pipelines.extract.plan"])
def test_what_lists_and_plans_starts_without_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
