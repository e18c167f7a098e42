#!/usr/bin/env python3
"""Drives a Millpond head from Python, knowing nothing but the files in proto/.

usage: client.py [HOST:PORT]        (default: MILLPOND_HEAD, else 127.0.0.1:7663)

Lists the head's services by reflection, uploads a data set, submits a job, watches, pauses and resumes it, fetches the bundle in two
parts, and checks what is in it. Prints what it does and PASS; ends with 1 and FAIL where the head breaks a promise.
"""

import hashlib
import importlib
import io
import json
import os
import pathlib
import re
import sys
import tempfile
import time
import uuid
import zipfile

import grpc
import grpc_tools.protoc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
SERVICES = ("ClusterService", "DatasetService", "JobService")

# 2,000 numbers in 40 chunks, two at a time, at least 0.2 s each: the job takes 4 s or more, so there is time to pause it.
NUMBERS = range(1, 2001)
CHUNK_LINES = 50
TASKS = len(NUMBERS) // CHUNK_LINES
MAX_RUNNING = 2
COMMAND = ["sh", "-c", "sleep 0.2; awk '{ sum += $1 } END { print sum }'"]

PIECE_BYTES = 1 << 20
CALL_SECONDS = 10
JOB_SECONDS = 120
# How long a paused job is looked at.
PAUSED_SECONDS = 1.5


def check(holds, promise):
    """Ends the program where a promise is broken."""
    if not holds:
        sys.exit(f"FAIL: {promise}")


def generate_stubs(folder):
    """Compiles proto/ into Python modules, and returns those of the three client services."""
    include = pathlib.Path(grpc_tools.protoc.__file__).parent / "_proto"
    files = sorted(str(file.relative_to(PROTO)) for file in PROTO.glob("millpond/v1/*.proto"))
    check(files, f"there are no .proto files in {PROTO}")
    arguments = ["protoc", f"-I{PROTO}", f"-I{include}", f"--python_out={folder}", f"--grpc_python_out={folder}", *files]
    check(grpc_tools.protoc.main(arguments) == 0, "protoc compiles the files in proto/")
    sys.path.insert(0, folder)
    names = ("jobs_pb2", "jobs_pb2_grpc", "datasets_pb2", "datasets_pb2_grpc", "cluster_pb2", "cluster_pb2_grpc")
    return [importlib.import_module(f"millpond.v1.{name}") for name in names]


class Client:
    """One channel to a head, with the messages (`jobs`, `datasets`, `cluster`) and the stubs (`job_service`, …)."""

    def __init__(self, address, folder):
        self.jobs, jobs_grpc, self.datasets, datasets_grpc, self.cluster, cluster_grpc = generate_stubs(folder)
        self.channel = grpc.insecure_channel(address)
        self.job_service = jobs_grpc.JobServiceStub(self.channel)
        self.dataset_service = datasets_grpc.DatasetServiceStub(self.channel)
        self.cluster_service = cluster_grpc.ClusterServiceStub(self.channel)

    def services(self):
        """The names of the services that the head offers, by reflection."""
        return sorted(ProtoReflectionDescriptorDatabase(self.channel).get_services())

    def upload(self, name, data):
        """Uploads a data set; returns it as the head knows it."""
        request = self.datasets.UploadDatasetRequest
        pieces = [request(header=request.Header(name=name, digest=hashlib.sha256(data).hexdigest()))]
        pieces += [request(data=data[at : at + PIECE_BYTES]) for at in range(0, len(data), PIECE_BYTES)]
        return self.dataset_service.UploadDataset(iter(pieces), timeout=JOB_SECONDS)

    def submit(self, digest, name, request_id):
        """Submits the job that sums up each chunk."""
        source = self.jobs.DatasetInput(digest=digest, split=f"lines:{CHUNK_LINES}", name=name)
        spec = self.jobs.JobSpec(name="foreign-client", owner="foreign-client", dataset=source, command=COMMAND)
        request = self.jobs.SubmitJobRequest(request_id=request_id, spec=spec, max_running=MAX_RUNNING)
        return self.job_service.SubmitJob(request, timeout=CALL_SECONDS)

    def get(self, job_id):
        """The job as it is now."""
        return self.job_service.GetJob(self.jobs.GetJobRequest(id=job_id), timeout=CALL_SECONDS)

    def pause(self, job_id):
        """Pauses; after the reply no task of the job starts."""
        request = self.jobs.PauseJobRequest(id=job_id, request_id=str(uuid.uuid4()), reason="to show that it can be done")
        return self.job_service.PauseJob(request, timeout=CALL_SECONDS)

    def resume(self, job_id):
        """Resumes."""
        request = self.jobs.ResumeJobRequest(id=job_id, request_id=str(uuid.uuid4()))
        return self.job_service.ResumeJob(request, timeout=CALL_SECONDS)

    def watch(self, job_id, cursor=0):
        """The events of a job after `cursor`, to its end."""
        return self.job_service.WatchJob(self.jobs.WatchJobRequest(id=job_id, cursor=cursor), timeout=JOB_SECONDS)

    def download(self, job_id, offset=0, etag="", stop_at=None):
        """(bytes from `offset` on, length of the whole bundle, etag); breaks off once it has `stop_at` bytes."""
        request = self.jobs.DownloadBundleRequest(id=job_id, offset=offset, etag=etag)
        call = self.job_service.DownloadBundle(request, timeout=JOB_SECONDS)
        data, total = bytearray(), None
        for piece in call:
            if total is None:
                total, etag = piece.total_len, piece.etag
            data += piece.data
            if stop_at is not None and len(data) >= stop_at:
                call.cancel()
                return bytes(data[:stop_at]), total, etag
        return bytes(data), total, etag


def counts(job):
    """The counts of a job's tasks, in words."""
    tasks = job.tasks
    return f"{tasks.succeeded} of {tasks.total} done, {tasks.running} running, {tasks.undispatched} not started"


def watch_until(client, job_id, cursor, reached):
    """Watches until `reached(job)`; returns the cursor of the event that showed it, and the job as it was then."""
    events = client.watch(job_id, cursor)
    for event in events:
        print(f"  {event.kind}: {event.text} ({counts(event.job)})")
        if reached(event.job):
            events.cancel()
            return event.cursor, event.job
    return sys.exit("FAIL: the events ended before what was waited for")


def pause_and_resume(client, job_id):
    """Pauses the job when its first task has succeeded; nothing may start until it is resumed. Returns the last cursor seen."""
    cursor, _ = watch_until(client, job_id, 0, lambda job: job.tasks.succeeded > 0)
    reply = client.pause(job_id)
    check(reply.changed and reply.job.held, "a paused job is held")
    check(not reply.unconfirmed, f"every worker answers the pause; these did not: {', '.join(reply.unconfirmed)}")
    check(reply.undispatched > 0, "something is left to pause; the job was too fast")
    print(f"paused: {reply.undispatched} not started, {reply.running} still running")
    check(not client.pause(job_id).changed, "a second pause changes nothing")

    until = time.monotonic() + PAUSED_SECONDS
    while time.monotonic() < until:
        job = client.get(job_id)
        check(job.tasks.undispatched == reply.undispatched, "no task starts while the job is paused")
        time.sleep(0.1)
    check(job.tasks.running == 0, f"what ran has ended {PAUSED_SECONDS} s later")
    check(client.resume(job_id).changed, "resume lets it go on")
    print("resumed")
    return cursor


def fetch(client, job_id):
    """Fetches the bundle in two parts, as after a broken connection."""
    whole, total, etag = client.download(job_id)
    check(len(whole) == total, "a download is as long as it says")
    first, _, etag = client.download(job_id, stop_at=total // 2)
    rest, _, _ = client.download(job_id, offset=len(first), etag=etag)
    check(first + rest == whole, "a broken download goes on where it stopped")
    return whole


def check_bundle(data):
    """Checks the archive and adds up what the tasks printed."""
    with zipfile.ZipFile(io.BytesIO(data)) as bundle:
        check(bundle.testzip() is None, "the archive's checksums are right")
        names = bundle.namelist()
        json.loads(bundle.read("manifest.json"))
        json.loads(bundle.read("run.json"))
        outputs = [name for name in names if re.fullmatch(r"\d{6}/stdout", name)]
        check(len(outputs) == TASKS, f"there are {TASKS} standard outputs; the bundle holds {len(outputs)}")
        total = sum(int(bundle.read(name)) for name in outputs)
    check(total == sum(NUMBERS), f"the chunks' sums add up to {sum(NUMBERS)}; they make {total}")
    print(f"bundle: {len(data)} bytes, {len(names)} entries, sum {total}")


def main():
    address = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("MILLPOND_HEAD", "127.0.0.1:7663")
    address = address.removeprefix("http://").rstrip("/")
    with tempfile.TemporaryDirectory() as folder:
        client = Client(address, folder)
        services = client.services()
        print("services:", *services)
        for name in SERVICES:
            check(f"millpond.v1.{name}" in services, f"the head offers {name}")
        cluster = client.cluster_service.GetCluster(client.cluster.GetClusterRequest(), timeout=CALL_SECONDS)
        print(f"millpond {cluster.version}: {cluster.workers} workers, {cluster.slots} slots")

        data = "".join(f"{number}\n" for number in NUMBERS).encode()
        dataset = client.upload("numbers.txt", data)
        check(dataset.digest == hashlib.sha256(data).hexdigest() and dataset.len == len(data), "a data set is named by its SHA-256")

        request_id = str(uuid.uuid4())
        job = client.submit(dataset.digest, dataset.name, request_id)
        check(client.submit(dataset.digest, dataset.name, request_id).id == job.id, "a repeated request makes no second job")
        print(f"submitted {job.id}")

        cursor = pause_and_resume(client, job.id)
        _, job = watch_until(client, job.id, cursor, lambda job: job.HasField("finished"))
        check(job.state == client.jobs.JOB_STATE_SUCCEEDED, f"the job succeeds; {job.reason}")
        check(job.tasks.succeeded == TASKS, f"there are {TASKS} tasks; {counts(job)}")
        check_bundle(fetch(client, job.id))
        print("PASS")


if __name__ == "__main__":
    try:
        main()
    except grpc.RpcError as error:
        sys.exit(f"FAIL: {error.code().name}: {error.details()}")
