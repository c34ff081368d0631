"""A bucket as the README sets it up, and a process that measures itself while it uses one.

python -m tests.attachments.buckets DIRECTION FOLDER ENDPOINT
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Any

from boto3.s3.transfer import TransferConfig

from benchmarks.attachments import measure, set_up

BACKEND = "storages.backends.s3.S3Storage"
BUCKET = "support-tickets"


def options(endpoint: str, **changes: Any) -> dict[str, Any]:
    """Return the OPTIONS that the README names, and those that lead to a fake S3."""
    return {
        "bucket_name": BUCKET,
        "region_name": "eu-central-1",
        "signature_version": "s3v4",
        "file_overwrite": False,
        "default_acl": "private",
        "max_memory_size": 2_500_000,
        "transfer_config": TransferConfig(use_threads=False, multipart_chunksize=5 * 1024 * 1024),
        "access_key": "access",
        "secret_key": "secret",
        "endpoint_url": endpoint,
        "addressing_style": "path",
        **changes,
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    direction, folder, endpoint = sys.argv[1:]
    set_up(Path(folder), endpoint, {"BACKEND": BACKEND, "OPTIONS": options(endpoint)})
    measure(direction, Path(folder), endpoint)
