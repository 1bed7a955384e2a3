"""A bucket that speaks as much S3 as backups need, on loopback, and refuses whatever is not signed rightly.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html and
https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html.
"""

import hashlib
import hmac
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from urllib.parse import parse_qsl, quote, unquote
from xml.sax.saxutils import escape

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

ACCESS_KEY, SECRET_KEY, REGION, BUCKET = "AKIDEXAMPLE", "canary-secret-key", "eu-central-1", "backups"
TIME = "2026-01-01T00:00:00.000Z"
HTTP_TIME = "Thu, 01 Jan 2026 00:00:00 GMT"


class FakeS3:
    """One bucket.

    `objects` are what is there; `uploads` the parts of uploads that are neither complete nor given up; `largest_part`
    the size of the largest body that came; with `refuse_parts_after` set, later parts get a 500.
    """

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.aborted: list[str] = []
        self.largest_part = 0
        self.refuse_parts_after: int | None = None
        self._numbers = count(1)
        self.app = Starlette(
            routes=[Route("/{path:path}", self.answer, methods=["GET", "HEAD", "PUT", "POST", "DELETE"])]
        )

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        if not is_signed(request, body):
            return fail(403, "SignatureDoesNotMatch")
        bucket, _, key = unquote(request.scope["raw_path"].decode()).lstrip("/").partition("/")
        if bucket != BUCKET:
            return fail(404, "NoSuchBucket")
        if not key:
            return self.list(request.query_params.get("prefix", ""))
        if "uploadId" in request.query_params or "uploads" in request.query_params:
            return self.handle_upload(request, key, body)
        return self.handle_object(request, key, body)

    def list(self, prefix: str) -> Response:
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(value)}</Size><LastModified>{TIME}</LastModified>"
            f'<ETag>"{make_etag(value)}"</ETag></Contents>'
            for key, value in sorted(self.objects.items())
            if key.startswith(prefix)
        )
        return xml(
            f"<ListBucketResult><Name>{BUCKET}</Name><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
        )

    def handle_object(self, request: Request, key: str, body: bytes) -> Response:
        if request.method == "PUT":
            self.objects[key] = body
            return Response(headers={"ETag": f'"{make_etag(body)}"'})
        if request.method == "DELETE":
            self.objects.pop(key, None)
            return Response(status_code=204)
        if key not in self.objects:
            return fail(404, "NoSuchKey")
        whole = self.objects[key]
        headers = {"ETag": f'"{make_etag(whole)}"', "Last-Modified": HTTP_TIME}
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", request.headers.get("range", ""))
        if wanted is None:
            return Response(whole, headers=headers)
        start, end = int(wanted[1]), min(int(wanted[2]) + 1, len(whole))
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(whole)}"
        return Response(whole[start:end], status_code=206, headers=headers)

    def handle_upload(self, request: Request, key: str, body: bytes) -> Response:
        query = request.query_params
        if request.method == "POST" and "uploads" in query:
            upload_id = f"upload-{next(self._numbers)}"
            self.uploads[upload_id] = {}
            return xml(
                f"<InitiateMultipartUploadResult><UploadId>{upload_id}</UploadId></InitiateMultipartUploadResult>"
            )
        upload_id = query["uploadId"]
        if request.method == "PUT":
            number = int(query["partNumber"])
            if self.refuse_parts_after is not None and number > self.refuse_parts_after:
                return fail(403, "AccessDenied")
            self.largest_part = max(self.largest_part, len(body))
            self.uploads[upload_id][number] = body
            return Response(headers={"ETag": f'"{make_etag(body)}"'})
        parts = self.uploads.pop(upload_id)
        if request.method == "DELETE":
            self.aborted.append(upload_id)
            return Response(status_code=204)
        self.objects[key] = b"".join(part for _, part in sorted(parts.items()))
        return xml(f'<CompleteMultipartUploadResult><ETag>"{upload_id}"</ETag></CompleteMultipartUploadResult>')


def is_signed(request: Request, body: bytes) -> bool:
    """Tell whether a request carries signature version 4, made with the secret key over this very request."""
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=(\w+)/(\d{8})/([\w-]+)/s3/aws4_request, ?SignedHeaders=([\w;-]+), ?"
        r"Signature=([0-9a-f]{64})",
        request.headers.get("authorization", ""),
    )
    if found is None or found[1] != ACCESS_KEY or found[3] != REGION:
        return False
    declared = request.headers["x-amz-content-sha256"]
    if declared not in {"UNSIGNED-PAYLOAD", hashlib.sha256(body).hexdigest()}:
        return False
    pairs = sorted(parse_qsl(request.scope["query_string"].decode(), keep_blank_values=True))
    canonical = "\n".join(
        [
            request.method,
            quote(unquote(request.scope["raw_path"].decode()), safe="/-_.~"),
            "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs),
            *(f"{name}:{request.headers[name].strip()}" for name in found[4].split(";")),
            "",
            found[4],
            declared,
        ]
    )
    scope = f"{found[2]}/{REGION}/s3/aws4_request"
    text = "\n".join(
        ["AWS4-HMAC-SHA256", request.headers["x-amz-date"], scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    key = f"AWS4{SECRET_KEY}".encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(hmac.new(key, text.encode(), hashlib.sha256).hexdigest(), found[5])


def make_etag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:32]


def xml(text: str) -> Response:
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>{text}', media_type="application/xml")


def fail(status: int, code: str) -> Response:
    """Return an error as S3 has them; the library reads no more of it than the status."""
    return Response(f"<Error><Code>{code}</Code></Error>", status_code=status, media_type="application/xml")


@asynccontextmanager
async def serve_bucket(bucket: FakeS3) -> AsyncIterator[str]:
    """Yield the address of a bucket that is being served."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(bucket.app, log_level="error", lifespan="off"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.serve, [listening])
            try:
                yield f"http://127.0.0.1:{listening.getsockname()[1]}"
            finally:
                server.should_exit = True
