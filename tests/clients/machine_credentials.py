"""What a platform gives its machines: an address that answers with short-lived keys to whoever shows the machine's token."""

import http.server
import json
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

TOKEN = "token-of-the-machine"
KEY_ID = "AKIDMACHINE"


class MachineCredentials:
    def __init__(self, folder: Path):
        self.asked = []
        outer = self

        class Answer(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.headers["Authorization"])
                expiration = datetime.now(timezone.utc) + timedelta(hours=1)
                keys = {"AccessKeyId": KEY_ID, "SecretAccessKey": "machine-secret", "Token": "session", "Expiration": expiration.isoformat()}
                body = json.dumps(keys).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        token_file = folder / "token"
        token_file.write_text(TOKEN)
        # A host of its own, as platforms have one, so that it is not taken for the object store.
        self.environment = {
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://localhost:{self._server.server_port}/keys",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token_file),
        }

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
