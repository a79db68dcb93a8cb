"""Checkpoints in an object store that speaks S3."""

from datetime import datetime, timedelta
from uuid import uuid4

import boto3
import pytest

from mlorch_site.audit.checkpointing import checkpoint_write
from mlorch_site.audit.checkpoints import series_of
from mlorch_site.audit.copy_delivery import copies_send, copy_standings
from mlorch_site.audit.models import AuditHead, CopyDelivery
from mlorch_site.audit.verification import verify
from mlorch_site.lib import clock
from tests.support.checkpoint_places import checkpoints, object_store
from tests.support.ports import free_ports
from tests.support.tampering import rewrite


@pytest.fixture(scope="module")
def store():
    with object_store() as address:
        yield address


@pytest.fixture
def bucket(db, settings, tmp_path, store, monkeypatch):
    """An empty bucket with object lock, and where checkpoints are copied to."""
    settings.DATA_DIR, settings.AUDIT_CHECKPOINT_DIR = tmp_path, str(tmp_path / "audit")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = boto3.resource("s3", endpoint_url=store).Bucket(f"checkpoints-{uuid4()}")
    bucket.create(ObjectLockEnabledForBucket=True)
    settings.AUDIT_COPY_S3, settings.AUDIT_COPY_S3_ENDPOINT = f"s3://{bucket.name}/of/mlorch", store
    return bucket


def send() -> str:
    """Send what is due, and the error there was."""
    CopyDelivery.objects.update(next_attempt_at=clock.now())
    copies_send(now=clock.now())
    return copy_standings()[0].last_error


def versions(bucket) -> list[str]:
    return sorted(version.object_key for version in bucket.object_versions.all())


def test_object_copy__has_an_object_for_each_checkpoint(bucket):
    made = checkpoints(2)
    assert send() == ""

    series = series_of(made[0].line())
    names = versions(bucket)
    assert [name.partition("-")[0] for name in names] == [
        f"of/mlorch/{series}/{size:015d}" for size in (made[0].size, made[1].size)
    ]
    assert bucket.Object(names[1]).get()["Body"].read() == made[1].line()


def test_object_copy__sent_again__leaves_what_is_there(bucket):
    checkpoints(2)
    send()
    CopyDelivery.objects.all().delete()
    checkpoints(1)

    assert send() == ""
    assert len(versions(bucket)) == len(set(versions(bucket))) == 3


def test_object_copy__object_of_that_name_with_other_content__is_not_overwritten(bucket):
    checkpoints(1)
    send()
    (key,) = versions(bucket)
    bucket.Object(key).put(Body=b"other")
    CopyDelivery.objects.all().delete()
    send()

    assert bucket.Object(key).get()["Body"].read() == b"other"
    assert verify().problem.startswith("There is a line that is no checkpoint")
    assert f"s3://{bucket.name}/of/mlorch" in verify().problem


def test_object_copy__may_be_locked_for_days(bucket, settings):
    settings.AUDIT_COPY_S3_RETAIN_DAYS = 400
    (made,) = checkpoints(1)
    assert send() == ""
    (key,) = versions(bucket)

    assert bucket.Object(key).object_lock_mode == "COMPLIANCE"
    until = datetime.fromisoformat(made.at).replace(microsecond=0) + timedelta(days=400)
    assert bucket.Object(key).object_lock_retain_until_date.replace(microsecond=0) == until


@pytest.mark.parametrize("name", ["another-bucket", ""])
def test_object_copy__place_that_does_not_exist__is_a_sentence(bucket, settings, name):
    settings.AUDIT_COPY_S3 = f"s3://{name}"
    checkpoints(1)

    expected = "refuses it (NoSuchBucket" if name else "MLORCH_AUDIT_COPY_S3 has to be s3://bucket"
    assert expected in send()


def test_object_copy__store_away__is_a_sentence_and_sent_later(bucket, settings, store):
    settings.AUDIT_COPY_S3_ENDPOINT = f"http://127.0.0.1:{free_ports(1)[0]}"
    checkpoints(2)
    assert "cannot be asked (Could not connect" in send()
    assert "could not be read and was not compared" in verify().note
    settings.AUDIT_COPY_S3_ENDPOINT = store

    assert send() == ""
    assert len(versions(bucket)) == 2


def test_verify__what_others_keep_in_the_bucket__is_left_alone(bucket):
    checkpoints(1)
    send()
    for key in ("of/mlorch/readme.txt", "of/mlorch/more/readme.txt", "else.json"):
        bucket.Object(key).put(Body=b"of somebody's")

    assert verify().holds


def test_verify__record_and_file_written_anew__the_store_tells(bucket, tmp_path):
    checkpoints(3)
    send()
    assert verify().compared == (str(tmp_path / "audit" / "checkpoints.jsonl"), copy_standings()[0].label)
    rewrite()
    (tmp_path / "audit" / "checkpoints.jsonl").unlink()
    AuditHead.objects.update(checkpoint_size=0)
    checkpoint_write(now=clock.now())

    assert verify().problem.endswith(f"they were rewritten, as s3://{bucket.name}/of/mlorch at 127.0.0.1 shows.")
