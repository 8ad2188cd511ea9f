"""A real moto server on loopback, and a gate before it: pages as AWS makes them, refusals where a test wants them.

moto answers in one page what AWS would page, and its credential report has no line of the root user: the gate mends
both, so that what the collector sees is what AWS sends. It also keeps which IAM action each request needs.
"""

from __future__ import annotations

import base64
import http.client
import http.server
import threading
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit
from xml.etree import ElementTree as ET

import boto3
import requests
from botocore.config import Config
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

ACCOUNT = "123456789012"
REGIONS = ("eu-central-1", "eu-west-1")
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing-secret-never-shown",
    "AWS_EC2_METADATA_DISABLED": "true",
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",  # moto would load them anew for each test
    "AWS_CONFIG_FILE": "/nonexistent/config",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent/credentials",
}
Canned = tuple[int, bytes]
ROOT_LINE = (
    "<root_account>,arn:aws:iam::123456789012:root,2020-01-01T00:00:00+00:00,not_supported,2026-11-20T10:00:00+00:00,"
    "not_supported,not_supported,false,true,2020-01-01T00:00:00+00:00,2026-11-22T10:00:00+00:00,us-east-1,s3,"
    "false,N/A,N/A,N/A,N/A,false,N/A,false,N/A\n"
)
# Of S3, by what the query asks for.
_S3 = {
    "location": "s3:GetBucketLocation",
    "versioning": "s3:GetBucketVersioning",
    "object-lock": "s3:GetBucketObjectLockConfiguration",
    "lifecycle": "s3:GetLifecycleConfiguration",
    "encryption": "s3:GetEncryptionConfiguration",
    "publicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "policy": "s3:GetBucketPolicy",
    "policyStatus": "s3:GetBucketPolicyStatus",
    "acl": "s3:GetBucketAcl",
    "website": "s3:GetBucketWebsite",
    "tagging": "s3:GetBucketTagging",
}
_OF_THE_HOP = ("host", "connection", "content-length", "accept-encoding", "expect")
_SERVICES = {"2010-05-08": "iam", "2016-11-15": "ec2", "2011-06-15": "sts"}


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: Any) -> None:
        pass


class Moto:
    """The server, while the `with` block runs; its state is this process's."""

    def __enter__(self) -> Self:
        application = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Quiet)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def reset(self) -> None:
        """Forget everything. With MOTO_IAM_LOAD_MANAGED_POLICIES=true, AWS's own policies are there then."""
        requests.post(f"{self.url}/moto-api/reset", timeout=30).raise_for_status()

    def client(self, service: str, region: str = REGIONS[0]) -> Any:
        """Return a client with credentials that moto takes."""
        return boto3.client(
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            config=Config(s3={"addressing_style": "path"}, ignore_configured_endpoint_urls=True),
        )


class Gate:
    """Stands before moto while the `with` block runs.

    answer: given the IAM action a request needs and what it is about (a bucket, else the body), returns an answer,
    or None to let moto answer. asked: how often each action was; requests: path and body of each.
    """

    def __init__(self, moto: Moto, answer: Callable[[str, str], Canned | None] = lambda _action, _about: None) -> None:
        self._moto, self._answer = moto, answer
        self.asked: Counter[str] = Counter()
        self.requests: list[tuple[str, str]] = []
        self._whole: dict[tuple[str, str], list[tuple[str, bytes]]] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                self.upstream = http.client.HTTPConnection(urlsplit(outer._moto.url).netloc, timeout=120)

            def finish(self) -> None:
                self.upstream.close()
                super().finish()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, kind, answer = outer._handle(self, body)
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def do_GET(self) -> None:
                self.do_POST()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handle(self, handler: Any, body: bytes) -> tuple[int, str, bytes]:
        path, text = handler.path, body.decode()
        action, about = _action(path, text)
        with self._lock:
            self.asked[action] += 1
            self.requests.append((path, text))
        canned = self._answer(action, about)
        if canned is not None:
            return canned[0], "text/xml", canned[1]
        headers = {name: value for name, value in handler.headers.items() if name.lower() not in _OF_THE_HOP}
        if action in _PAGED:
            return 200, "text/xml", self._page(action, handler, path, text, headers)
        status, kind, answer = _forward(handler.upstream, handler.command, path, body, headers)
        if action == "iam:GetCredentialReport" and status == 200:
            answer = _with_root(answer)
        return status, kind, answer

    def _page(self, action: str, handler: Any, path: str, body: str, headers: dict[str, str]) -> bytes:
        """Return one page of what moto answers whole, asked anew for each first page."""
        paged = _PAGED[action]
        asked = dict(parse_qsl(body or urlsplit(path).query, keep_blank_values=True))
        size, start = int(asked.pop(paged.size, "1000")), int(asked.pop(paged.token, "0"))
        key = (action, headers["Authorization"].split("/")[2])
        with self._lock:
            if start == 0:
                target = path if body else f"{urlsplit(path).path}?{urlencode(asked)}"
                sent = urlencode(asked).encode() if body else b""
                root = _parsed(_forward(handler.upstream, handler.command, target, sent, headers)[2])
                self._whole[key] = [
                    (_local(found.tag), ET.tostring(item))
                    for found in root.iter()
                    if _local(found.tag) in paged.lists
                    for item in found
                ]
            whole = self._whole[key]
        items = whole[start : start + size]
        inside = b"".join(
            b"<%s>%s</%s>" % (name, b"".join(item for of, item in items if of.encode() == name), name)
            for name in (one.encode() for one in paged.lists)
        )
        if start + size < len(whole):
            inside += f"<{paged.answer}>{start + size}</{paged.answer}>".encode()
            inside += b"<IsTruncated>true</IsTruncated>"
        opening, closing = paged.around
        return opening + inside + closing


@dataclass(frozen=True)
class _Paged:
    """How AWS pages a call. size, token: parameters; lists: what is paged; answer: the next token; around: the rest."""

    size: str
    token: str
    lists: tuple[str, ...]
    answer: str
    around: tuple[bytes, bytes]


_DETAILS = b"GetAccountAuthorizationDetails"
_PAGED = {
    "iam:GetAccountAuthorizationDetails": _Paged(
        "MaxItems",
        "Marker",
        ("UserDetailList", "GroupDetailList", "RoleDetailList", "Policies"),
        "Marker",
        (b"<%sResponse><%sResult>" % (_DETAILS, _DETAILS), b"</%sResult></%sResponse>" % (_DETAILS, _DETAILS)),
    ),
    "ec2:DescribeSecurityGroups": _Paged(
        "MaxResults", "NextToken", ("securityGroupInfo",), "nextToken", (b"<R>", b"</R>")
    ),
    "ec2:DescribeNetworkInterfaces": _Paged(
        "MaxResults", "NextToken", ("networkInterfaceSet",), "nextToken", (b"<R>", b"</R>")
    ),
    "s3:ListAllMyBuckets": _Paged(
        "max-buckets", "continuation-token", ("Buckets",), "ContinuationToken", (b"<R>", b"</R>")
    ),
}


def refusal(code: str, status: int = 403) -> Canned:
    """Return an answer with an error code, as IAM, EC2 and S3 all understand it."""
    said = f"<Code>{code}</Code><Message>not repeated: AKIAIOSFODNN7EXAMPLE</Message>"
    if status == 503 or code.startswith("NoSuchBucket"):
        return status, f"<Error>{said}</Error>".encode()
    return status, f"<ErrorResponse><Error>{said}</Error></ErrorResponse>".encode()


REPORT_HEADER = (
    "user,arn,user_creation_time,password_enabled,password_last_used,password_last_changed,password_next_rotation,"
    "mfa_active,access_key_1_active,access_key_1_last_rotated,access_key_1_last_used_date,access_key_1_last_used_region,"
    "access_key_1_last_used_service,access_key_2_active,access_key_2_last_rotated,access_key_2_last_used_date,"
    "access_key_2_last_used_region,access_key_2_last_used_service,cert_1_active,cert_1_last_rotated,cert_2_active,"
    "cert_2_last_rotated\n"
)


def report(text: str = REPORT_HEADER + ROOT_LINE) -> Canned:
    """Return the answer to GetCredentialReport with this content."""
    content = base64.b64encode(text.encode()).decode()
    return 200, f"<R><GetCredentialReportResult><Content>{content}</Content></GetCredentialReportResult></R>".encode()


def _action(path: str, body: str) -> tuple[str, str]:
    """Return the IAM action that a request needs, and the bucket it is about, or its body."""
    if body and "Action=" in body:
        asked = parse_qs(body)
        return f"{_SERVICES[asked['Version'][0]]}:{asked['Action'][0]}", body
    parts = urlsplit(path)
    if parts.path.startswith("/v20180820/"):
        return "s3:GetAccountPublicAccessBlock", ""
    bucket = parts.path.strip("/")
    if not bucket:
        return "s3:ListAllMyBuckets", ""
    names = [name for name in parse_qs(parts.query, keep_blank_values=True) if name in _S3]
    return (_S3[names[0]] if len(names) == 1 else f"s3:unknown {path}"), bucket


def _forward(
    upstream: http.client.HTTPConnection, method: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, str, bytes]:
    upstream.request(method, path, body, headers)
    response = upstream.getresponse()
    return response.status, response.headers.get("Content-Type", "text/xml"), response.read()


def _with_root(answer: bytes) -> bytes:
    root = _parsed(answer)
    for found in root.iter():
        if _local(found.tag) == "Content":
            header, _, rest = base64.b64decode(found.text or "").decode().partition("\n")
            found.text = base64.b64encode(f"{header}\n{ROOT_LINE}{rest}".encode()).decode()
    return ET.tostring(root)


def _parsed(answer: bytes) -> ET.Element:
    return ET.fromstring(answer)  # noqa: S314 -- of a server of this process


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
