"""How a certificate is closed: signed with an Ed25519 key from a connection, or with a plain digest, as it says itself.

The connection's password is the private key, its login the public one, each 32 bytes in base64. To sign takes the private key; to
check, the public one alone will do, so that who demands a signature need not be able to make one.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Literal

from rollback_provider.core.base import Model
from rollback_provider.core.component import Connection
from rollback_provider.core.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_BYTES = 32


class Signature(Model):
    """How a certificate was closed.

    :param algorithm: ``sha256`` is a digest, which anybody can make; ``ed25519`` takes the private key
    :param key: the public key in base64; empty for a digest
    :param value: in base64; of a digest, in hexadecimal digits
    """

    algorithm: Literal["sha256", "ed25519"]
    key: str = ""
    value: str = ""


def refuse_unfit(key: Connection | None) -> None:
    """Raises ConfigurationError for a connection with which nothing can be signed."""
    if key is not None:
        _private(key)


def unsigned(key: Connection | None) -> Signature:
    """What says how it will be closed. Raises ConfigurationError for a connection that holds no private key."""
    if key is None:
        return Signature(algorithm="sha256")
    return Signature(algorithm="ed25519", key=_encoded(_private(key).public_key().public_bytes_raw()))


def sign(digest: str, key: Connection | None) -> str:
    """The value of a signature of `digest`; the digest itself without a key."""
    return digest if key is None else _encoded(_private(key).sign(digest.encode()))


def problem(signature: Signature, digest: str, key: Connection | None) -> str:
    """What is wrong with a signature of `digest`; empty where nothing is.

    :param key: with which it must have been made; None where any will do

    Raises ConfigurationError for a connection that holds no key.
    """
    public = _public(key) if key else None
    if signature.algorithm == "sha256":
        if key:
            return f"is not signed, and must be, with the key of connection {key.id!r}"
        return "" if signature.value == digest else "is not what was issued: somebody has changed it"
    if key and signature.key != public:
        return f"was signed with another key than that of connection {key.id!r}"
    return "" if _fits(signature, digest) else "is not what was signed: somebody has changed it"


def _fits(signature: Signature, digest: str) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        public = Ed25519PublicKey.from_public_bytes(b64decode(signature.key))
        public.verify(b64decode(signature.value), digest.encode())
    except (InvalidSignature, ValueError):
        return False
    return True


def _private(key: Connection) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(_decoded(key, "password", key.password))
    if key.login and key.login != _encoded(private.public_key().public_bytes_raw()):
        raise ConfigurationError(
            f"Connection {key.id!r} holds two halves of different keys",
            next_step="Leave its login out, or make it the public key of its password",
        )
    return private


def _public(key: Connection) -> str:
    if key.login:
        return _encoded(_decoded(key, "login", key.login))
    return _encoded(_private(key).public_key().public_bytes_raw())


def _decoded(key: Connection, field: str, value: str | None) -> bytes:
    try:
        found = b64decode(value or "", validate=True)
    except ValueError:
        found = b""
    if len(found) != _BYTES:
        raise ConfigurationError(
            f"Connection {key.id!r} holds no key: its {field} is not {_BYTES} bytes in base64",
            next_step="Make one as the documentation on rehearsals says",
        )
    return found


def _encoded(value: bytes) -> str:
    return b64encode(value).decode()
