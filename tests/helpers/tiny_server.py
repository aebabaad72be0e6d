"""A web server on this machine whose connections break off when they are told to."""

import contextlib
import http.server
import re
import threading


class TinyServer(http.server.ThreadingHTTPServer):
    """Serves `content` under every path; use as a context manager.

    Args:
        content: bytes.
        ranges: whether it continues where a client stopped.
        sends: for each request, how many bytes it sends before it hangs up; None for all of them.
    """

    def __init__(self, content, ranges=True, sends=()):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content, self.ranges, self.sends = content, ranges, list(sends)
        self.asked = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/file"

    @contextlib.contextmanager
    def running(self):
        thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield self
        finally:
            self.shutdown()
            thread.join()
            self.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        content, start = server.content, 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if asked and server.ranges:
            start = int(asked[1])
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                return self.end_headers()
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        count = server.sends.pop(0) if server.sends else None
        stop = len(content) if count is None else start + count
        self.wfile.write(content[start:stop])

    def log_message(self, *args):
        pass
