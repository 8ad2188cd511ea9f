"""One call to AWS by the IAM action it needs: an answer, None where nothing is configured, or an error that says why.

Invariant: only what stands in `CALLS` is ever called, all of it reads alone, and deploy/aws-collector-policy.json
grants exactly that (a test compares them).
"""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from botocore import exceptions
from botocore.parsers import ResponseParserError

from guardian.collectors.aws_errors import CERTIFICATE, FORBIDDEN, GONE, UNREACHABLE, AwsError, malformed
from guardian.collectors.aws_session import THREADS, Session
from guardian.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType

    from guardian.settings import AwsCollector

IDENTITY: Final = "sts:GetCallerIdentity"
PAGE: Final = 500  # objects; account details come with policies, so that a page may hold some megabytes
_DEADLINE_S: Final = 3600
_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True, slots=True)
class _Call:
    """service, method: as boto3 names them. absent: the code that says that nothing is configured."""

    service: str
    method: str
    absent: str = ""


CALLS: Final = {
    IDENTITY: _Call("sts", "get_caller_identity"),
    "iam:GenerateCredentialReport": _Call("iam", "generate_credential_report"),
    "iam:GetAccessKeyLastUsed": _Call("iam", "get_access_key_last_used"),
    "iam:GetAccountAuthorizationDetails": _Call("iam", "get_account_authorization_details"),
    "iam:GetAccountPasswordPolicy": _Call("iam", "get_account_password_policy", "NoSuchEntity"),
    "iam:GetAccountSummary": _Call("iam", "get_account_summary"),
    "iam:GetCredentialReport": _Call("iam", "get_credential_report"),
    "iam:GetLoginProfile": _Call("iam", "get_login_profile", "NoSuchEntity"),
    "iam:ListAccessKeys": _Call("iam", "list_access_keys"),
    "iam:ListAccountAliases": _Call("iam", "list_account_aliases"),
    "iam:ListMFADevices": _Call("iam", "list_mfa_devices"),
    "iam:ListPolicyTags": _Call("iam", "list_policy_tags"),
    "ec2:DescribeNetworkInterfaces": _Call("ec2", "describe_network_interfaces"),
    "ec2:DescribeSecurityGroups": _Call("ec2", "describe_security_groups"),
    "s3:GetAccountPublicAccessBlock": _Call(
        "s3control", "get_public_access_block", "NoSuchPublicAccessBlockConfiguration"
    ),
    "s3:GetBucketAcl": _Call("s3", "get_bucket_acl"),
    "s3:GetBucketLocation": _Call("s3", "get_bucket_location"),
    "s3:GetBucketObjectLockConfiguration": _Call(
        "s3", "get_object_lock_configuration", "ObjectLockConfigurationNotFoundError"
    ),
    "s3:GetBucketPolicy": _Call("s3", "get_bucket_policy", "NoSuchBucketPolicy"),
    "s3:GetBucketPolicyStatus": _Call("s3", "get_bucket_policy_status", "NoSuchBucketPolicy"),
    "s3:GetBucketPublicAccessBlock": _Call("s3", "get_public_access_block", "NoSuchPublicAccessBlockConfiguration"),
    "s3:GetBucketTagging": _Call("s3", "get_bucket_tagging", "NoSuchTagSet"),
    "s3:GetBucketVersioning": _Call("s3", "get_bucket_versioning"),
    "s3:GetBucketWebsite": _Call("s3", "get_bucket_website", "NoSuchWebsiteConfiguration"),
    "s3:GetEncryptionConfiguration": _Call(
        "s3", "get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError"
    ),
    "s3:GetLifecycleConfiguration": _Call("s3", "get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration"),
    "s3:ListAllMyBuckets": _Call("s3", "list_buckets"),
}


class Calls:
    """Calls to one account while the `with` block runs.

    page: objects a page. pause: how to wait for the credential report, `time.sleep` but in tests.
    Raises AwsError on entry if there are no credentials.
    """

    def __init__(
        self, settings: AwsCollector, *, page: int = PAGE, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._settings, self._page, self.pause = settings, page, pause
        self._ends_at = time.monotonic() + _DEADLINE_S

    def __enter__(self) -> Self:
        try:
            self._session = Session(self._settings)
        except ConfigError as error:
            raise AwsError(IDENTITY, "not-configured", "not configured", str(error), whole=True) from error
        except (exceptions.BotoCoreError, exceptions.ClientError) as error:
            raise self._translated(IDENTITY, error) from error
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="aws")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._session.close()

    def one(self, action: str, *, region: str | None = None, **asked: object) -> dict[str, Any] | None:
        """Return the answer of the call that needs `action`, None if it says that nothing is configured.

        region: None for the first configured one. Raises AwsError.
        """
        call = CALLS[action]
        method = getattr(self._client(call, region), call.method)
        try:
            answer: dict[str, Any] = self._sent(action, lambda: method(**asked))
        except AwsError as error:
            if error.code == call.absent:
                return None
            raise
        return answer

    def pages(self, action: str, *, region: str | None = None, **asked: object) -> Iterator[dict[str, Any]]:
        """Yield the pages of the answer. Raises AwsError."""
        call = CALLS[action]
        paginator = self._client(call, region).get_paginator(call.method)
        pages = iter(paginator.paginate(PaginationConfig={"PageSize": self._page}, **asked))
        while (page := self._sent(action, lambda: next(pages, None))) is not None:
            yield page

    def each(self, function: Callable[[_In], _Out], items: Sequence[_In]) -> Iterator[_Out]:
        """Yield `function(item)` of every item, in order, some at once."""
        return self._pool.map(function, items)

    def _client(self, call: _Call, region: str | None) -> Any:  # noqa: ANN401 -- made at run time by the library
        try:
            return self._session.client(call.service, region or self._session.region)
        except exceptions.BotoCoreError as error:
            raise self._translated(call.service, error) from error

    def _sent(self, action: str, send: Callable[[], Any]) -> Any:  # noqa: ANN401 -- as the service answers
        if time.monotonic() > self._ends_at:
            way_out = "give Guardian an account with less in it, or higher request limits"
            raise AwsError(action, "deadline", f"not done after {_DEADLINE_S} s", way_out, whole=True)
        try:
            return send()
        except ResponseParserError as error:
            raise malformed(action) from error
        except (exceptions.BotoCoreError, exceptions.ClientError) as error:
            raise self._translated(action, error) from error

    def _translated(self, action: str, error: Exception) -> AwsError:
        if isinstance(error, exceptions.ClientError):
            return self._refused(action, error)
        name = type(error).__name__
        match error:
            case exceptions.SSLError():
                way_out = "check the server's certificate, the clock, and AWS_CA_BUNDLE"
                return AwsError(action, CERTIFICATE, name, way_out, whole=True)
            case exceptions.HTTPClientError() | exceptions.ConnectionError():
                where = self._settings.endpoint or "AWS"
                return AwsError(action, UNREACHABLE, name, f"see that {where} can be reached from here", whole=True)
            case _ if re.search(r"Credential|Profile|SSO|Token|Login|Config|Metadata|MFA", name):
                return AwsError(action, "no-credentials", name, self._credentials(), whole=True)
            case _:  # such as a bucket's name that is none
                return AwsError(action, "refused", name, "correct the collector in guardian.yaml")

    def _refused(self, action: str, error: exceptions.ClientError) -> AwsError:
        code = str(error.response.get("Error", {}).get("Code", ""))
        code = code if re.fullmatch(r"[\w.-]{1,80}", code, re.ASCII) else "an unnamed error"
        if error.operation_name.startswith("AssumeRole"):
            way_out = f"see that the trust policy of {self._settings.role_arn} admits this caller with this externalId"
            return AwsError("sts:AssumeRole", FORBIDDEN, code, way_out, whole=True)
        for reason, pattern, way_out, whole in _CODES:
            if re.fullmatch(pattern, code):
                return AwsError(action, reason, code, way_out or self._credentials(), whole=whole)
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        reason = "server-error" if status >= 500 else "refused"
        return AwsError(action, reason, code, "try again later; AWS documents the code")

    def _credentials(self) -> str:
        profile = self._settings.profile
        return f"renew or correct the credentials of {f'profile {profile}' if profile else 'this process'}"


# What AWS's error codes mean: reason, codes, way out (empty: the credentials), whether every other call ends the same.
_CODES: Final = (
    ("expired", r"ExpiredToken(?:Exception)?|RequestExpired|TokenRefreshRequired|RequestTimeTooSkewed", "", True),
    (
        "unauthorized",
        (
            r"InvalidClientTokenId|UnrecognizedClientException|AuthFailure|InvalidAccessKeyId|InvalidToken"
            r"|SignatureDoesNotMatch|IncompleteSignature|MissingAuthenticationToken(?:Exception)?"
        ),
        "",
        True,
    ),
    (
        FORBIDDEN,
        r"AccessDenied(?:Exception)?|UnauthorizedOperation|Forbidden|403|AllAccessDisabled|AuthorizationError",
        "allow it, as deploy/aws-collector-policy.json does",
        False,
    ),
    ("region-disabled", r"OptInRequired|InvalidRegion\w*", "enable the region, or remove it from regions", False),
    (
        "throttled",
        (
            r"Throttl\w+|RequestLimitExceeded|TooManyRequests(?:Exception)?|SlowDown|BandwidthLimitExceeded"
            r"|RequestThrottled(?:Exception)?|PriorRequestNotComplete|EC2ThrottledException|LimitExceeded(?:Exception)?"
        ),
        "scan when fewer others call this account",
        False,
    ),
    (GONE, r"NoSuchEntity|NoSuchBucket|404", "see that it exists", False),
)
