//! Data sets: odd ones, and uploads that break.

use super::cluster::Cluster;
use super::proxy::{After, Proxy};

/// The chunks that a command gets on standard input, by a rule.
fn chunks(cluster: &Cluster, name: &str, content: &str, rule: &str) -> Vec<String> {
    let input = cluster.write(name, content);
    let job = cluster.submit(&[&input, "--split", rule, "--", "cat"]);
    let total = cluster.ends(&job, 0)["tasks"]["total"].as_u64().unwrap();
    let bundle = cluster.bundle(&job);
    (0..total).map(|index| bundle.text(&format!("{index:06}/stdout")).to_owned()).collect()
}

#[test]
fn records_are_cut_where_the_rule_says_and_nowhere_else() {
    let cluster = Cluster::start(&[2]);
    assert_eq!(chunks(&cluster, "one.txt", "only\n", "lines:10"), ["only\n"], "one record");
    assert_eq!(chunks(&cluster, "exact.txt", "1\n2\n3\n4\n", "lines:2"), ["1\n2\n", "3\n4\n"], "N exactly");
    assert_eq!(chunks(&cluster, "rest.txt", "1\n2\n3\n", "lines:2"), ["1\n2\n", "3\n"]);
    assert_eq!(chunks(&cluster, "open.txt", "1\n2\n3", "lines:2"), ["1\n2\n", "3"], "no last newline");
    assert_eq!(chunks(&cluster, "open-one.txt", "x", "lines:1"), ["x"]);
    assert_eq!(chunks(&cluster, "crlf.txt", "1\r\n2\r\n3\r\n", "lines:2"), ["1\r\n2\r\n", "3\r\n"], "CRLF");
    assert_eq!(chunks(&cluster, "blank.txt", "\n\n\n", "lines:1"), ["\n", "\n", "\n"]);
    assert_eq!(chunks(&cluster, "few.txt", "1\n2\n", "chunks:9"), ["1\n", "2\n"], "fewer records than chunks");
    assert_eq!(chunks(&cluster, "a.fasta", ">a\nAC\nGT\n>b\nA", "fasta:1"), [">a\nAC\nGT\n", ">b\nA"]);
    let mgf = "USER=me\nBEGIN IONS\nTITLE=1\n1 2\nEND IONS\nBEGIN IONS\nTITLE=2\n1 2\nEND IONS\n";
    let two = chunks(&cluster, "a.mgf", mgf, "mgf:1");
    assert!(two.len() == 2 && two.iter().all(|chunk| chunk.starts_with("USER=me\nBEGIN IONS\n")), "{two:?}");
    assert_eq!(chunks(&cluster, "a.fq", "@a\nAC\n+\n@I\n@b\nA\nC\n+\nII", "fastq:1"), ["@a\nAC\n+\n@I\n", "@b\nA\nC\n+\nII"]);
    assert_eq!(chunks(&cluster, "a.csv", "h,i\n1,\"a\nb\"\n2,c\n", "csv:1"), ["h,i\n1,\"a\nb\"\n", "h,i\n2,c\n"]);
    assert_eq!(chunks(&cluster, "a.jsonl", "{}\n\n[1]\n", "jsonl:1"), ["{}\n", "\n[1]\n"]);
    assert_eq!(chunks(&cluster, "a.gb", "a\n//\nb/c:d\n//\n", "records:1/end=^//$"), ["a\n//\n", "b/c:d\n//\n"]);
    let two = chunks(&cluster, "b.gb", "head\nID a/b:1\nx\nID a/b:2\ny\n", "records/chunks:2/start=^ID a/b:\\d");
    assert_eq!(two, ["head\nID a/b:1\nx\n", "head\nID a/b:2\ny\n"]);
    let whole: String = chunks(&cluster, "many.txt", &"line\n".repeat(1000), "chunks:7").concat();
    assert_eq!(whole, "line\n".repeat(1000));
}

#[test]
fn a_data_set_that_the_rule_cannot_split_fails_with_a_reason() {
    let cluster = Cluster::start(&[1]);
    let input = cluster.write("not.mgf", "BEGIN IONS\nTITLE=1\n");
    let job = cluster.submit(&[&input, "--", "cat"]);
    let ended = cluster.ends(&job, 10);
    let reason = ended["reason"].as_str().unwrap();
    assert!(ended["state"] == "failed" && reason.contains("END IONS"), "{ended}");
}

#[test]
fn an_empty_input_is_refused_wherever_it_comes_from() {
    let cluster = Cluster::start(&[1]);
    let empty = cluster.write("empty.txt", "");
    cluster.millpond(&["submit", &empty, "--", "cat"]).refused(2, &["empty.txt", "is empty"]);
    cluster.millpond(&["submit", "-", "--", "cat"]).refused(2, &["no data"]);
    cluster.millpond(&["data", "add", &empty]).refused(2, &["is empty"]);
    assert_eq!(cluster.json(&["list"])["jobs"], serde_json::json!([]));
}

#[test]
fn standard_input_and_stored_data_are_data_sets_too() {
    let cluster = Cluster::start(&[1]);
    let file = std::fs::File::open(cluster.write("in.txt", "a\nb\n")).unwrap();
    let output = cluster.client(&["submit", "-", "--split", "lines:1", "--", "cat"]).stdin(file).output().unwrap();
    let job = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    assert_eq!(cluster.ends(&job, 0)["tasks"]["total"], 2);
    let digest = cluster.ok(&["data", "add", &cluster.text_path("in.txt")]);
    let list = cluster.json(&["data", "list"]);
    assert!(list["datasets"].as_array().unwrap().iter().any(|data| data["digest"] == digest.as_str() && data["len"] == 4), "{list}");
}

/// Lines enough for several pieces.
fn large() -> String {
    (0..700_000).map(|line| format!("{line}\n")).collect()
}

#[test]
fn an_upload_that_breaks_leaves_nothing_and_can_be_made_again() {
    let cluster = Cluster::start(&[1]);
    let input = cluster.write("large.txt", large());
    let proxy = Proxy::to(&cluster.url, 1 << 20, After::Cut);
    let answer = cluster.millpond(&["--head", &proxy.url, "data", "add", &input]);
    // It may be tried again by itself; if not, the error says what broke.
    if answer.code != 0 {
        answer.refused(6, &["large.txt"]);
        assert_eq!(cluster.json(&["data", "list"])["datasets"], serde_json::json!([]));
    }
    cluster.ok(&["data", "add", &input]);
    let job = cluster.submit(&[&input, "--split", "chunks:4", "--merge", "concat", "--", "cat"]);
    cluster.ends(&job, 0);
    assert!(cluster.bundle(&job).text("merged") == large());
}

#[test]
fn a_client_that_dies_in_mid_upload_leaves_nothing() {
    let cluster = Cluster::start(&[1]);
    let input = cluster.write("large.txt", large());
    let proxy = Proxy::to(&cluster.url, 1 << 20, After::Stall);
    let mut client = cluster.client(&["--head", &proxy.url, "submit", &input, "--", "cat"]).spawn().unwrap();
    super::process::until("the upload is half way", || proxy.passed() >= 1 << 20);
    client.kill().unwrap();
    client.wait().unwrap();
    assert_eq!(cluster.json(&["list"])["jobs"], serde_json::json!([]));
    assert_eq!(cluster.json(&["data", "list"])["datasets"], serde_json::json!([]));
    // Its connection is open, and nobody is behind it: who comes for the same file does not wait for a minute.
    let began = std::time::Instant::now();
    let job = cluster.submit(&[&input, "--split", "chunks:2", "--", "wc", "-l"]);
    assert!(began.elapsed() < std::time::Duration::from_secs(30), "{:?}", began.elapsed());
    cluster.ends(&job, 0);
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn a_compressed_data_set_is_stored_plain_and_once() {
    let cluster = Cluster::start(&[2]);
    let fasta: String = (0..50_000).map(|no| format!(">protein {no}\nMKVLLA\n")).collect();
    let members = [gzip(&fasta[..300_000]), gzip(&fasta[300_000..])].concat();
    let packed = cluster.write("x.fasta.gz", &members);
    let job = cluster.submit(&[&packed, "--merge", "concat", "--", "sh", "-c", "echo ${MILLPOND_INPUT##*.}; cat {input}"]);
    cluster.ends(&job, 0);
    let shown = cluster.json(&["show", &job]);
    let input = &shown["input"]["dataset"];
    assert!(shown["name"] == "x" && input["name"] == "x.fasta" && input["split"].as_str().unwrap().starts_with("fasta/chunks:"), "{shown}");
    assert!(cluster.bundle(&job).text("merged").replace("fasta\n", "") == fasta, "the chunks are plain, and called so");

    // The plain file is the same content; so is one through a pipe, and one that is compressed in another way.
    let digest = cluster.ok(&["data", "add", &cluster.write("x.fasta", &fasta)]);
    assert_eq!(input["digest"], digest.as_str());
    let bzip2 = cluster.write("y.fasta.bz2", {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        std::io::Write::write_all(&mut encoder, fasta.as_bytes()).unwrap();
        encoder.finish().unwrap()
    });
    assert_eq!(cluster.ok(&["data", "add", &bzip2]), digest);
    let piped = cluster.client(&["data", "add", "-"]).stdin(std::fs::File::open(&packed).unwrap()).output().unwrap();
    assert_eq!(String::from_utf8(piped.stdout).unwrap().trim(), digest);
    assert_eq!(cluster.json(&["data", "list"])["datasets"].as_array().unwrap().len(), 1);

    // A shared file stays as it is.
    let job = cluster.submit(&["--array", "1", "--with", &packed, "--", "sh", "-c", "gzip -dc {with:x.fasta.gz} | wc -l"]);
    cluster.ends(&job, 0);
    assert_eq!(cluster.bundle(&job).text("000001/stdout").trim(), "100000");
}

#[test]
fn damaged_compressed_data_is_refused_with_its_place() {
    let cluster = Cluster::start(&[1]);
    let packed = gzip(&large());
    let cut = cluster.write("cut.gz", &packed[..1_000_000]);
    cluster.millpond(&["submit", &cut, "--", "cat"]).refused(2, &["cut.gz", "the gzip data breaks off, at byte 1000000"]);
    let piped = cluster.client(&["data", "add", "-"]).stdin(std::fs::File::open(&cut).unwrap()).output().unwrap();
    let said = String::from_utf8_lossy(&piped.stderr).into_owned();
    assert!(piped.status.code() == Some(2) && said.contains("breaks off, at byte 1000000"), "{said}");
    assert_eq!(cluster.json(&["data", "list"])["datasets"], serde_json::json!([]));
}

#[test]
fn whatever_a_task_does_to_its_chunk_the_next_one_gets_its_own() {
    // In a sandbox it can do little to a large one.
    let cluster = Cluster::start_open(1);
    let lines = |from: u32, len: usize| (from..from + 60).map(|no| format!("{no}{}\n", "x".repeat(len))).collect::<String>();
    // The file is deleted, replaced, written to, made longer, linked, moved to the output, has others beside it; or is left alone.
    let script = "in=$MILLPOND_INPUT; cat $in; case $(($MILLPOND_INDEX % 9)) in \
        0) rm -f $in;; 1) rm -f $in; ln -s /etc/passwd $in;; 2) chmod u+w $in; echo more >> $in;; 3) ln $in ${in%/*}/second;; \
        4) mv $in $MILLPOND_OUTPUT/moved;; 5) mkdir $in.idx; : > $in.idx/f;; 6) chmod 500 ${in%/*};; 7) ls ${in%/*} > $MILLPOND_OUTPUT/names;; esac";
    // Small ones, which come several at a time, of two jobs; and ones that are files of their own.
    for (name, content, len) in [("a.txt", lines(100, 3), 60), ("b.txt", lines(500, 1), 60), ("large.txt", lines(100, 70_000), 60)] {
        let input = cluster.write(name, &content);
        let job = cluster.submit(&[&input, "--split", "lines:1", "--", "sh", "-c", script]);
        cluster.ends(&job, 0);
        let bundle = cluster.bundle(&job);
        for (index, line) in content.split_inclusive('\n').enumerate() {
            assert_eq!(bundle.text(&format!("{index:06}/stdout")), line, "{name}");
            if index % 9 == 7 {
                let stem = name.trim_end_matches(".txt");
                assert_eq!(bundle.text(&format!("{index:06}/names")), format!("{stem}-{index:06}.txt\n"));
            }
            if index % 9 == 4 {
                assert_eq!(bundle.text(&format!("{index:06}/moved")), line);
            }
        }
        assert_eq!(content.lines().count(), len);
    }
}
