"""A storage with the API of S3 (moto), of which a test decides what becomes of each object that is put there.

It never looks into an object.
"""

import io
import threading
from collections.abc import Callable

import boto3
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

BUCKET = "backups"


class Storage:
    """The storage as a server, with an empty bucket."""

    def __init__(self):
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(
            "127.0.0.1", 0, self._answer, threaded=True, request_handler=MotoRequestHandler
        )
        # Called with the key and the bytes of an object before it is there. Returns the bytes that are kept,
        # or none if the request is refused.
        self.put: Callable[[str, bytes], bytes | None] = lambda _, content: content
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.bucket.create_bucket(Bucket=BUCKET)

    def stop(self):
        self._server.shutdown()

    @property
    def variables(self) -> dict[str, str]:
        """The variables with which the program finds it."""
        return {
            "AWS_ENDPOINT": f"http://127.0.0.1:{self._server.server_port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }

    @property
    def bucket(self):
        """The storage's own client."""
        variables = self.variables
        return boto3.client(
            "s3",
            endpoint_url=variables["AWS_ENDPOINT"],
            region_name=variables["AWS_REGION"],
            aws_access_key_id=variables["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=variables["AWS_SECRET_ACCESS_KEY"],
        )

    def keys(self, prefix: str) -> list[str]:
        """The keys of all objects that begin with `prefix`."""
        pages = self.bucket.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return [found["Key"] for page in pages for found in page.get("Contents", [])]

    def _answer(self, environ, start_response):
        _, _, key = environ["PATH_INFO"].removeprefix("/").partition("/")
        if environ["REQUEST_METHOD"] == "PUT" and key:
            content = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
            kept = self.put(key, content)
            if kept is None:
                start_response("403 Forbidden", [("Content-Length", "0")])
                return [b""]
            environ |= {"wsgi.input": io.BytesIO(kept), "CONTENT_LENGTH": str(len(kept))}
        return self._moto(environ, start_response)
