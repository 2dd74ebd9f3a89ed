"""An OpenID issuer on this machine: keys that rotate, documents that can go wrong."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
AUDIENCE = "hansard"

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SMALL_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=1024)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
EC384_KEY = ec.generate_private_key(ec.SECP384R1())


def public(key: PrivateKey, key_id: str | None, **fields: Any) -> dict[str, Any]:
    """The public half of a key, as an issuer shows it."""
    if isinstance(key, rsa.RSAPrivateKey):
        shown = RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        shown = ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    shown.pop("key_ops", None)
    return {**shown, **({} if key_id is None else {"kid": key_id}), **fields}


class Issuer:
    """What the issuer answers; every attribute may be changed while it runs.

    Attributes:
        fetches: Paths that were asked for.
        down: Answers 503 to everything.
        answers: Documents, by path; a function makes one.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys = [
            public(RSA_KEY, "k1", use="sig"),
            public(EC_KEY, "e1"),
            public(EC384_KEY, "e2"),
        ]
        self.fetches: list[str] = []
        self.down = False
        self.answers: dict[str, Callable[[], bytes]] = {
            "/.well-known/openid-configuration": self._discovery,
            "/keys": lambda: json.dumps({"keys": self.keys}).encode(),
        }
        self.redirects: dict[str, str] = {}

    def _discovery(self) -> bytes:
        return json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"}).encode()

    @property
    def key_fetches(self) -> int:
        """How often the keys were asked for."""
        return self.fetches.count("/keys")

    def token(
        self,
        key: PrivateKey = RSA_KEY,
        *,
        algorithm: str = "RS256",
        key_id: str | None = "k1",
        in_s: int = 600,
        **claims: Any,
    ) -> str:
        """Sign a token that ends in so many seconds; a claim of None is left out."""
        now = int(time.time())
        whole = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "alice",
            "tenant": "acme",
            "iat": now,
            "exp": now + in_s,
            **claims,
        }
        given = {name: value for name, value in whole.items() if value is not None}
        headers = {} if key_id is None else {"kid": key_id}
        return jwt.encode(given, key, algorithm=algorithm, headers=headers)


@contextmanager
def running_issuer() -> Iterator[Issuer]:
    """Run an issuer on a free port."""
    found: list[Issuer] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer = found[0]
            issuer.fetches.append(self.path)
            status, body = 200, b""
            if issuer.down or self.path not in {*issuer.answers, *issuer.redirects}:
                status = 503 if issuer.down else 404
            elif self.path in issuer.redirects:
                status = 302
            else:
                body = issuer.answers[self.path]()
            self.send_response(status)
            if status == 302:
                self.send_header("location", issuer.redirects[self.path])
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.append(Issuer(f"http://127.0.0.1:{server.server_address[1]}"))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield found[0]
        finally:
            server.shutdown()
            thread.join()
