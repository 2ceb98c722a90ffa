"""`python -m tests.torture [--kills 100] [--races 100] [--minutes 60]`: tried and held, a line a kind.

Roots on a disk and on an object store (moto's server, behind a proxy that is a bad network), each tortured as
`machine` says, until so many processes were killed and so many pairs raced on each, or the time is up.
"""

import argparse
import os
import socket
import subprocess
import sys
import time
import traceback
import urllib.request
import uuid

import boto3

from tests.stores.proxy import proxied
from tests.torture.machine import COUNTS, OnObjectStore, Torture
from tests.torture.test_torture import tortured

STEPS = 12


def main() -> int:
    """Torture, and say what held."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("kills", 100), ("races", 100), ("minutes", 60), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--on", choices=("disk", "store"), help="of the two; else both, one after the other")
    asked = parser.parse_args()
    fell = 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        os.environ |= {"AWS_ENDPOINT_URL": url, "AWS_REGION": "us-east-1"}
        os.environ |= {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
        client = boto3.client("s3", region_name="us-east-1", endpoint_url=url)
        _wait(f"{url}/moto-api/")

        def bucket() -> str:
            name = f"b{uuid.uuid4().hex}"
            client.create_bucket(Bucket=name)
            return name

        with proxied(url) as proxy:
            OnObjectStore.proxy, OnObjectStore.bucket = proxy, staticmethod(bucket)
            if asked.on != "store":
                fell += _until(Torture, "disk", asked.kills, asked)
            if asked.on != "disk":
                fell += _until(OnObjectStore, "object store", 0, asked)
    finally:
        server.terminate()
        server.wait()
    return 1 if fell else 0


def _until(machine: type[Torture], where: str, kills: int, asked: argparse.Namespace) -> int:
    COUNTS.clear()
    fell, seed, ends = 0, asked.seed, time.monotonic() + 30 * asked.minutes
    while (COUNTS["kills"] < kills or COUNTS["races"] < asked.races) and time.monotonic() < ends:
        try:
            tortured(machine, 2, STEPS, seed)
        except Exception:
            fell += 1
            print(f"seed {seed} on {where} did not hold:\n{traceback.format_exc()}", flush=True)
        seed += 1
        print(f"  {where}, seeds {asked.seed}-{seed - 1}: {dict(COUNTS)}", flush=True)
    tried = ", ".join(f"{count} {what}" for what, count in sorted(COUNTS.items()))
    print(f"{where}: tried {tried}; seeds that did not hold: {fell}", flush=True)
    return fell


def _wait(url: str) -> None:
    for _ in range(100):
        try:
            urllib.request.urlopen(url).close()
            return
        except OSError:
            time.sleep(0.2)


if __name__ == "__main__":
    sys.exit(main())
