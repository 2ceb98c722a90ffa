"""The same contract on an object store: a real S3 protocol, served by moto on this machine."""

import os
import subprocess
import sys

import pytest

from stores.features import FeatureStore
from stores.root import Root
from tests.stores.store_contract import OUTPUTS, StoreContract, rows_of

pytestmark = pytest.mark.heavy


@pytest.fixture
def root(object_root: Root) -> Root:
    return object_root


class TestOnS3(StoreContract):
    """The contract, over the network."""


def test_two_committers_at_once_lose_nothing_without_a_lock(root):
    FeatureStore(root).create("x@ab", {"extractor": "x"}, "ab", OUTPUTS)
    code = (
        "import sys; from stores.root import Root; from stores.features import FeatureStore\n"
        "from tests.stores.store_contract import rows_of\n"
        "s = FeatureStore(Root(sys.argv[1])).find('x'); start = int(sys.argv[2])\n"
        "[s.append([rows_of(i)]) for i in range(start, start + 8)]"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, root.url, str(100 * n)], env=os.environ) for n in range(2)]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    feature_set = FeatureStore(root).find("x")
    assert feature_set.shape()[0] == 16
    assert list(feature_set.damage()) == []
    assert feature_set.append([rows_of(3)]) == 0


@pytest.mark.usefixtures("fake")
def test_a_whole_extraction_lives_there_and_is_found_again(root, videos):
    from pipelines.extract.extraction import extract
    from pipelines.extract.settings import ExtractConfig

    assert extract(ExtractConfig(("fake",), "d"), root).features[0].extracted == 6
    assert extract(ExtractConfig(("fake",), "d"), Root(root.url)).features[0].skipped == 6
