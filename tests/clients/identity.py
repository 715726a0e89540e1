"""A certified identity provider as a process, and the ways in which people and backends get its tokens."""

import base64
import hashlib
import http.cookiejar
import json
import re
import secrets
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from server import REPOSITORY, WAIT_S, free_port

FOLDER = REPOSITORY / "tests/clients/provider"
CALLBACK = "http://127.0.0.1/callback"
SCOPE = "feed:backend"
RESOURCE = "urn:whimbrel:feed"
# Makes an RSA key as a JSON Web Key, with Node's own cryptography.
_MAKE_KEY = """
const { privateKey } = require("crypto").generateKeyPairSync("rsa", { modulusLength: 2048 });
const key = privateKey.export({ format: "jwk" });
console.log(JSON.stringify({ ...key, kid: process.argv[1], use: "sig", alg: "RS256" }));
"""


def make_key(kid: str) -> dict:
    """A private key."""
    made = subprocess.run(["node", "-e", _MAKE_KEY, kid], capture_output=True, check=True, timeout=WAIT_S)
    return json.loads(made.stdout)


class _Stop(urllib.request.HTTPRedirectHandler):
    """Follows redirects up to the app's own address."""

    def redirect_request(self, request, body, code, message, headers, url):
        if url.startswith(CALLBACK):
            return None
        return super().redirect_request(request, body, code, message, headers, url)


class Provider:
    """The provider. It keeps its address when it is started again with other keys."""

    def __init__(self, folder: Path):
        self._keys = folder / "keys.json"
        self._process = None
        self.issuer = f"http://127.0.0.1:{free_port()}"

    def start(self, *keys: dict):
        """Starts it with these keys, of which it signs with the first."""
        self.stop()
        self._keys.write_text(json.dumps({"keys": keys}))
        port = self.issuer.rpartition(":")[2]
        command = ["node", FOLDER / "provider.mjs", port, self._keys]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        while "listens" not in (line := self._process.stdout.readline()):
            assert line, "the provider does not start"

    def stop(self):
        if self._process:
            self._process.stdin.close()
            self._process.wait(WAIT_S)
            self._process.stdout.close()
            self._process = None

    def discovered(self) -> dict:
        """What it says of itself (OpenID Connect Discovery)."""
        with urllib.request.urlopen(f"{self.issuer}/.well-known/openid-configuration", timeout=WAIT_S) as answer:
            return json.load(answer)

    def backend_token(self) -> str:
        """A token of the backend, by its secret (RFC 6749, section 4.4)."""
        return self._token(
            {"grant_type": "client_credentials", "scope": SCOPE},
            {"Authorization": _basic("backend", "a secret of the tests alone")},
        )

    def user_token(self, name: str) -> str:
        """A token of somebody who logs in: the code flow with PKCE (RFC 7636)."""
        verifier = secrets.token_urlsafe(48)
        challenge = hashlib.sha256(verifier.encode()).digest()
        asked = {
            "client_id": "app",
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "scope": "openid",
            "resource": RESOURCE,
            "code_challenge": base64.urlsafe_b64encode(challenge).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        browser = urllib.request.build_opener(cookies, _Stop)
        url, body = f"{self.issuer}/auth?{urllib.parse.urlencode(asked)}", None
        # It asks for a login, and then for consent.
        for prompt in ({"prompt": "login", "login": name, "password": "any"}, {"prompt": "consent"}):
            page = browser.open(url, body, timeout=WAIT_S).read().decode()
            url = re.search(r'action="([^"]+)"', page).group(1)
            body = urllib.parse.urlencode(prompt).encode()
        try:
            browser.open(url, body, timeout=WAIT_S)
            raise AssertionError("it does not come back to the app")
        except urllib.error.HTTPError as redirect:
            back = urllib.parse.urlsplit(redirect.headers["location"])
        code = urllib.parse.parse_qs(back.query)["code"][0]
        grant = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
        return self._token({**grant, "client_id": "app", "code_verifier": verifier}, {})

    def _token(self, form: dict, headers: dict) -> str:
        body = urllib.parse.urlencode({**form, "resource": RESOURCE}).encode()
        request = urllib.request.Request(f"{self.issuer}/token", body, headers)
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            return json.load(answer)["access_token"]


def _basic(name: str, secret: str) -> str:
    pair = f"{name}:{urllib.parse.quote(secret)}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"
