//! Bad input on the way in: each is refused in one line that names the place, by the right exit code; another job does not notice, and neither
//! head nor worker grows.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use millpond::domain::ErrorKind;
use millpond::rpc::client::Client;
use millpond::rpc::pb;
use millpond::rpc::status::from_status;
use millpond::split::member::MemberPath;
use millpond::split::tar::header_of;

use super::cluster::Cluster;
use super::is_full;
use super::process::{PATIENCE, peak_kib, until, until_within};

const MEMORY_MAX_KIB: u64 = 200 * 1024;

/// A cluster on which somebody else's job runs all along.
struct Pond {
    cluster: Cluster,
    other: String,
}

impl Pond {
    fn new() -> Self {
        let cluster = Cluster::start(&[2]);
        let other = cluster.submit_array(
            "0-2",
            &["--name", "other", "--max-running", "1"],
            &format!("until [ -e {} ]; do sleep 0.02; done; echo fine", cluster.text_path("gate")),
        );
        until("the other job runs", || cluster.count(&other, "running") == 1);
        Self { cluster, other }
    }

    /// That a job over these bytes fails, for a reason with these words.
    #[track_caller]
    fn fails(&self, name: &str, content: impl AsRef<[u8]>, rule: &str, words: &[&str]) {
        let input = self.cluster.write(name, content);
        let job = self.cluster.submit(&[&input, "--split", rule, "--", "cat", "{input}"]);
        let ended = self.cluster.ends(&job, 10);
        let reason = ended["reason"].as_str().unwrap_or_default();
        println!("{name}: {reason}");
        assert!(ended["state"] == "failed" && words.iter().all(|word| reason.contains(word)), "{words:?}: {ended}");
        assert!(reason.lines().count() == 1, "{reason}");
    }

    /// That a command line over a file of this name is refused; by what stands at the path, and from standard input.
    #[track_caller]
    fn refused(&self, name: &str, code: i32, words: &[&str]) {
        self.cluster.millpond(&["submit", name, "--", "cat", "{input}"]).refused(code, &[&[name], words].concat());
        if self.cluster.path(name).is_file() {
            let piped = self.cluster.client(&["data", "add", "-"]).stdin(File::open(self.cluster.path(name)).unwrap()).output().unwrap();
            super::ground::Answer::from(piped).refused(code, words);
        }
    }

    /// The other job ends well, and nobody has grown.
    fn stays_well(mut self) {
        self.cluster.write("gate", "");
        self.cluster.ends(&self.other, 0);
        let bundle = self.cluster.bundle(&self.other);
        assert_eq!((0..3).map(|no| bundle.text(&format!("00000{no}/stdout")).to_owned()).collect::<String>(), "fine\n".repeat(3));
        let worker = self.cluster.worker(1).pid();
        for (who, pid) in [("head", self.cluster.head_pid()), ("worker", worker)] {
            let most = peak_kib(pid);
            println!("{who}: {most} KiB at most");
            assert!(most < MEMORY_MAX_KIB, "the {who} has grown to {most} KiB");
        }
    }
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn texts_that_are_not_what_the_rule_says() {
    let pond = Pond::new();
    pond.fails("header.csv", "a,b\n\n", "csv:1", &["a CSV header without a row below it"]);
    pond.fails("quote.csv", "a,b\n1,\"2\n3,4\n", "csv:1", &["inside a quoted field that began at line 2 (byte 6)", "closing quote"]);
    let noise: Vec<u8> = (0..100_000u32).flat_map(|no| no.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    for rule in ["lines:10", "chunks:3", "csv:1", "jsonl:1", "fasta:1", "fastq:1", "mgf:1"] {
        pond.fails("binary.dat", &noise, rule, &["no text", "byte 0 is NUL", rule]);
    }
    let utf_16: Vec<u8> = "\u{feff}a,b\n1,2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    pond.fails("utf16.csv", utf_16, "csv:1", &["byte 3 is NUL", "iconv"]);
    pond.fails("x.fa", "ACGT\n", "fasta:1", &["line 1 (byte 0)"]);
    pond.fails("x.mgf", "BEGIN IONS\n1 2\n", "mgf:1", &["line 1 (byte 0)", "END IONS"]);
    pond.fails("x.fq", "@a\nAC\n+\nI\n", "fastq:1", &["byte"]);
    pond.fails("x.txt", "a\nb\n", "records:1/start=^never", &["never"]);
    pond.stays_well();
}

#[test]
fn patterns_that_match_nothing_or_take_for_ever() {
    let pond = Pond::new();
    let input = pond.cluster.write("x.txt", format!("{}\n", "a".repeat(30_000)).repeat(50));
    for (rule, words) in [
        ("records:1/start=^$", &["matches an empty line"][..]),
        ("records:1/end=a*", &["matches an empty line"]),
        ("records:1/start=(a", &["no regular expression"]),
        ("records:1/start=(a{500}){500}", &["size limit"]),
    ] {
        pond.cluster.millpond(&["submit", &input, "--split", rule, "--", "cat"]).refused(2, words);
    }
    // What would take an exponential time in other engines.
    pond.fails("x.txt", format!("{}\n", "a".repeat(30_000)).repeat(50), "records:1/start=^(a|aa|a+)+(a+)+b$", &["no line"]);
    pond.stays_well();
}

#[test]
fn lines_and_records_without_end() {
    let pond = Pond::new();
    let line = |mib: usize| gzip(&vec![b'a'; mib << 20]);
    // A line of 8 MiB is a record; for a pattern one of 17 is too long.
    let input = pond.cluster.write("long.txt.gz", line(8));
    let job = pond.cluster.submit(&[&input, "--split", "lines:1", "--", "wc", "-c"]);
    pond.cluster.ends(&job, 0);
    assert_eq!(pond.cluster.bundle(&job).text("000000/stdout").trim(), "8388608");
    pond.fails("long.txt.gz", line(17), "records:1/end=b", &["line 1", "PATTERN_LINE_MAX_BYTES"]);
    let open = [b"a,b\n1,\"".as_slice(), &vec![b'x'; 65 << 20]].concat();
    pond.fails("quote.csv.gz", gzip(&open), "csv:1", &["line 2 (byte 6)", "QUOTED_FIELD_MAX_BYTES"]);
    if is_full() {
        pond.fails("huge.txt.gz", line(1025), "lines:1", &["record 0, from byte 0 on", "RECORD_MAX_BYTES"]);
    }
    pond.stays_well();
}

#[test]
fn compressed_data_that_is_damaged() {
    let pond = Pond::new();
    let text: Vec<u8> = (0..200_000u32).flat_map(|no| format!("{}\n", no.wrapping_mul(2_654_435_761)).into_bytes()).collect();
    let packed = gzip(&text);
    pond.cluster.write("cut.gz", &packed[..packed.len() / 2]);
    pond.refused("cut.gz", 2, &[&format!("the gzip data breaks off, at byte {}", packed.len() / 2)]);
    let mut damaged = packed.clone();
    damaged[packed.len() / 2] ^= 0x55;
    pond.cluster.write("damaged.gz", damaged);
    pond.refused("damaged.gz", 2, &["the gzip data is damaged at byte "]);
    pond.cluster.write("tail.gz", [&packed[..], b"\0\0more"].concat());
    pond.refused("tail.gz", 2, &[&format!("damaged at byte {}", packed.len() + 2), "something else follows its end"]);
    pond.fails("twice.gz", gzip(&packed), "lines:1", &["the data set is gzip data, stored as it is"]);
    assert_eq!(pond.cluster.json(&["data", "list"])["datasets"].as_array().unwrap().len(), 1, "only what was in order");
    pond.stays_well();
}

/// A zip of small files, changed afterwards: what no program would make.
fn zip(path: &Path, names: &[&str], change: impl FnOnce(&mut Vec<u8>)) {
    let mut zip = zip::ZipWriter::new(File::create(path).unwrap());
    for name in names {
        zip.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(b"text\n").unwrap();
    }
    zip.finish().unwrap();
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn replace(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    for at in memchr::memmem::find_iter(bytes, from).collect::<Vec<_>>() {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
}

#[test]
fn archives_of_odd_names() {
    let pond = Pond::new();
    for (name, odd, words) in [
        ("up.zip", &b"../../x"[..], &["`../../x` leads out of its folder"][..]),
        ("root.zip", b"/etc/pw", &["`/etc/pw` is an absolute name"]),
        ("nul.zip", b"a\0bcdef", &["has a NUL byte in its name"]),
        ("twice.zip", b"another", &["`another` is there twice"]),
    ] {
        zip(&pond.cluster.path(name), &["another", "1234567"], |bytes| replace(bytes, b"1234567", odd));
        pond.refused(name, 2, words);
    }
    let mut linked = zip::ZipWriter::new(File::create(pond.cluster.path("link.zip")).unwrap());
    linked.add_symlink("here", "/etc/passwd", zip::write::SimpleFileOptions::default()).unwrap();
    linked.finish().unwrap();
    pond.refused("link.zip", 2, &["`here` is a symbolic link"]);
    // Names that differ in case are different files.
    zip(&pond.cluster.path("case.zip"), &["A.txt", "a.txt", "B/x", "b/x"], |_| {});
    let job = pond.cluster.submit(&["case.zip", "--split", "files:9", "--", "sh", "-c", "cd \"$0\" && find . -type f | wc -l", "{input}"]);
    pond.cluster.ends(&job, 0);
    assert_eq!(pond.cluster.bundle(&job).text("000000/stdout").trim(), "4");
    // A tar is looked at when it is split.
    for (name, make) in [("link.tar", "ln -s /etc/passwd t/here; tar -cf link.tar t"), ("pipe.tar", "mkfifo t/here; tar -cf pipe.tar t")] {
        let made = pond.cluster.command("sh").args(["-ec", &format!("rm -rf t; mkdir t; echo > t/a; {make}")]).status().unwrap();
        assert!(made.success());
        pond.fails(name, fs::read(pond.cluster.path(name)).unwrap(), "files:1", &["`t/here` (byte ", "only files and folders are taken"]);
    }
    let up = pond.cluster.command("sh").args(["-ec", "cd t; tar -P -cf ../up.tar ../t/a"]).status().unwrap();
    assert!(up.success());
    pond.fails("up.tar", fs::read(pond.cluster.path("up.tar")).unwrap(), "files:1", &["`../t/a` (byte 0) leads out of its folder"]);
    pond.fails("cut.tar", &fs::read(pond.cluster.path("link.tar")).unwrap()[..700], "files:1", &["breaks off, at byte 700"]);
    pond.fails("lines.tar", fs::read(pond.cluster.path("up.tar")).unwrap(), "lines:1", &["an archive of files, which `lines:1` can't cut"]);
    pond.stays_well();
}

/// A zip64 archive that says it has so many files, and has nothing but its directory.
fn directory_alone(path: &Path, count: u64) {
    let mut out = BufWriter::new(File::create(path).unwrap());
    out.write_all(b"PK\x03\x04").unwrap();
    let mut header = [0; 46];
    header[..4].copy_from_slice(b"PK\x01\x02");
    header[28] = 10;
    for no in 0..count {
        out.write_all(&header).unwrap();
        write!(out, "{no:010}").unwrap();
    }
    let len = count * 56;
    let numbers = |numbers: &[u64]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    out.write_all(
        &[b"PK\x06\x06".as_slice(), &numbers(&[44]), &[45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0], &numbers(&[count, count, len, 4])].concat(),
    )
    .unwrap();
    out.write_all(&[b"PK\x06\x07\0\0\0\0".as_slice(), &numbers(&[len + 4]), &[1, 0, 0, 0]].concat()).unwrap();
    out.write_all(&[b"PK\x05\x06\0\0\0\0".as_slice(), &[0xff; 12], &[0, 0]].concat()).unwrap();
}

/// A compressed tar of so many empty files, in folders of a thousand.
fn empty_files(count: u64) -> Vec<u8> {
    let mut tar = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for no in 0..count {
        let path = MemberPath::new(format!("{:03}/{no}", no / 1000).as_bytes()).unwrap();
        tar.write_all(&header_of(&path, 0)).unwrap();
    }
    tar.finish().unwrap()
}

#[test]
fn archives_that_are_too_much() {
    let pond = Pond::new();
    directory_alone(&pond.cluster.path("million.zip"), 1_000_000);
    pond.refused("million.zip", 1, &["ZIP_DIRECTORY_MAX_BYTES", "a tar"]);
    // Each file is said to be 4 GiB.
    let names: Vec<String> = (0..2000).map(|no| format!("{no}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    zip(&pond.cluster.path("bomb.zip"), &names, |bytes| {
        for (signature, at) in [(b"PK\x03\x04", 22), (b"PK\x01\x02", 24)] {
            for header in memchr::memmem::find_iter(&bytes.clone(), signature) {
                bytes[header + at..header + at + 4].copy_from_slice(&0xffff_fff0u32.to_le_bytes());
            }
        }
    });
    pond.refused("bomb.zip", 1, &["no room for 7.8 TiB", "free some space"]);
    // What is too much for a zip is not for a tar.
    let enough = if is_full() { 1_000_000 } else { 200_000 };
    directory_alone(&pond.cluster.path("enough.zip"), enough);
    pond.refused("enough.zip", 1, &["ZIP_DIRECTORY_MAX_BYTES", "a tar"]);
    let input = pond.cluster.write("enough.tgz", empty_files(enough));
    let job = pond.cluster.submit(&[&input, "--hold", "--split", "files/chunks:9", "--", "ls", "{input}"]);
    // It is no promise how long a million files take a program that was built to be debugged.
    let patience = if is_full() { PATIENCE * 10 } else { PATIENCE };
    until_within(patience, "it is split", || pond.cluster.show(&job)["tasks"]["total"] == 9);
    pond.cluster.ok(&["kill", &job]);
    if is_full() {
        pond.fails("million.tgz", empty_files(1_000_001), "files/chunks:9", &["`1000/1000000` (byte 512000000)", "ARCHIVE_FILES_MAX"]);
    }
    // One that lies makes no more than it says.
    zip(&pond.cluster.path("liar.zip"), &["bomb"], |bytes| {
        let central = memchr::memmem::find(bytes, b"PK\x01\x02").unwrap();
        (bytes[22], bytes[central + 24]) = (2, 2);
    });
    pond.refused("liar.zip", 2, &["`bomb`", "damaged in the zip archive"]);
    pond.stays_well();
}

#[test]
fn folders_with_what_is_no_file() {
    let pond = Pond::new();
    let folder = pond.cluster.path("in");
    for (make, words) in [
        ("ln -s . in/sub/loop", &["`sub/loop` is a link to a folder"][..]),
        ("ln -s self in/self", &["`self` is a link that leads back to itself"]),
        ("ln -s /etc/passwd in/out", &["`out` is a link that leads out of the folder"]),
        ("mkfifo in/pipe", &["`pipe` is a named pipe"]),
        ("rm -r in/sub", &["no file in it"]),
    ] {
        let made =
            pond.cluster.command("sh").args(["-ec", &format!("rm -rf in; mkdir -p in/sub; echo > in/sub/a; {make}")]).status().unwrap();
        assert!(made.success());
        pond.refused("in", 2, words);
    }
    fs::create_dir_all(&folder).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap();
    pond.refused("in", 2, &["`socket` is a socket"]);
    drop(socket);
    fs::remove_file(folder.join("socket")).unwrap();

    // Only another than root can find that a file is not for him.
    fs::write(folder.join("secret"), "x").unwrap();
    fs::set_permissions(folder.join("secret"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(pond.cluster.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let program = env!("CARGO_BIN_EXE_millpond");
    let mut command = pond.cluster.command(if rustix::process::geteuid().is_root() { "setpriv" } else { program });
    if rustix::process::geteuid().is_root() {
        command.args(["--reuid", "65534", "--clear-groups", program]);
    }
    let answer = command.args(["--head", &pond.cluster.url, "submit", "in", "--", "cat", "{input}"]).output().unwrap();
    super::ground::Answer::from(answer).refused(5, &["in/secret", "can't be read", "ermission denied"]);
    pond.stays_well();
}

/// By hand the same was done with 10 GB.
#[test]
fn a_shared_file_beyond_a_workers_cache_is_named_and_one_within_it_is_kept() {
    let mut cluster = Cluster::start(&[]);
    cluster.add_worker(2, &["--cache", "64M"]);
    for (name, mib) in [("large.db", 65), ("fits.db", 60), ("other.db", 40)] {
        File::create(cluster.path(name)).unwrap().set_len(mib << 20).unwrap();
    }
    let submit = |name: &str| {
        let path = cluster.text_path(name);
        cluster.submit(&["--array", "0-3", "--with", &path, "--", "stat", "-c", "%s %i", &format!("{{with:{name}}}")])
    };
    let outputs = |job: &str| {
        let bundle = cluster.bundle(job);
        (0..4).map(|no| bundle.text(&format!("00000{no}/stdout")).to_owned()).collect::<std::collections::BTreeSet<_>>()
    };
    let refused = submit("large.db");
    cluster.ends(&refused, 10);
    let task = cluster.tasks(&refused).remove(0);
    let line = task["outcome"].as_str().unwrap();
    assert!(
        line.contains("`large.db` has 65.0 MiB, and this worker keeps at most 64.0 MiB of inputs") && line.contains("--cache"),
        "{line}"
    );
    // One file for all tasks of all jobs, until another needs the room.
    let fits = submit("fits.db");
    cluster.ends(&fits, 0);
    let again = submit("fits.db");
    cluster.ends(&again, 0);
    let seen = outputs(&fits);
    assert!(seen.len() == 1 && seen == outputs(&again), "{seen:?}");
    let other = submit("other.db");
    cluster.ends(&other, 0);
    let kept = || cluster.command("du").args(["-sm", "--apparent-size", "worker-1/cache"]).output().unwrap().stdout;
    until("the other one is removed", || String::from_utf8(kept()).unwrap().starts_with("41\t"));
    for pid in [cluster.head_pid(), cluster.worker(1).pid()] {
        assert!(peak_kib(pid) < MEMORY_MAX_KIB, "{}", peak_kib(pid));
    }
}

#[test]
fn too_many_too_large_and_from_elsewhere() {
    let pond = Pond::new();
    let cluster = &pond.cluster;
    fs::create_dir_all(cluster.path("a")).unwrap();
    cluster.write("db.fasta", ">a\nA\n");
    cluster.write("a/db.fasta", ">b\nB\n");
    cluster
        .millpond(&["submit", "--array", "0", "--with", "db.fasta", "--with", "a/db.fasta", "--", "true"])
        .refused(2, &["two shared files", "`db.fasta`"]);
    // Larger than any disk here, and not there at all.
    File::create(cluster.path("huge.db")).unwrap().set_len(8 << 40).unwrap();
    cluster.millpond(&["submit", "--array", "0", "--with", "huge.db", "--", "true"]).refused(1, &["huge.db", "no room for 8.0 TiB"]);
    let long: Vec<String> = (0..40).map(|_| "x".repeat(4000)).collect();
    let args: Vec<&str> = ["submit", "--array", "0", "--", "true"].into_iter().chain(long.iter().map(String::as_str)).collect();
    cluster.millpond(&args).refused(2, &["131072"]);

    // A data set that another cluster has.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let dataset = pb::DatasetInput { digest: "ab".repeat(32), split: "lines:1".into(), name: "x.txt".into() };
    let spec = pb::JobSpec {
        name: "x".into(),
        owner: "ada".into(),
        command: vec!["true".into()],
        input: Some(pb::job_spec::Input::Dataset(dataset)),
        ..Default::default()
    };
    let request =
        pb::SubmitJobRequest { request_id: "01234567-89ab-cdef-0123-456789abcdef".into(), spec: Some(spec), ..Default::default() };
    let status = runtime
        .block_on(async { Client::connect(&cluster.url.parse().unwrap()).await.unwrap().jobs().submit_job(request).await.unwrap_err() });
    let error = from_status(&status);
    assert!(error.kind == ErrorKind::NotFound && error.message.contains("abab"), "{error}");
    cluster.millpond(&["show", "j4711"]).refused(3, &["j4711"]);
    assert_eq!(cluster.json(&["list"])["jobs"].as_array().unwrap().len(), 1, "none of them was submitted");
    pond.stays_well();
}
