"""Object stores of this machine: S3 as moto's server speaks it, Azure's as Azurite does.

Tests of object stores have S3; `ZSAR_STORE=azure` gives them Azure's, where `azurite-blob` is on the PATH.
"""

import base64
import contextlib
import datetime
import hmac
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator

import pytest

from stores.root import Root

_ACCOUNT = "devstoreaccount1"
_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="  # of every emulator


@contextlib.contextmanager
def _served(command: Callable[[int], list[str]], folder: str | None = None) -> Iterator[str]:
    """A server in a process of its own, on a free port; its URL, once it answers there."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(command(port), cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(150):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Moto's server.

    One for all tests of a process: fsspec keeps a file system for each set of arguments, and the endpoint, which
    comes from the environment, is none of them, so a second server would not be asked.
    """
    with _served(lambda port: [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]) as url:
        yield url


@pytest.fixture
def s3_root(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Root:
    """A root in a bucket of its own."""
    import boto3

    settings = {
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_REGION": "us-east-1",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    bucket = f"b{uuid.uuid4().hex}"
    boto3.client("s3", region_name="us-east-1", endpoint_url=s3_endpoint).create_bucket(Bucket=bucket)
    return Root(f"s3://{bucket}/cache")


@pytest.fixture(scope="session")
def azurite() -> Iterator[str]:
    """Azure's store as `azurite-blob` speaks it (npm install azurite)."""
    program = shutil.which("azurite-blob")
    if not program:
        pytest.skip("azurite-blob is not on the PATH: `npm install azurite`, then node_modules/.bin")
    told = [program, "--inMemoryPersistence", "--skipApiVersionCheck", "--silent", "--disableTelemetry", "--blobPort"]
    with tempfile.TemporaryDirectory() as folder, _served(lambda port: [*told, str(port)], folder) as url:
        yield url


@pytest.fixture
def azure_root(azurite: str, monkeypatch: pytest.MonkeyPatch) -> Root:
    """A root in a container of its own."""
    settings = {
        "AZURE_STORAGE_ACCOUNT_NAME": _ACCOUNT,
        "AZURE_STORAGE_ACCOUNT_KEY": _KEY,
        "AZURE_STORAGE_USE_EMULATOR": "true",
        "AZURITE_BLOB_STORAGE_URL": azurite,
        "AZURE_ALLOW_HTTP": "true",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    container = f"b{uuid.uuid4().hex}"
    made = datetime.datetime.now(datetime.UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    about = {"x-ms-date": made, "x-ms-version": "2021-08-06"}
    signed = "PUT" + "\n" * 12 + "".join(f"{name}:{value}\n" for name, value in about.items())
    signed += f"/{_ACCOUNT}/{_ACCOUNT}/{container}\nrestype:container"
    digest = base64.b64encode(hmac.digest(base64.b64decode(_KEY), signed.encode(), "sha256")).decode()
    about |= {"Authorization": f"SharedKey {_ACCOUNT}:{digest}", "Content-Length": "0"}
    url = f"{azurite}/{_ACCOUNT}/{container}?restype=container"
    urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=about)).close()
    return Root(f"az://{container}/cache")


@pytest.fixture
def object_root(request: pytest.FixtureRequest) -> Root:
    """A root on an object store: S3, or what `$ZSAR_STORE` says (`azure`)."""
    found: Root = request.getfixturevalue(f"{os.environ.get('ZSAR_STORE', 's3')}_root")
    return found
