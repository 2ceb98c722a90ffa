"""The torture, a short while of it; `make torture` goes on for as long as it takes (`python -m tests.torture`)."""

import os
import uuid

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.stores.proxy import proxied
from tests.torture.machine import COUNTS, OnObjectStore, Torture

SEED = int(os.environ.get("ZSAR_SEED", "0"))


def tortured(machine, roots, steps, seed):
    """Run a machine so often."""
    how = settings(
        max_examples=roots,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
        print_blob=True,
    )
    hypothesis.seed(seed)(machine)
    run_state_machine_as_test(machine, settings=how)


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_a_root_on_a_disk_is_what_was_acknowledged():
    tortured(Torture, 2, 8, SEED)
    print(dict(COUNTS))


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_a_root_on_an_object_store_is_what_was_acknowledged(s3_endpoint, monkeypatch):
    import boto3

    told = {"AWS_ENDPOINT_URL": s3_endpoint, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    for name, value in {**told, "AWS_REGION": "us-east-1"}.items():
        monkeypatch.setenv(name, value)

    def bucket() -> str:
        boto3.client("s3", region_name="us-east-1", endpoint_url=s3_endpoint).create_bucket(
            Bucket=(name := f"b{uuid.uuid4().hex}")
        )
        return name

    with proxied(s3_endpoint) as proxy:
        monkeypatch.setattr(OnObjectStore, "proxy", proxy, raising=False)
        monkeypatch.setattr(OnObjectStore, "bucket", staticmethod(bucket), raising=False)
        tortured(OnObjectStore, int(os.environ.get("ZSAR_ROOTS", "1")), 6, SEED)
    print(dict(COUNTS))
