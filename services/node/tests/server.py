"""Listens in a Pod: HTTP on 8080 of every address and on 8081 of the loopback; on 8082 it counts what comes until the end."""

import http.server
import socket
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.headers.get("Upgrade"):
            return self.echo()
        if self.path == "/moved":
            return self.answer(302, "", ("Location", "/here"))
        self.answer(200, f"{self.command} {self.path} {self.headers.get('Host')} {self.headers.get('Authorization')}")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, f"{self.path} {len(body)}")

    def answer(self, code, text, *headers):
        self.send_response(code)
        for name, value in (*headers, ("Content-Length", str(len(text)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def echo(self):
        self.send_response(101)
        self.send_header("Connection", "Upgrade")
        self.send_header("Upgrade", self.headers["Upgrade"])
        self.end_headers()
        while data := self.connection.recv(4096):
            self.connection.sendall(data)
        self.close_connection = True


def serve(address, port):
    threading.Thread(target=http.server.ThreadingHTTPServer((address, port), Handler).serve_forever).start()


def count(client):
    size = 0
    while data := client.recv(65536):
        size += len(data)
    client.sendall(b"%d bytes\n" % size)
    client.close()


serve("0.0.0.0", 8080)
serve("127.0.0.1", 8081)
listener = socket.create_server(("0.0.0.0", 8082))
print("up", flush=True)
while True:
    threading.Thread(target=count, args=(listener.accept()[0],)).start()
