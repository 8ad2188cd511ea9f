"""Credentials and clients of one AWS account: boto3's own chain, a profile, or a role that is assumed first.

Invariant: no request goes anywhere but AWS's endpoints, or the one endpoint that guardian.yaml names: what the
environment or a profile says of endpoints (AWS_ENDPOINT_URL) does not count. Every client has a region, timeouts and
retries of its own. No credential is kept anywhere but in memory. HTTPS_PROXY and AWS_CA_BUNDLE count, as with botocore.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from typing import TYPE_CHECKING, Any, Final

import boto3
import botocore.session
from botocore.config import Config
from botocore.credentials import (
    AssumeRoleCredentialFetcher,
    CredentialProvider,
    CredentialResolver,
    DeferredRefreshableCredentials,
)
from botocore.exceptions import NoCredentialsError

if TYPE_CHECKING:
    from guardian.settings import AwsCollector

THREADS: Final = 8
_ATTEMPTS: Final = 8
_CONNECT_S, _READ_S = 5, 60


class Session:
    """Clients by service and region, made when first asked for, usable from several threads.

    Raises an error of botocore's if the profile or its credentials cannot be used, ConfigError if the external id
    cannot be read.
    """

    def __init__(self, settings: AwsCollector) -> None:
        self.region = settings.regions[0]
        self._endpoint = settings.endpoint
        self._lock = threading.Lock()
        self._clients: dict[tuple[str, str], Any] = {}
        core = self._core(settings.profile)
        if settings.role_arn is not None:
            core = self._assumed(core, settings)
        self._session = boto3.Session(botocore_session=core, region_name=self.region)

    def client(self, service: str, region: str) -> Any:  # noqa: ANN401 -- made at run time by the library
        """Return the client of a service in a region."""
        with self._lock:  # making one is not safe in threads, using one is
            key = (service, region)
            if key not in self._clients:
                client = self._session.client(service, region_name=region, endpoint_url=self._endpoint)
                if service == "s3control" and self._endpoint is not None:
                    client.meta.events.register("before-sign.s3-control", _without_account)
                self._clients[key] = client
            return self._clients[key]

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients.values():
            with contextlib.suppress(Exception):
                client.close()

    def _core(self, profile: str | None) -> Any:  # noqa: ANN401 -- the library has no types
        core = botocore.session.Session(profile=profile)
        core.set_config_variable("ignore_configured_endpoint_urls", value=True)  # also for what a profile assumes
        core.set_default_client_config(
            Config(
                connect_timeout=_CONNECT_S,
                read_timeout=_READ_S,
                tcp_keepalive=True,
                max_pool_connections=THREADS,
                retries={"mode": "adaptive", "total_max_attempts": _ATTEMPTS},
                user_agent_extra="guardian",
                ignore_configured_endpoint_urls=True,
                s3={"addressing_style": "path"} if self._endpoint else None,
            )
        )
        return core

    def _assumed(self, base: Any, settings: AwsCollector) -> Any:  # noqa: ANN401 -- the library has no types
        """Return a session whose credentials are the role's, and are renewed before they end."""
        source = base.get_credentials()
        if source is None:
            raise NoCredentialsError
        extra = {"RoleSessionName": "guardian"}
        if settings.external_id is not None:
            extra["ExternalId"] = settings.external_id.read()
        creator = functools.partial(base.create_client, region_name=self.region, endpoint_url=self._endpoint)
        fetcher = AssumeRoleCredentialFetcher(creator, source, settings.role_arn, extra_args=extra)
        core = self._core(None)
        core.register_component("credential_provider", CredentialResolver([_Assumed(fetcher)]))
        return core


class _Assumed(CredentialProvider):  # type: ignore[misc]  # the library has no types
    METHOD = "assume-role"
    CANONICAL_NAME = "custom-guardian"

    def __init__(self, fetcher: AssumeRoleCredentialFetcher) -> None:
        super().__init__()
        self._fetcher = fetcher

    def load(self) -> DeferredRefreshableCredentials:
        return DeferredRefreshableCredentials(self._fetcher.fetch_credentials, self.METHOD)


def _without_account(request: Any, **_: object) -> None:  # noqa: ANN401 -- the library has no types
    """Ask a configured endpoint under its own name: the account before the host is a name of AWS's own DNS alone."""
    scheme, _, rest = request.url.partition("://")
    account, _, host = rest.partition(".")
    if account.isdigit() and len(account) == 12:
        request.url = f"{scheme}://{host}"
