"""The Python client, generated from the protos while this module is imported.

What a user of the API would do at build time; nothing generated is kept.
"""

import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc
from server import REPOSITORY

_FOLDER = tempfile.TemporaryDirectory(prefix="whimbrel-stubs-")
_PROTO = REPOSITORY / "proto"
_GOOGLE_PROTO = Path(grpc_tools.__file__).parent / "_proto"

_failed = protoc.main(
    [
        "protoc",
        f"-I{_PROTO}",
        f"-I{_GOOGLE_PROTO}",
        f"--python_out={_FOLDER.name}",
        f"--grpc_python_out={_FOLDER.name}",
        *(str(path) for path in sorted(_PROTO.rglob("*.proto"))),
    ]
)
assert not _failed, "the protos do not compile for Python"
sys.path.insert(0, _FOLDER.name)

from whimbrel.v1 import error_reason_pb2 as reasons  # noqa: E402, F401
from whimbrel.v1 import feed_service_pb2 as v1  # noqa: E402, F401
from whimbrel.v1 import feed_service_pb2_grpc as v1_grpc  # noqa: E402, F401
from whimbrel.v1 import graph_service_pb2 as graph  # noqa: E402, F401
from whimbrel.v1 import graph_service_pb2_grpc as graph_grpc  # noqa: E402, F401
from whimbrel.v1 import log_service_pb2 as log  # noqa: E402, F401
from whimbrel.v1 import log_service_pb2_grpc as log_grpc  # noqa: E402, F401
from whimbrel.v1 import meta_service_pb2 as meta  # noqa: E402, F401
from whimbrel.v1 import meta_service_pb2_grpc as meta_grpc  # noqa: E402, F401
from whimbrel.v1 import notification_service_pb2 as notifications  # noqa: E402, F401
from whimbrel.v1 import notification_service_pb2_grpc as notifications_grpc  # noqa: E402, F401
from whimbrel.v1 import post_service_pb2 as posts  # noqa: E402, F401
from whimbrel.v1 import post_service_pb2_grpc as posts_grpc  # noqa: E402, F401
from whimbrel.v1 import stream_pb2 as streams  # noqa: E402, F401
