"""Keys, certificates and tokens of one API server for tests, and the kubeconfigs that go with them. Files only."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# Users that can log in by token; only `admin` may do anything until a test binds roles. Others are impersonated.
USERS: Mapping[str, Sequence[str]] = {
    "admin": ("system:masters",),
    "auditor": ("auditors",),
    "developer": ("developers",),
    "guardian": (),
    "nobody": (),
}


def write_identity(folder: Path) -> dict[str, str]:
    """Write CA, serving certificate, key for service account tokens and token file; return each user's token."""
    authority = trustme.CA()
    serving = authority.issue_cert("127.0.0.1", "localhost", "kubernetes.default.svc")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    serving.private_key_pem.write_to_path(folder / "tls.key")
    serving.cert_chain_pems[0].write_to_path(folder / "tls.pem")
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / "accounts.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,  # the API server finds no public key in PKCS 8
            serialization.NoEncryption(),
        )
    )
    tokens = {user: secrets.token_hex(16) for user in USERS}
    lines = [f'{tokens[user]},{user},{user},"{",".join(groups)}"' for user, groups in USERS.items()]
    (folder / "tokens.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tokens


def write_kubeconfig(path: Path, *, url: str, ca_file: Path, user: str, token: str) -> Path:
    """Write a kubeconfig with one context, `test`. It is JSON, which is YAML."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": str(ca_file)}}],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": user}}],
        "current-context": "test",
    }
    path.write_text(json.dumps(content, indent=1), encoding="utf-8")
    path.chmod(0o600)
    return path
