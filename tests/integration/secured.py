"""What a cluster that checks who is calling is made of: a CA and its certificates, a broker's listeners with TLS and SASL, a door of TLS
in front of a plain HTTP service.
"""

import asyncio
import contextlib
import datetime as dt
import ipaddress
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "app", "p@ss/word:1"


class Authority:
    """A CA in a folder: `ca`, and per `issue` a certificate with its key, all PEM."""

    def __init__(self, folder):
        self.folder, self.ca = folder, folder / "ca.pem"
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test ca")])
        cert = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.ca.write_bytes(cert.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _builder(self, name, key):
        now = dt.datetime.now(dt.UTC)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(self._name).public_key(key.public_key())
        builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - dt.timedelta(days=1))
        return builder.not_valid_after(now + dt.timedelta(days=2))

    def issue(self, common_name):
        """(certificate, key, both in one file) for 127.0.0.1 and localhost."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)]), key)
        cert = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(self._key, hashes.SHA256())
        paths = [self.folder / f"{common_name}.{part}.pem" for part in ("cert", "key", "both")]
        texts = [
            cert.public_bytes(serialization.Encoding.PEM),
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        ]
        for path, text in zip(paths, (*texts, texts[1] + texts[0]), strict=True):
            path.write_bytes(text)
        return paths


def broker_settings(authority, ports):
    """Broker properties: a listener per protocol (`ports`: SASL_SSL, SSL with client certificates, PLAINTEXT for itself, CONTROLLER)."""
    _, _, keystore = authority.issue("broker")
    listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
    modules = "org.apache.kafka.common.security"
    return {
        "listeners": listeners,
        "advertised.listeners": ",".join(each for each in listeners.split(",") if not each.startswith("CONTROLLER")),
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keystore),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.ca),
        "listener.name.ssl.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512",
        "listener.name.sasl_ssl.plain.sasl.jaas.config": f'{modules}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";',
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": f"{modules}.scram.ScramLoginModule required;",
    }


@contextlib.asynccontextmanager
async def tls_door(authority, port, to_port):
    """Terminate TLS on `port` in front of a plain service; yields the list of the Authorization headers that came."""
    cert, key, _ = authority.issue("door")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    seen = []

    async def pipe(reader, writer, is_request):
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if is_request:
                    seen.extend(line for line in data.split(b"\r\n") if line.lower().startswith(b"authorization:"))
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader, writer):
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", to_port)
        await asyncio.gather(pipe(reader, inner_writer, True), pipe(inner_reader, writer, False))

    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)
    try:
        yield seen
    finally:
        server.close()
