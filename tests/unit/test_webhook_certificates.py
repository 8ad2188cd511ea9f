"""The webhook's own CA and certificate: valid for what was asked, private, never overwritten unasked."""

from __future__ import annotations

import os
import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from guardian.errors import ConfigError, UsageError
from guardian.usecases import certificates

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
HOSTS = ["guardian-webhook.guardian.svc", "10.1.2.3", "::1"]


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_certificate_is_of_the_authority_for_the_hosts_and_the_days(tmp_path: Path) -> None:
    made = certificates.make(HOSTS, tmp_path / "tls", now=NOW, days=90)
    authority, serving = load(made.authority), load(made.certificate)
    serving.verify_directly_issued_by(authority)
    names = serving.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == HOSTS[:1]
    assert names.get_values_for_type(x509.IPAddress) == [ip_address("10.1.2.3"), ip_address("::1")]
    assert made.expires == serving.not_valid_after_utc == NOW + timedelta(days=90)
    assert serving.not_valid_before_utc < NOW
    assert authority.not_valid_after_utc >= serving.not_valid_after_utc
    usage = serving.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert not serving.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    key = serialization.load_pem_private_key(made.key.read_bytes(), None)
    assert key.public_key() == serving.public_key()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_keys_are_private_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        certificates.make(HOSTS, tmp_path / "tls", now=NOW, days=90)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "tls").iterdir()}
    assert modes == {"ca.pem": 0o644, "ca.key": 0o600, "tls.pem": 0o644, "tls.key": 0o600}
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) & 0o077 == 0


@pytest.mark.parametrize("name", certificates.FILES)
def test_nothing_that_exists_is_overwritten_unasked(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match=rf"already holds {name}; add --force"):
        certificates.make(HOSTS, tmp_path, now=NOW, days=90)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


def test_key_that_appears_meanwhile_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tls.key").write_text("mine")
    monkeypatch.setattr(os.path, "lexists", lambda _path: False)
    with pytest.raises(UsageError, match=r"tls\.key appeared meanwhile"):
        certificates.make(HOSTS, tmp_path, now=NOW, days=90)
    assert (tmp_path / "tls.key").read_text() == "mine"
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls" / "tls.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match=r"already holds tls\.key"):
        certificates.make(HOSTS, tmp_path / "tls", now=NOW, days=90)
    certificates.make(HOSTS, tmp_path / "tls", now=NOW, days=90, force=True)
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "tls" / "tls.key").is_symlink()


def test_renewal_keeps_the_authority_that_is_installed(tmp_path: Path) -> None:
    first = certificates.make(HOSTS, tmp_path, now=NOW, days=90)
    trusted, old = first.authority.read_bytes(), first.certificate.read_bytes()
    later = NOW + timedelta(days=80)
    again = certificates.make(["other.example"], tmp_path, now=later, days=90, force=True)
    assert again.authority_kept
    assert not first.authority_kept
    assert again.authority.read_bytes() == trusted
    assert again.certificate.read_bytes() != old
    load(again.certificate).verify_directly_issued_by(load(again.authority))


@pytest.mark.parametrize("harm", ["expires", "other key", "no key", "garbage", "not an authority"])
def test_authority_that_cannot_sign_the_new_certificate_is_replaced(tmp_path: Path, harm: str) -> None:
    first = certificates.make(HOSTS, tmp_path, now=NOW, days=90)
    other = certificates.make(HOSTS, tmp_path / "other", now=NOW, days=90)
    trusted, now = first.authority.read_bytes(), NOW
    if harm == "expires":
        now += timedelta(days=certificates.CA_DAYS - 10)
    elif harm == "other key":
        (tmp_path / "ca.key").write_bytes((tmp_path / "other" / "ca.key").read_bytes())
    elif harm == "no key":
        (tmp_path / "ca.key").unlink()
    elif harm == "garbage":
        first.authority.write_text("nonsense")
    else:
        first.authority.write_bytes(other.certificate.read_bytes())
        (tmp_path / "ca.key").write_bytes(other.key.read_bytes())
    again = certificates.make(HOSTS, tmp_path, now=now, days=90, force=True)
    assert not again.authority_kept
    assert again.authority.read_bytes() != trusted
    load(again.certificate).verify_directly_issued_by(load(again.authority))


@pytest.mark.parametrize("days", [0, -1, certificates.MAX_DAYS + 1])
def test_days_out_of_range_are_refused(tmp_path: Path, days: int) -> None:
    with pytest.raises(UsageError, match=f"valid for 1 to 3650 days, not {days}"):
        certificates.make(HOSTS, tmp_path / "tls", now=NOW, days=days)
    assert not (tmp_path / "tls").exists()


@pytest.mark.parametrize("host", ["", "a b", "https://h", "h:8443", "*.example", "-a.example", "300.1.1.1", "a" * 254])
def test_what_is_no_host_is_refused(tmp_path: Path, host: str) -> None:
    with pytest.raises(UsageError, match=r"DNS name|IP address"):
        certificates.make([host], tmp_path / "tls", now=NOW, days=90)
    with pytest.raises(UsageError, match="name at least one host"):
        certificates.make([], tmp_path / "tls", now=NOW, days=90)


def test_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"cannot write the certificate into .*file/tls: Not a directory"):
        certificates.make(HOSTS, tmp_path / "file" / "tls", now=NOW, days=90)


def test_client_that_trusts_the_authority_reaches_the_server_by_every_name(tmp_path: Path) -> None:
    made = certificates.make(["localhost", "127.0.0.1"], tmp_path, now=datetime.now(UTC), days=1)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(made.certificate, made.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for _ in range(3):
                connection, _ = listener.accept()
                try:
                    server.wrap_socket(connection, server_side=True).close()
                except OSError:  # the client that was told another name
                    connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        client = ssl.create_default_context(cafile=str(made.authority))
        for name in ("localhost", "127.0.0.1"):
            with (
                socket.create_connection(listener.getsockname()) as plain,
                client.wrap_socket(plain, server_hostname=name),
            ):
                pass
        with socket.create_connection(listener.getsockname()) as plain, pytest.raises(ssl.SSLCertVerificationError):
            client.wrap_socket(plain, server_hostname="other.example")
        thread.join(30)


def test_bundle_is_the_certificates_of_the_file_and_nothing_else(tmp_path: Path) -> None:
    old = certificates.make(HOSTS, tmp_path / "old", now=NOW, days=90).authority.read_bytes()
    new = certificates.make(HOSTS, tmp_path / "new", now=NOW, days=90).authority.read_bytes()
    (tmp_path / "both.pem").write_bytes(b"# until 2027\n" + old + b"\nsubject=CN = x\n" + new)
    assert certificates.read_bundle(tmp_path / "both.pem") == old + new


def test_bundle_with_a_private_key_or_without_a_certificate_is_refused(tmp_path: Path) -> None:
    made = certificates.make(HOSTS, tmp_path / "tls", now=NOW, days=90)
    mixed = tmp_path / "mixed.pem"
    mixed.write_bytes(made.authority.read_bytes() + made.key.read_bytes())
    with pytest.raises(ConfigError, match="holds a private key") as refused:
        certificates.read_bundle(mixed)
    assert made.key.read_text().splitlines()[1] not in str(refused.value)
    mixed.write_text("nonsense")
    with pytest.raises(ConfigError, match="holds no PEM certificate"):
        certificates.read_bundle(mixed)
    with pytest.raises(ConfigError, match="cannot read"):
        certificates.read_bundle(tmp_path / "missing.pem")
    mixed.write_bytes(b"x" * 600_000)
    with pytest.raises(ConfigError, match="larger than"):
        certificates.read_bundle(mixed)


@pytest.mark.parametrize(
    "host", ["guardian-webhook.guardian.svc", "Guardian-Webhook.guardian.svc.", "10.1.2.3", "::1", "0:0:0:0:0:0:0:1"]
)
def test_certificate_is_good_for_its_hosts(tmp_path: Path, host: str) -> None:
    certificates.need_host(certificates.make(HOSTS, tmp_path, now=NOW, days=90).certificate, host)


@pytest.mark.parametrize("host", ["other.example", "10.1.2.4", "svc", "a.guardian-webhook.guardian.svc", "10.1.2.3.x"])
def test_host_that_the_certificate_does_not_cover_is_named_with_those_it_does(tmp_path: Path, host: str) -> None:
    made = certificates.make(HOSTS, tmp_path / "my tls", now=NOW, days=90)
    with pytest.raises(UsageError) as refused:
        certificates.need_host(made.certificate, host)
    message = str(refused.value)
    assert f"webhook as {host}," in message
    assert "covers guardian-webhook.guardian.svc, 10.1.2.3, ::1:" in message
    assert f"guardian webhook certificate --host {host} --force --dir '{tmp_path}/my tls'" in message


def test_star_in_a_certificate_stands_for_one_label_and_the_common_name_for_nothing(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "guardian.example")])
    unsigned = x509.CertificateBuilder(name, name, key.public_key(), 1).not_valid_before(NOW).not_valid_after(NOW)
    starred = unsigned.add_extension(x509.SubjectAlternativeName([x509.DNSName("*.guardian.example")]), critical=False)
    for file, builder in (("bare.pem", unsigned), ("starred.pem", starred)):
        certificate = builder.sign(key, hashes.SHA256())
        (tmp_path / file).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    certificates.need_host(tmp_path / "starred.pem", "webhook.guardian.example")
    for file, host in (
        ("starred.pem", "guardian.example"),
        ("starred.pem", "a.b.guardian.example"),
        ("bare.pem", "guardian.example"),
    ):
        with pytest.raises(UsageError, match="covers"):
            certificates.need_host(tmp_path / file, host)


def test_certificate_that_is_not_here_is_not_judged_and_one_that_is_none_is_refused(tmp_path: Path) -> None:
    certificates.need_host(tmp_path / "tls.pem", "guardian.example")
    (tmp_path / "tls.pem").write_text("nonsense")
    with pytest.raises(ConfigError, match="holds no PEM certificate"):
        certificates.need_host(tmp_path / "tls.pem", "guardian.example")
