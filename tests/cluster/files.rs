//! Data sets of files: folders, tar and zip archives, from the command line to what a task gets.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use super::cluster::Cluster;

/// What the tasks print, in order.
fn outputs(cluster: &Cluster, args: &[&str]) -> Vec<String> {
    let job = cluster.submit(args);
    let total = cluster.ends(&job, 0)["tasks"]["total"].as_u64().unwrap();
    let bundle = cluster.bundle(&job);
    (0..total).map(|index| bundle.text(&format!("{index:06}/stdout")).to_owned()).collect()
}

fn run(cluster: &Cluster, program: &str, args: &[&str]) {
    let status = cluster.command(program).args(args).status().unwrap();
    assert!(status.success(), "{program} {args:?}");
}

/// A folder `in` with files, some of them of odd names.
fn folder(cluster: &Cluster) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let names: [&[u8]; 7] =
        [b"a.txt", b"sub/b.txt", b"sub/deeper/c", b"new\nline.txt", b"not\xffutf-8", "emoji 🦀".as_bytes(), &[b'l'; 255]];
    let files = names.iter().enumerate().map(|(no, name)| (name.to_vec(), format!("file {no}\n").into_bytes()));
    let files: BTreeMap<_, _> = files.collect();
    for (name, data) in &files {
        let path = cluster.path("in").join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, data).unwrap();
    }
    fs::create_dir(cluster.path("in/empty")).unwrap();
    files
}

#[test]
fn a_task_gets_whole_files_whatever_they_came_as() {
    let cluster = Cluster::start(&[2]);
    let files = folder(&cluster);
    run(&cluster, "tar", &["-C", "in", "--sort=name", "-cf", "in.tar", "."]);
    run(&cluster, "tar", &["-C", "in", "--sort=name", "-czf", "in.tgz", "."]);
    run(&cluster, "tar", &["-C", "in", "--format=pax", "--sort=name", "-cf", "pax.tar", "."]);
    run(&cluster, "bzip2", &["-k", "pax.tar"]);
    let folder_digest = cluster.ok(&["data", "add", "in"]);
    for input in ["in", "in.tar", "in.tgz", "pax.tar.bz2"] {
        // A path for each file, and its bytes on standard input.
        let single =
            outputs(&cluster, &[input, "--split", "files:1", "--", "sh", "-c", "cat; basename -z \"$MILLPOND_INPUT\" | tr '\\0' ';'"]);
        assert_eq!(single.len(), files.len(), "{input}");
        for (name, data) in &files {
            let base = name.rsplit(|byte| *byte == b'/').next().unwrap();
            let base = String::from_utf8_lossy(base).replace('\u{fffd}', "_");
            let expected = format!("{}{base};", String::from_utf8_lossy(data));
            assert!(single.contains(&expected), "{input}: {expected:?} {single:?}");
        }
        // A folder of several, and nothing on standard input.
        let shell = "cd \"$0\" && find . -type f -print0 | sort -z | xargs -0 cat; cat";
        let several = outputs(&cluster, &[input, "--split", "files:3", "--", "sh", "-c", shell, "{input}"]);
        assert_eq!(several.len(), 3, "{input}");
        let mut lines: Vec<String> = several.concat().lines().map(|line| format!("{line}\n")).collect();
        lines.sort();
        assert_eq!(
            lines.concat().as_bytes(),
            files.values().cloned().collect::<std::collections::BTreeSet<_>>().into_iter().collect::<Vec<_>>().concat()
        );
    }
    // The same content is stored once.
    assert_eq!(cluster.ok(&["data", "add", "in"]), folder_digest);
    let default = cluster.submit(&["in", "--", "ls", "{input}"]);
    cluster.ends(&default, 0);
    let shown = cluster.show(&default);
    assert!(shown["name"] == "in", "{shown}");
}

#[test]
fn what_one_try_has_done_to_its_files_the_next_does_not_meet() {
    let cluster = Cluster::start(&[1]);
    folder(&cluster);
    // The permission to write there is one that a task gives itself; root needs none.
    let shell = "cd \"$0\" && test $(find . -type f -printf x | wc -c) = 7 -a -z \"$(find . -perm /222)\" || exit 3; chmod -R u+w .; rm -r ./*; exit $1";
    let submit = |code| {
        let split = ["in", "--split", "files:99", "--retries", "1", "--retry-delay", "0s"];
        cluster.submit(&[&split[..], &["--", "sh", "-c", shell, "{input}", code]].concat())
    };
    let job = submit("1");
    cluster.ends(&job, 10);
    let task = &cluster.tasks(&job)[0];
    assert_eq!((&task["exit_code"], &task["attempt"]), (&1.into(), &2.into()), "{task}");
    cluster.ends(&submit("0"), 0);
}

#[test]
fn a_command_over_several_files_names_them() {
    let cluster = Cluster::start(&[1]);
    folder(&cluster);
    run(&cluster, "tar", &["-C", "in", "-cf", "in.tar", "."]);
    for args in [&["in"][..], &["in.tar"], &["in", "--split", "files:2"]] {
        let args = [&["submit"], args, &["--", "wc", "-c"]].concat();
        cluster.millpond(&args).refused(2, &["several files can't be standard input", "name {input}, the folder they lie in"]);
    }
    assert_eq!(cluster.json(&["data", "list"])["datasets"], serde_json::json!([]), "nothing was sent");
    // What the head is told by others, and what takes the place of a command.
    let digest = cluster.ok(&["data", "add", "in.tar", "--name", "in"]);
    assert!(digest.len() == 64, "{digest}");
    let job = cluster.submit(&["in.tar", "--split", "files:9", "--", "sh", "-c", "ls \"$MILLPOND_INPUT\" >&2; exit 1"]);
    cluster.ends(&job, 10);
    cluster.millpond(&["retry", &job, "--with-command", "--", "wc", "-c"]).refused(2, &["several files can't be standard input"]);
    cluster.ok(&["retry", &job, "--with-command", "--", "ls", "{input}"]);
    cluster.ends(&job, 0);
}

#[test]
fn a_zip_and_its_folder_are_one_data_set() {
    let cluster = Cluster::start(&[1]);
    fs::create_dir_all(cluster.path("in/sub")).unwrap();
    for (name, text) in [("in/b.txt", "b\n"), ("in/sub/a.txt", "a\n"), ("in/sub-x", "x\n")] {
        cluster.write(name, text);
    }
    let mut zip = zip::ZipWriter::new(fs::File::create(cluster.path("in.zip")).unwrap());
    for (name, text) in [("sub/", ""), ("sub/a.txt", "a\n"), ("b.txt", "b\n"), ("sub-x", "x\n")] {
        match name.strip_suffix('/') {
            Some(name) => zip.add_directory(name, zip::write::SimpleFileOptions::default()).unwrap(),
            None => {
                zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
                std::io::Write::write_all(&mut zip, text.as_bytes()).unwrap();
            }
        }
    }
    zip.finish().unwrap();
    let digest = cluster.ok(&["data", "add", "in.zip"]);
    assert_eq!(cluster.ok(&["data", "add", "in"]), digest);
    let list = cluster.json(&["data", "list"]);
    assert!(list["datasets"].as_array().unwrap().len() == 1 && list["datasets"][0]["name"] == "in.tar", "{list}");
    // By standard input, where it can't be read twice.
    let file = fs::File::open(cluster.path("in.zip")).unwrap();
    let output = cluster.client(&["data", "add", "-", "--name", "in.zip"]).stdin(file).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), digest);
    assert_eq!(outputs(&cluster, &["in.zip", "--split", "files:1", "--", "cat"]), ["b\n", "x\n", "a\n"]);
    let preview = cluster.json(&["split", "--dry-run", "--split", "files:2", "in.zip"]);
    assert_eq!((&preview["chunks"], &preview["records"], &preview["packing"]), (&2.into(), &3.into(), &"zip".into()), "{preview}");
    assert_eq!((&preview["first"][0]["line"], &preview["first"][1]["line"]), (&"b.txt".into(), &"sub/a.txt".into()), "{preview}");
}
