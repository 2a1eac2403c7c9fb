import http.server, json, ssl


def convert(item, wanted):
    spec = item["spec"]
    item["apiVersion"] = wanted
    if wanted.endswith("/v1"):
        item["spec"] = {"hostPort": f"{spec['host']}:{spec['port']}"}
    else:
        host, port = spec["hostPort"].split(":")
        item["spec"] = {"host": host, "port": int(port)}
    return item


class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = review.pop("request")
        items = [convert(item, asked["desiredAPIVersion"]) for item in asked["objects"]]
        review["response"] = {"uid": asked["uid"], "result": {"status": "Success"}, "convertedObjects": items}
        body = json.dumps(review).encode()
        self.send_response(200 if self.path == "/convert" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = http.server.HTTPServer(("0.0.0.0", 8443), Hook)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/hook/cert.pem", "/hook/key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
