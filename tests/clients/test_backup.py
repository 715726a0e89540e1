"""Backups in a bucket: taken, listed, checked, pruned and restored by the built program, with another
storage's idea of S3 (moto) on the other side.

It never looks at how a backup is stored, except to damage it.
"""

import json

import boto3
import pytest
from moto.server import ThreadedMotoServer
from program import lines, run

BUCKET = "backups"


@pytest.fixture(scope="module")
def storage():
    """The variables with which the program finds an empty bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    variables = {
        "AWS_ENDPOINT": f"http://{host}:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    objects(variables).create_bucket(Bucket=BUCKET)
    yield variables
    server.stop()


def objects(storage: dict):
    """The bucket, by the storage's own client."""
    return boto3.client(
        "s3",
        endpoint_url=storage["AWS_ENDPOINT"],
        region_name=storage["AWS_REGION"],
        aws_access_key_id=storage["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=storage["AWS_SECRET_ACCESS_KEY"],
    )


def printed(storage: dict, *arguments: str) -> list[dict]:
    done = run("--json", *arguments, **storage)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_bucket_keeps_backups(own_server, storage, tmp_path):
    server = own_server()
    at = f"s3://{BUCKET}/of/this"
    backup = ("backup", "--addr", server.address, "--to", at)
    lines(server, "publish", "alice", "first")
    (first,) = printed(storage, *backup)
    lines(server, "publish", "alice", "second")
    (second,) = printed(storage, *backup)
    assert (first["backup"]["revision"], second["backup"]["revision"]) == (1, 2)
    (again,) = printed(storage, *backup)
    assert again["backup"]["newSegments"] == 0

    names = [line["backup"]["name"] for line in printed(storage, "backup", "list", "--at", at)]
    assert names[0] == first["backup"]["name"] and names[-1] == again["backup"]["name"]
    (checked,) = printed(storage, "backup", "check", "--at", at)
    assert checked["checkedBackups"]["segments"] == 2
    (pruned,) = printed(storage, "backup", "prune", "--at", at, "--keep", "1")
    assert pruned["pruned"]["segments"] == 1

    data = tmp_path / "restored"
    (restored,) = printed(storage, "restore", "--from", at, "--data", str(data))
    assert restored["restored"]["chain"] == again["backup"]["chain"]
    assert run("check", "--data", str(data)).returncode == 0


def test_a_damaged_object_is_named(own_server, storage, tmp_path):
    server = own_server()
    at = f"s3://{BUCKET}/damaged"
    lines(server, "publish", "alice", "first")
    (taken,) = printed(storage, "backup", "--addr", server.address, "--to", at)
    name = f"damaged/backups/{taken['backup']['name']}.json"
    bucket = objects(storage)
    manifest = json.load(bucket.get_object(Bucket=BUCKET, Key=name)["Body"])
    segment = f"segments/{manifest['segments'][0]['sha256']}.seg"
    key = {"Bucket": BUCKET, "Key": f"damaged/{segment}"}
    content = bytearray(bucket.get_object(**key)["Body"].read())
    content[len(content) // 2] ^= 1
    bucket.put_object(**key, Body=bytes(content))
    for verb in (
        ("backup", "check", "--at", at),
        ("restore", "--from", at, "--data", str(tmp_path / "new")),
    ):
        done = run(*verb, **storage)
        assert done.returncode == 1 and segment in done.stderr, done.stderr


def test_a_wrong_destination_is_reported(storage):
    done = run("backup", "list", "--at", "s3://elsewhere/", **storage)
    assert done.returncode == 1 and "s3://elsewhere" in done.stderr, done.stderr
    done = run("backup", "list", "--at", "ftp://elsewhere/", **storage)
    assert done.returncode == 2 and "ftp" in done.stderr, done.stderr
