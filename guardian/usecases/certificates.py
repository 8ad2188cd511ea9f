"""A certificate authority and a serving certificate for the webhook, for sites that run none of their own.

Invariants: a private key is never readable by others, not for a moment; no file is ever half written; nothing that
exists is overwritten unasked. EC keys on P-256: the API server takes Ed25519 too, but not in every build of it.
I/O: the folder given.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import secrets
import shlex
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from guardian.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

FILES: Final = ("ca.pem", "ca.key", "tls.pem", "tls.key")
CA_DAYS: Final = 3650
MAX_DAYS: Final = CA_DAYS
_SKEW: Final = timedelta(minutes=5)  # clocks of the API servers may be this much behind
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)
_BUNDLE_BYTES: Final = 512 * 1024


@dataclass(frozen=True, slots=True)
class Made:
    """Where the files lie. authority_kept: the CA was there before, so whoever trusts it need learn nothing."""

    authority: Path
    certificate: Path
    key: Path
    expires: datetime
    authority_kept: bool


def make(hosts: Sequence[str], folder: Path, *, now: datetime, days: int, force: bool = False) -> Made:
    """Write ca.pem, ca.key, tls.pem and tls.key into `folder`, made with mode 0700 if missing.

    hosts: DNS names and IP addresses that the API server calls the webhook by. days: how long the serving certificate
    is valid. force: replace what is there; a CA there that outlives the new certificate is kept, so that renewing one
    leaves the installed caBundle right.
    Raises UsageError for a host or a number of days that will not do, or if a file exists and not `force`.
    """
    if not 1 <= days <= MAX_DAYS:
        raise UsageError(f"a certificate is valid for 1 to {MAX_DAYS} days, not {days}")
    names = [_name(host) for host in dict.fromkeys(hosts)]
    if not names:
        raise UsageError("name at least one host, as the API server calls it: a DNS name or an IP address")
    there = [name for name in FILES if os.path.lexists(folder / name)]
    if there and not force:
        raise UsageError(f"{folder} already holds {', '.join(there)}; add --force to replace the certificate")
    expires = now + timedelta(days=days)
    kept = _existing(folder, expires) if force else None
    authority, authority_key = kept or _new_authority(now)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _serving(names, key, authority, authority_key, now=now, expires=expires)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if kept is None:
            _write(folder / "ca.key", _private(authority_key), mode=0o600, replace=force)
            _write(folder / "ca.pem", _public(authority), mode=0o644, replace=force)
        _write(folder / "tls.key", _private(key), mode=0o600, replace=force)
        _write(folder / "tls.pem", _public(certificate), mode=0o644, replace=force)
        _sync(folder)
    except FileExistsError as error:
        raise UsageError(
            f"{error.filename2 or error.filename} appeared meanwhile; nothing of it was changed"
        ) from error
    except OSError as error:
        raise UsageError(f"cannot write the certificate into {folder}: {error.strerror}") from error
    return Made(
        folder / "ca.pem", folder / "tls.pem", folder / "tls.key", certificate.not_valid_after_utc, kept is not None
    )


def read_bundle(path: Path) -> bytes:
    """Return the certificates of a PEM file, and nothing else that stands in it.

    Raises ConfigError if it cannot be read, holds none, or holds a private key, which has no business there.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_BUNDLE_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read the CA certificates in {path}: {error.strerror}") from error
    if len(content) > _BUNDLE_BYTES:
        raise ConfigError(f"{path} is larger than {_BUNDLE_BYTES} bytes; name a PEM file with the webhook's CA only")
    if b"PRIVATE KEY" in content:
        raise ConfigError(f"{path} holds a private key; name the file with the CA's certificate, such as ca.pem")
    try:
        found = x509.load_pem_x509_certificates(content)
    except ValueError as error:
        raise ConfigError(f"{path} holds no PEM certificate: {error}") from error
    return b"".join(_public(certificate) for certificate in found)


def need_host(path: Path, host: str) -> None:
    """Raise UsageError if the certificate at `path` is not valid for `host`, by which the API server will call it.

    Where no file can be read, nothing is held against it. Raises ConfigError for a file that holds no certificate.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_BUNDLE_BYTES)
    except OSError:
        return
    try:
        certificate = x509.load_pem_x509_certificate(content)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        domains, addresses = names.get_values_for_type(x509.DNSName), names.get_values_for_type(x509.IPAddress)
    except x509.ExtensionNotFound:
        domains, addresses = [], []  # the common name counts for nobody any more
    except ValueError as error:
        raise ConfigError(f"webhook.certificate: {path} holds no PEM certificate: {error}") from error
    try:
        covered = ipaddress.ip_address(host) in addresses
    except ValueError:
        covered = any(_covers(domain, host) for domain in domains)
    if not covered:
        listed = ", ".join([*domains, *map(str, addresses)]) or "no host at all"
        raise UsageError(
            f"the API server would call the webhook as {host}, and its certificate {path} covers {listed}: every call "
            f"would fail. Make one that does: guardian webhook certificate --host {shlex.quote(host)} --force "
            f"--dir {shlex.quote(str(path.parent))}"
        )


def _covers(domain: str, host: str) -> bool:
    """Tell whether a name in a certificate is good for `host`, as Go decides: `*` stands for one label, the first."""
    pattern, labels = domain.lower().split("."), host.lower().removesuffix(".").split(".")
    return len(pattern) == len(labels) and pattern[1:] == labels[1:] and pattern[0] in {"*", labels[0]}


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise UsageError(f"{host!r} is neither a DNS name nor an IP address")
    if host.replace(".", "").isdigit():
        raise UsageError(f"{host!r} looks like an IP address and is none")
    return x509.DNSName(host.lower())


def _new_authority(now: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    # A name of its own for each: two CAs of one name in a caBundle would be mistaken for each other.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Guardian webhook CA {secrets.token_hex(4)}")])
    usage = _usage(signs=True)
    certificate = (
        _builder(name, name, key, now, now + timedelta(days=CA_DAYS + 1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _serving(
    names: Sequence[x509.GeneralName],
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    *,
    now: datetime,
    expires: datetime,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Guardian webhook")])
    return (
        _builder(subject, authority.subject, key, now, expires)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(_authority_id(authority), critical=False)
        .sign(authority_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _authority_id(authority: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    known = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known.value)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _existing(folder: Path, expires: datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None:
    """Return the CA in `folder` if it can sign a certificate that is valid until `expires`, else None."""
    try:
        certificate = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
        certificate.verify_directly_issued_by(certificate)
        is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    except (OSError, ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None
    return (certificate, key) if is_authority and certificate.not_valid_after_utc >= expires else None


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, content: bytes, *, mode: int, replace: bool) -> None:
    """Put `content` at `path` whole: from a file beside it, so that no reader ever sees a part."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        if replace:
            beside.replace(path)
        else:
            os.link(beside, path)  # unlike a rename, this refuses a file that is there
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)  # the names too: a crash must not lose them
    finally:
        os.close(handle)
