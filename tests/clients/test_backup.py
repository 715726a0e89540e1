"""Backups in a bucket: taken, listed, checked, pruned and restored by the built program, with another
storage's idea of S3 (moto) on the other side.

It never looks at how a backup is stored, except to damage it.
"""

import json

import pytest
from program import lines, run
from storage import BUCKET, Storage


@pytest.fixture(scope="module")
def altered():
    """The storage, of which a test decides what it keeps."""
    storage = Storage()
    yield storage
    storage.stop()


@pytest.fixture
def storage(altered):
    """The variables with which the program finds the storage, which keeps what it is given."""
    keeps = altered.put
    yield altered.variables
    altered.put = keeps


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


def test_a_damaged_object_is_named(own_server, altered, storage, tmp_path):
    server = own_server()
    at = f"s3://{BUCKET}/damaged"
    lines(server, "publish", "alice", "first")
    (taken,) = printed(storage, "backup", "--addr", server.address, "--to", at)
    name = f"damaged/backups/{taken['backup']['name']}.json"
    bucket = altered.bucket
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


def test_a_listing_has_several_pages(own_server, altered, storage, tmp_path):
    server = own_server()
    at = f"s3://{BUCKET}/many"
    # A storage lists a thousand objects at once, in the order of their names. These come before all others.
    bucket = altered.bucket
    others = [f"many/segments/-{number:04}.seg" for number in range(1_000)]
    for key in others:
        bucket.put_object(Bucket=BUCKET, Key=key, Body=b"of no backup")
    lines(server, "publish", "alice", "first")
    (taken,) = printed(storage, "backup", "--addr", server.address, "--to", at)
    assert taken["backup"]["newSegments"] == 1
    (again,) = printed(storage, "backup", "--addr", server.address, "--to", at)
    assert again["backup"]["newSegments"] == 0, "the segment is listed"

    data = tmp_path / "restored"
    (restored,) = printed(storage, "restore", "--from", at, "--data", str(data))
    assert restored["restored"]["chain"] == again["backup"]["chain"]
    (pruned,) = printed(storage, "backup", "prune", "--at", at, "--keep", "1")
    assert pruned["pruned"]["segments"] == len(others)
    (segment,) = altered.keys("many/segments/")
    assert segment not in others


def test_a_manifest_is_written_last(own_server, altered, storage):
    server = own_server()
    at = f"s3://{BUCKET}/order"
    backup = ("backup", "--addr", server.address, "--to", at)
    written, lacking = [], []

    def put(key: str, content: bytes) -> bytes:
        if "/backups/" in key:
            named = [segment["sha256"] for segment in json.loads(content)["segments"]]
            there = altered.keys("order/segments/")
            lacking.extend(it for it in named if f"order/segments/{it}.seg" not in there)
        written.append(key.split("/")[1])
        return content

    altered.put = put
    for text in ("first", "second"):
        lines(server, "publish", "alice", text)
        printed(storage, *backup)
        assert "segments" in written and written[-1] == "backups", written
        assert written.count("backups") == 1 and not lacking, (written, lacking)
        written.clear()


def test_an_object_that_is_not_kept_is_no_backup(own_server, altered, storage):
    server = own_server()
    at = f"s3://{BUCKET}/lost"
    backup = ("backup", "--addr", server.address, "--to", at)
    lines(server, "publish", "alice", "first")
    for is_refused, why in ((False, "take it again"), (True, "segments/")):

        def put(key: str, content: bytes, is_refused=is_refused) -> bytes | None:
            if "/segments/" not in key:
                return content
            return None if is_refused else content[: len(content) // 2]

        altered.put = put
        done = run(*backup, **storage)
        assert done.returncode == 1 and why in done.stderr, done.stderr
        assert printed(storage, "backup", "list", "--at", at) == []
    altered.put = lambda _, content: content
    (taken,) = printed(storage, *backup)
    assert taken["backup"]["newSegments"] == 1, "what is not whole is put there again"
    printed(storage, "backup", "check", "--at", at)


def test_a_wrong_destination_is_reported(storage):
    done = run("backup", "list", "--at", "s3://elsewhere/", **storage)
    assert done.returncode == 1 and "s3://elsewhere" in done.stderr, done.stderr
    done = run("backup", "list", "--at", "ftp://elsewhere/", **storage)
    assert done.returncode == 2 and "ftp" in done.stderr, done.stderr
