"""An AWS account: identities, security groups of the configured regions, buckets; read page by page, never changed.

Invariant: what one part costs is its own. A resource's part that could not be read is absent from it and its kind
carries an Unreadable, so that a control that needs it says `error`. Only where every other call would end the same (no
credentials, no way there) do all kinds that are left fail at once. No connection is made before `collect` is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from guardian.collectors.aws_ec2 import GROUPS, INTERFACES, SECURITY_GROUP, of_region, security_groups
from guardian.collectors.aws_errors import AwsError
from guardian.collectors.aws_iam import ACCOUNT, DETAILS, FILTER, GROUP, POLICY, ROLE, USER, identities
from guardian.collectors.aws_s3 import BUCKET, LIST, OF_ACCOUNT, buckets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from guardian.collectors import Observed, Unreadable
    from guardian.collectors.aws_calls import Calls
    from guardian.collectors.aws_identity import Identity
    from guardian.settings import AwsCollector

_IAM_KINDS: Final = (ACCOUNT, USER, GROUP, ROLE, POLICY)
_LIKE_CREDENTIALS: Final = (
    *("*passw*", "*passphrase*", "*pwd*", "*secret*", "*token*", "*credential*", "*conninfo*", "*dsn"),
    *("*api*key*", "*access*key*", "*private*key*"),
)
_TAGS: Final = tuple(f"/tags/{name}" for name in _LIKE_CREDENTIALS)
# What a condition compares with such a key is shared by those who know it.
_SHARED: Final = ("sts:ExternalId", "aws:Referer", "aws:UserAgent")


def _conditions(*documents: str) -> tuple[str, ...]:
    return tuple(f"{at}/statements/*/conditions/*/{key}/*" for at in documents for key in _SHARED)


_INLINE: Final = "/policies/inline/*/document"


class Aws:
    """The collector of one account. page: objects a page, None for what is usual."""

    type = "aws"
    id_scheme = "arn"
    kinds: Sequence[str] = (*_IAM_KINDS, SECURITY_GROUP, BUCKET)
    sensitive: Mapping[str, Sequence[str]] = {
        USER: (*_TAGS, *_conditions(_INLINE)),
        GROUP: _conditions(_INLINE),
        ROLE: (*_TAGS, *_conditions(_INLINE, "/trust")),
        POLICY: (*_TAGS, *_conditions("/document")),
        SECURITY_GROUP: _TAGS,
        BUCKET: (*_TAGS, *_conditions("/policy")),
    }

    def __init__(self, settings: AwsCollector, *, page: int | None = None) -> None:
        self.name = settings.name
        self._settings, self._page = settings, page
        self._regions = tuple(dict.fromkeys(settings.regions))

    def collect(self, now: datetime) -> Iterator[Observed | Unreadable]:
        """Yield what the account holds."""
        left = list(self.kinds)
        try:
            with self._calls() as calls:
                who = self._identity(calls)
                sections: Sequence[tuple[Sequence[str], Callable[[], Iterator[Observed | Unreadable]]]] = (
                    (_IAM_KINDS, lambda: identities(calls, who, now, self._settings.role_arn)),
                    ((SECURITY_GROUP,), lambda: security_groups(calls, who, self._regions)),
                    ((BUCKET,), lambda: buckets(calls, who, now, self._settings.backup_buckets)),
                )
                for kinds, section in sections:
                    yield from section()
                    left = [kind for kind in left if kind not in kinds]
        except AwsError as error:
            for kind in left:
                yield error.unreadable(kind)

    def examine(self) -> tuple[str, Sequence[Unreadable]]:
        """Return whom Guardian acts as there, and what cannot be read, asking for little of each kind.

        The first is empty if there was no answer at all.
        """
        unreadable = []
        try:
            with self._calls() as calls:
                who = self._identity(calls)
                for kind, ask in _probes(calls, who, self._regions):
                    try:
                        ask()
                    except AwsError as error:
                        if error.whole and kind != SECURITY_GROUP:
                            raise
                        unreadable.append((error if kind != SECURITY_GROUP else of_region(error)).unreadable(kind))
        except AwsError as error:
            return "", [error.unreadable(kind) for kind in self.kinds]
        return who.caller, unreadable

    def _calls(self) -> Calls:
        from guardian.collectors.aws_calls import PAGE, Calls  # noqa: PLC0415 -- takes half a second and 30 MB

        return Calls(self._settings, page=self._page or PAGE)

    def _identity(self, calls: Calls) -> Identity:
        from guardian.collectors.aws_identity import identify  # noqa: PLC0415 -- as above

        return identify(calls, self.name)


def _probes(calls: Calls, who: Identity, regions: Sequence[str]) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield calls of which each is cheap, and that between them show whether each kind can be read."""
    yield USER, lambda: calls.one(DETAILS, Filter=list(FILTER), MaxItems=1)
    for action in ("iam:GenerateCredentialReport", "iam:GetAccountSummary", "iam:GetAccountPasswordPolicy"):
        yield ACCOUNT, lambda action=action: calls.one(action)  # type: ignore[misc]  # mypy infers no default arguments
    yield ACCOUNT, lambda: calls.one("iam:ListAccountAliases", MaxItems=1)
    for region in regions:
        for action in (GROUPS, INTERFACES):
            yield SECURITY_GROUP, lambda action=action, region=region: calls.one(action, region=region, MaxResults=5)  # type: ignore[misc]  # as above
    yield BUCKET, lambda: calls.one(LIST, MaxBuckets=1)
    yield BUCKET, lambda: calls.one(OF_ACCOUNT, AccountId=who.account)
