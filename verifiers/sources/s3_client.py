"""The client of an object store, and what its errors mean in words of ours. Costs the import of boto3.

Invariant: what the environment or a profile says of endpoints does not count; no credential is kept anywhere but in
memory; nothing that the store answers in words, which may hold the signed request, is repeated.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
)

from verifiers.sources.base import KeyMissingError, SourceError, masked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from verifiers.sources.base import Place

_CONNECT_S, _READ_S, _ATTEMPTS = 5, 60, 5
_REGION: Final = "us-east-1"  # where none is named: AWS itself redirects to the bucket's
_ID, _SECRET, _TOKEN, _CA = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE"
_ACTIONS: Final = {
    "get_bucket_versioning": "s3:GetBucketVersioning",
    "list_objects_v2": "s3:ListBucket",
    "list_object_versions": "s3:ListBucketVersions",
    "get_object": "s3:GetObject, and s3:GetObjectVersion where versions are kept",
    "get_object_retention": "s3:GetObjectRetention",
    "get_object_legal_hold": "s3:GetObjectLegalHold",
}
_REFUSED: Final = {"AccessDenied", "AllAccessDisabled", "AccountProblem", "Forbidden", "403"}
_WRONG_KEY: Final = {
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "InvalidClientTokenId",
    "TokenRefreshRequired",
}
_CHANGED: Final = {"PreconditionFailed", "NoSuchKey", "NoSuchVersion", "InvalidRange", "404", "412", "416"}


def client(place: Place, connections: int) -> Any:  # noqa: ANN401 -- made at run time by the library
    """Return the client of a place: with the credentials it names, else those of boto3's own chain.

    Raises SourceError for variables that mean nothing here, and for a library that cannot make one.
    """
    given = {name: reference.read() for name, reference in place.environment.items()}
    unknown = sorted(given.keys() - {_ID, _SECRET, _TOKEN, _CA})
    if unknown:
        raise SourceError(f"{place.shown}: format s3 reads {_ID}, {_SECRET}, {_TOKEN}, {_CA}; remove {unknown[0]}")
    if (_ID in given) != (_SECRET in given) or (_TOKEN in given and _ID not in given):
        raise KeyMissingError(f"{place.shown}: {_ID} and {_SECRET} belong together in `environment`; add the other")
    try:
        core = botocore.session.Session()
        core.set_config_variable("ignore_configured_endpoint_urls", value=True)
        region = place.region or core.get_config_variable("region") or _REGION
        settings = Config(
            connect_timeout=_CONNECT_S,
            read_timeout=_READ_S,
            tcp_keepalive=True,
            max_pool_connections=connections,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            user_agent_extra="guardian",
            ignore_configured_endpoint_urls=True,
            s3={"addressing_style": "path"} if place.endpoint else None,
        )
        return boto3.Session(botocore_session=core).client(
            "s3",
            region_name=region,
            endpoint_url=place.endpoint,
            aws_access_key_id=given.get(_ID),
            aws_secret_access_key=given.get(_SECRET),
            aws_session_token=given.get(_TOKEN),
            verify=given.get(_CA),
            config=settings,
        )
    except ProfileNotFound as error:
        raise SourceError(f"{place.shown}: AWS_PROFILE names a profile that is not configured") from error
    except (BotoCoreError, ValueError) as error:
        raise SourceError(f"{place.shown}: no client could be made ({type(error).__name__})") from error


@contextmanager
def telling(operation: str, about: str, place: Place) -> Iterator[None]:
    """Turn the library's errors into SourceError: what was asked of what, the code, and the way out."""
    call = "".join(word.capitalize() for word in operation.split("_"))
    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        raise _refusal(code, call, operation, about, place) from error
    except (NoCredentialsError, PartialCredentialsError) as error:
        raise KeyMissingError(
            f"{about}: there are no credentials; give {_ID} and {_SECRET} under `environment` of the backup in"
            " guardian.yaml, or a role or profile that boto3 finds by itself"
        ) from error
    except SSLError as error:
        raise SourceError(
            f"{about}: the certificate of {_where(place)} cannot be verified; if it is of an authority of your own,"
            f" name its file in {_CA} under `environment`"
        ) from error
    except BotoCoreError as error:
        raise SourceError(
            f"{about}: {_where(place)} gave no answer to {call} ({type(error).__name__}); check `endpoint` and `region`"
            " of the backup, and the network between"
        ) from error


def _refusal(code: str, call: str, operation: str, about: str, place: Place) -> SourceError:
    if code in _REFUSED:
        return SourceError(f"{about}: {call} was refused ({code}); allow {_ACTIONS[operation]} to these credentials")
    if code in _WRONG_KEY:
        return KeyMissingError(f"{about}: {_where(place)} does not take these credentials ({code}); renew them")
    if code == "NoSuchBucket":
        return SourceError(f"{about}: there is no such bucket at {_where(place)}; correct `path` or `endpoint`")
    if code in _CHANGED and operation != "get_bucket_versioning":
        return SourceError(f"{about}: the object was replaced or removed since it was listed ({code}); try again")
    if code == "InvalidObjectState":
        return SourceError(f"{about}: the object is in an archive tier; bring it back first (RestoreObject)")
    return SourceError(f"{about}: {call} failed ({code})")


def _where(place: Place) -> str:
    return masked(place.endpoint) if place.endpoint else "AWS"
