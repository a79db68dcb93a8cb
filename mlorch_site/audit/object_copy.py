"""Checkpoints in an object store that speaks S3: one object each, which is put only where there is none."""

import re
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from mlorch_site.audit.checkpoints import HASH_HEX_CHARS, LINE_MAX_BYTES, line_hash, read_checkpoint
from mlorch_site.lib.errors import Unavailable

CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 15
SIZE_DIGITS = 15  # so that names are in the order of sizes
OURS = re.compile(rf"\d{{{SIZE_DIGITS}}}-[0-9a-f]{{{HASH_HEX_CHARS}}}\.json")  # others may keep things there too
OBJECTS_READ_MAX = 2000
SAID_MAX_CHARS = 300
THERE_ALREADY = 412  # the answer to a put that demands that there is nothing yet


@dataclass(frozen=True)
class ObjectCopy:
    """A bucket and what the names begin with, as `s3://bucket/prefix`; at AWS, or at another `endpoint`.

    With `retain_days` the store is told to let nobody change or delete an object for so long (object lock, compliance).
    Credentials and region are found where AWS's own tools find them.
    """

    address: str
    endpoint: str = ""
    retain_days: int = 0
    kind = "object store"
    keeps = True
    at_once = 1

    @property
    def label(self) -> str:
        return self.address + (f" at {urlsplit(self.endpoint).hostname}" if self.endpoint else "")

    def send(self, series: str, lines: list[bytes]) -> None:
        bucket, prefix = self._place
        for line in lines:
            with _clear(self.label):
                self._put(bucket, f"{prefix}{series}/{_name_of(line)}", line)

    def _put(self, bucket: str, key: str, line: bytes) -> None:
        from botocore.exceptions import ClientError  # see _client

        wanted: dict[str, Any] = {"IfNoneMatch": "*", "ChecksumAlgorithm": "SHA256", "ContentType": "application/json"}
        if self.retain_days:
            until = datetime.fromisoformat(read_checkpoint(line).at) + timedelta(days=self.retain_days)
            wanted |= {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}
        try:
            self._client.put_object(Bucket=bucket, Key=key, Body=line, **wanted)
        except ClientError as error:
            # The name holds the hash of the content: what is there is the same, or is found by who verifies.
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != THERE_ALREADY:
                raise

    def read(self, known: Collection[str]) -> dict[str, list[bytes]]:
        """What is not known, and the newest of each series; the names tell the rest."""
        bucket, prefix = self._place
        found: dict[str, list[bytes]] = {}
        with _clear(self.label):
            for series, names in self._names(bucket, prefix).items():
                wanted = [name for name in names if _hash_in(name) not in known or name == names[-1]]
                if len(wanted) > OBJECTS_READ_MAX:
                    raise Unavailable(f"{len(wanted)} objects are unknown here, more than {OBJECTS_READ_MAX} are read.")
                found[series] = [self._content(bucket, f"{prefix}{series}/{name}") for name in wanted]
        return found

    def _names(self, bucket: str, prefix: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
            for entry in page.get("Contents", []):
                series, _, name = entry["Key"].removeprefix(prefix).partition("/")
                if OURS.fullmatch(name):
                    found[series].append(name)
        return {series: sorted(names) for series, names in found.items()}

    def _content(self, bucket: str, key: str) -> bytes:
        content: bytes = self._client.get_object(Bucket=bucket, Key=key)["Body"].read(LINE_MAX_BYTES)
        return content

    @property
    def _place(self) -> tuple[str, str]:
        try:
            target = urlsplit(self.address)
        except ValueError:
            target = urlsplit("")
        if target.scheme != "s3" or not target.netloc:
            raise Unavailable("MLORCH_AUDIT_COPY_S3 has to be s3://bucket or s3://bucket/prefix.")
        prefix = target.path.strip("/")
        return target.netloc, f"{prefix}/" if prefix else ""

    @cached_property
    def _client(self) -> Any:
        # Imported where a store is configured only: it takes a quarter of a second and 20 MB in every process.
        import boto3
        from botocore.config import Config  # the same

        config = Config(
            connect_timeout=CONNECT_TIMEOUT_S, read_timeout=ANSWER_TIMEOUT_S, retries={"total_max_attempts": 1}
        )
        return boto3.session.Session().client("s3", endpoint_url=self.endpoint or None, config=config)


def _name_of(line: bytes) -> str:
    return f"{read_checkpoint(line).size:0{SIZE_DIGITS}d}-{line_hash(line)}.json"


def _hash_in(name: str) -> str:
    return name.partition("-")[2].removesuffix(".json")


@contextmanager
def _clear(label: str) -> Iterator[None]:
    """Turn what the library raises into a sentence."""
    from botocore.exceptions import BotoCoreError, ClientError  # see _client

    try:
        yield
    except ClientError as error:
        said = error.response.get("Error", {})
        reason = f"{said.get('Code', '')}: {said.get('Message', '')}"[:SAID_MAX_CHARS]
        raise Unavailable(f"{label} refuses it ({reason}).") from error
    except (BotoCoreError, ValueError) as error:
        raise Unavailable(f"{label} cannot be asked ({str(error)[:SAID_MAX_CHARS]}).") from error
