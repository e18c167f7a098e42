"""Checks the files of this folder against what is to read them: one argument names the part, the rest are files.

    check.py kubernetes FILE…      each document against the schema of its kind; and none runs as root
    check.py terraform FILE…       the syntax; and each variable that is used is declared
    check.py dockerfile FILE       each stage that is used exists, what is copied exists, no last stage runs as root
    check.py figures PAGE BOARD…   a scrape is read as Prometheus reads it; and each figure that a board, or another file, names is in it
    check.py metadata PORT CLOUD   a stand-in for a cloud's metadata address: the notice comes with the third look
"""

import http.server
import json
import os
import re
import sys


def fail(text):
    sys.exit(f"check.py: {text}")


def kubernetes(files):
    import kubernetes_validate
    import yaml

    count = 0
    for file in files:
        for document in yaml.safe_load_all(open(file)):
            try:
                kubernetes_validate.validate(document, "1.32", strict=True)
            except kubernetes_validate.ValidationError as error:
                fail(f"{file}: {document.get('kind')}: {error.message} at {list(error.path)}")
            template = document.get("spec", {}).get("template", {}).get("spec")
            if template and not template["securityContext"]["runAsNonRoot"]:
                fail(f"{file}: {document['kind']} may run as root")
            count += 1
    if count < 6:
        fail(f"only {count} documents in {files}")
    print(f"{count} documents fit their schemas")


def terraform(files):
    import hcl2

    declared, text = set(), ""
    for file in files:
        try:
            content = hcl2.load(open(file))
        except Exception as error:  # whatever the parser calls it
            fail(f"{file}: {str(error).splitlines()[0]}")
        declared |= {name.strip('"') for block in content.get("variable", []) for name in block if not name.startswith("__")}
        text += open(file).read()
    used = set(re.findall(r"\bvar\.(\w+)", text))
    if not used or used != declared:
        fail(f"variables: used {sorted(used)}, declared {sorted(declared)}")
    print(f"{len(files)} files, {len(used)} variables")


def dockerfile(files):
    from dockerfile_parse import DockerfileParser

    (file,) = files
    root = os.path.join(os.path.dirname(file), "..", "..")
    with open(file, "rb") as handle:
        steps = DockerfileParser(fileobj=handle).structure
    stages, user, based, used = {}, None, None, set()
    for step in steps:
        word, value = step["instruction"], step["value"]
        if word == "FROM":
            image, _, name = value.partition(" AS ")
            used.add(image)
            user, based = stages.get(image), name
            stages[name] = user
        elif word == "USER":
            stages[based] = user = value
        elif word == "COPY":
            source = re.match(r"--from=(\w+) ", value)
            if source and source.group(1) not in stages:
                fail(f"{file}: no stage {source.group(1)}")
            if not source and not os.path.exists(os.path.join(root, value.split()[0])):
                fail(f"{file}: nothing to copy at {value.split()[0]}")
        elif word not in ("RUN", "ENV", "WORKDIR", "VOLUME", "EXPOSE", "ENTRYPOINT", "CMD", "COMMENT"):
            fail(f"{file}: an instruction {word}")
    last = {name: user for name, user in stages.items() if name not in used and name != "build"}
    if set(last) != {"head", "worker"} or any(user in (None, "root", "0") for user in last.values()):
        fail(f"{file}: its images run as {last}")
    print(f"images and their users: {last}")


def figures(files):
    from prometheus_client.parser import text_string_to_metric_families

    page, *named_in = files
    families = list(text_string_to_metric_families(open(page).read()))
    served = {sample.name for family in families for sample in family.samples}
    if len(families) < 20 or any(not family.documentation or family.type == "unknown" for family in families):
        fail(f"{page}: not the figures of a head: {sorted(served)}")
    count = 0
    for file in named_in:
        text = open(file).read()
        if file.endswith(".json"):
            board = json.loads(text)
            targets = [target for panel in board["panels"] for target in panel["targets"]]
            ids = [panel["id"] for panel in board["panels"]]
            if len(targets) < 15 or len(ids) != len(set(ids)) or not board["uid"]:
                fail(f"{file}: no board")
            count += len(targets)
        named = set(re.findall(r"\b(?:millpond|process)_[a-z_]+\b", text))
        if not named or named - served:
            fail(f"{file}: names figures that no head serves: {sorted(named - served)}")
    print(f"{len(families)} figures, {count} queries")


def metadata(arguments):
    port, cloud = int(arguments[0]), arguments[1]
    looks = 0

    class Cloud(http.server.BaseHTTPRequestHandler):
        def answer(self, text, code=200):
            self.send_response(code)
            self.end_headers()
            self.wfile.write(text.encode())

        def do_PUT(self):
            self.answer("the-key" if self.headers["X-aws-ec2-metadata-token-ttl-seconds"] else "", 200)

        def do_GET(self):
            nonlocal looks
            looks += 1
            noticed = looks >= 3
            if cloud == "aws" and self.path == "/latest/meta-data/spot/instance-action" and self.headers["X-aws-ec2-metadata-token"] == "the-key":
                self.answer('{"action": "terminate"}' if noticed else "", 200 if noticed else 404)
            elif cloud == "gcp" and self.path == "/computeMetadata/v1/instance/preempted" and self.headers["Metadata-Flavor"] == "Google":
                self.answer("TRUE" if noticed else "FALSE")
            elif cloud == "azure" and self.path.startswith("/metadata/scheduledevents?") and self.headers["Metadata"] == "true":
                self.answer('{"Events": [{"EventType": "Preempt"}]}' if noticed else '{"Events": [{"EventType": "Reboot"}]}')
            else:
                self.answer("", 400)

        def log_message(self, *_):
            pass

    server = http.server.HTTPServer(("127.0.0.1", port), Cloud)
    print(server.server_port, flush=True)
    server.serve_forever()


parts = {"kubernetes": kubernetes, "terraform": terraform, "dockerfile": dockerfile, "figures": figures, "metadata": metadata}
if len(sys.argv) < 3 or sys.argv[1] not in parts:
    fail(f"name a part, {', '.join(parts)}, and its arguments")
parts[sys.argv[1]](sys.argv[2:])
