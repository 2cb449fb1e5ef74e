"""A certificate of its own for a server on this machine.

Holds: Certificate, self_signed, kept. kubectl sends a bearer token only over TLS, so a server that
asks for one needs a certificate: a P-256 key, signed by itself, that lives as long as the process,
or as the file that keeps it.
"""

import contextlib
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LOOPBACK = ("127.0.0.1", "::1")
_NAME = "kube-queue local"
_END = "-----END CERTIFICATE-----"
_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate and its key, both PEM. The certificate is its own authority."""

    certificate: str
    key: str

    def context(self) -> ssl.SSLContext:
        """A server's TLS context; the key touches the disk only in a private temporary file."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "server.pem")
            path.touch(mode=0o600)
            path.write_text(self.certificate + self.key)
            context.load_cert_chain(path)
        return context


def self_signed(
    now: float,
    addresses: Iterable[str] = LOOPBACK,
    names: Iterable[str] = ("localhost",),
) -> Certificate:
    """A certificate for those addresses and names, good from an hour before `now` for a year.

    `now` is in seconds since the epoch. Raises ValueError when an address is none.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    begin = datetime.fromtimestamp(now, UTC) - timedelta(hours=1)
    subjects: list[x509.GeneralName] = [x509.DNSName(one) for one in names]
    subjects += [x509.IPAddress(ipaddress.ip_address(one)) for one in addresses]
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(subjects), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Certificate(
        signed.public_bytes(serialization.Encoding.PEM).decode(),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
    )


def kept(path: Path, now: float, addresses: Iterable[str] = LOOPBACK) -> Certificate:
    """The certificate of that file while it is good for a day or more, else a new one, kept there.

    One that lacks an address is not good. Readable by its owner only. Raises OSError when the file
    cannot be read or written.
    """
    with contextlib.suppress(FileNotFoundError, ValueError):
        text = path.read_text(encoding="ascii")
        found = x509.load_pem_x509_certificate(text.encode())
        serialization.load_pem_private_key(text.encode(), password=None)
        lasts = found.not_valid_after_utc.timestamp() - now > _DAY
        if lasts and _addresses(found) >= {ipaddress.ip_address(one) for one in addresses}:
            certificate, mark, key = text.partition(_END)
            return Certificate(f"{certificate}{mark}\n", key.lstrip())
    fresh = self_signed(now, addresses)
    beside = path.with_name(f"{path.name}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(fresh.certificate + fresh.key)
    beside.replace(path)
    return fresh


def _addresses(certificate: x509.Certificate) -> set[object]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return set()
    return set(names.value.get_values_for_type(x509.IPAddress))
