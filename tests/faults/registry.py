"""A registry on loopback with one artifact, whose bytes come slowly enough to be interrupted."""
import hashlib, http.server, json, socketserver, threading, time

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Registry:
    def __init__(self, component, seconds):
        digest = lambda body: "sha256:" + hashlib.sha256(body).hexdigest()
        manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.wasm.config.v0+json", "digest": digest(b"{}"), "size": 2},
            "layers": [{"mediaType": "application/wasm", "digest": digest(component), "size": len(component)}],
        }).encode()
        self.kept = {digest(body).removeprefix("sha256:"): body for body in (manifest, component)}

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                body, kind = b"{}", "application/json"
                if "/manifests/" in self.path:
                    body, kind = manifest, MANIFEST
                elif "/blobs/" in self.path:
                    body, kind = component, "application/octet-stream"
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Docker-Content-Digest", digest(body))
                self.end_headers()
                piece = max(1, len(body) // 20)
                try:
                    for at in range(0, len(body), piece):
                        self.wfile.write(body[at:at + piece])
                        if body is component:
                            time.sleep(seconds / 20)
                except OSError:
                    pass  # The reader was killed.

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.reference = f"oci://127.0.0.1:{self.server.server_port}/team/plugin:1"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
