"""A certificate of its own for a server on this machine.

Holds: Certificate, self_signed. kubectl sends a bearer token only over TLS, so a server that asks
for one needs a certificate; this makes one without any library: a P-256 key, signed by itself.
The key lives as long as the process. Formats: RFC 5280, RFC 5915, FIPS 186-4.
"""

import base64
import hashlib
import ipaddress
import secrets
import ssl
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_Point = tuple[int, int] | None
_YEAR = 365 * 86_400.0


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
    addresses: Iterable[str] = ("127.0.0.1", "::1"),
    names: Iterable[str] = ("localhost",),
) -> Certificate:
    """A certificate for those addresses and names, good from an hour before `now` for a year."""
    private = secrets.randbelow(_N - 1) + 1
    public = _times(private, _G)
    assert public is not None
    point = b"\x04" + public[0].to_bytes(32, "big") + public[1].to_bytes(32, "big")
    body = _to_be_signed(now, point, addresses, names)
    signed = _sequence(body, _ECDSA_SHA256, _bits(_sign(private, body)))
    key = _sequence(
        _integer(1),
        _tlv(0x04, private.to_bytes(32, "big")),
        _tlv(0xA0, _oid("1.2.840.10045.3.1.7")),
        _tlv(0xA1, _bits(point)),
    )
    return Certificate(_pem("CERTIFICATE", signed), _pem("EC PRIVATE KEY", key))


def _add(left: _Point, right: _Point) -> _Point:
    if left is None or right is None:
        return left or right
    (x1, y1), (x2, y2) = left, right
    if x1 == x2 and (y1 + y2) % _P == 0:
        return None
    slope = (
        (3 * x1 * x1 - 3) * pow(2 * y1, -1, _P)
        if left == right
        else (y2 - y1) * pow(x2 - x1, -1, _P)
    )
    x = (slope * slope - x1 - x2) % _P
    return x, (slope * (x1 - x) - y1) % _P


def _times(factor: int, point: _Point) -> _Point:
    total: _Point = None
    while factor:
        if factor & 1:
            total = _add(total, point)
        point = _add(point, point)
        factor >>= 1
    return total


def _sign(private: int, message: bytes) -> bytes:
    digest = int.from_bytes(hashlib.sha256(message).digest(), "big")
    while True:
        nonce = secrets.randbelow(_N - 1) + 1
        point = _times(nonce, _G)
        assert point is not None
        r = point[0] % _N
        s = pow(nonce, -1, _N) * (digest + r * private) % _N
        if r and s:
            return _sequence(_integer(r), _integer(s))


def _to_be_signed(
    now: float, point: bytes, addresses: Iterable[str], names: Iterable[str]
) -> bytes:
    name = _sequence(
        _tlv(0x31, _sequence(_oid("2.5.4.3"), _tlv(0x0C, b"kube-queue local cluster")))
    )
    identity = hashlib.sha256(point).digest()[:20]
    alternatives = b"".join(
        [_tlv(0x82, text.encode()) for text in names]
        + [_tlv(0x87, ipaddress.ip_address(text).packed) for text in addresses]
    )
    extensions = _sequence(
        _extension("2.5.29.19", _sequence(_tlv(0x01, b"\xff")), critical=True),
        _extension("2.5.29.15", _tlv(0x03, b"\x02\x84"), critical=True),
        _extension("2.5.29.37", _sequence(_oid("1.3.6.1.5.5.7.3.1"))),
        _extension("2.5.29.17", _tlv(0x30, alternatives)),
        _extension("2.5.29.14", _tlv(0x04, identity)),
        _extension("2.5.29.35", _sequence(_tlv(0x80, identity))),
    )
    return _sequence(
        _tlv(0xA0, _integer(2)),
        _integer(secrets.randbits(120) | 1),
        _ECDSA_SHA256,
        name,
        _sequence(_time(now - 3600), _time(now + _YEAR)),
        name,
        _sequence(_sequence(_oid("1.2.840.10045.2.1"), _oid("1.2.840.10045.3.1.7")), _bits(point)),
        _tlv(0xA3, extensions),
    )


def _tlv(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


def _sequence(*parts: bytes) -> bytes:
    return _tlv(0x30, b"".join(parts))


def _integer(value: int) -> bytes:
    return _tlv(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _bits(content: bytes) -> bytes:
    return _tlv(0x03, b"\x00" + content)


def _oid(text: str) -> bytes:
    first, second, *rest = map(int, text.split("."))
    encoded = bytes([first * 40 + second])
    for arc in rest:
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(0x80 | (arc & 0x7F))
        encoded += bytes(reversed(groups))
    return _tlv(0x06, encoded)


def _extension(oid: str, content: bytes, *, critical: bool = False) -> bytes:
    mark = _tlv(0x01, b"\xff") if critical else b""
    return _sequence(_oid(oid), mark, _tlv(0x04, content))


def _time(seconds: float) -> bytes:
    return _tlv(0x18, time.strftime("%Y%m%d%H%M%SZ", time.gmtime(seconds)).encode())


def _pem(label: str, der: bytes) -> str:
    encoded = base64.encodebytes(der).decode().replace("\n", "")
    lines = [encoded[start : start + 64] for start in range(0, len(encoded), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


_ECDSA_SHA256 = _sequence(_oid("1.2.840.10045.4.3.2"))
