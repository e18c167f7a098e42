//! `docs/coming-from.md`: each line that it gives for one of another program is run as it stands.

use super::cluster::Cluster;
use super::ground::Answer;
use super::process::until;

const PAGE: &str = include_str!("../../docs/coming-from.md");

/// The middle cells of the table under a heading.
fn cells(heading: &str) -> Vec<String> {
    let (_, table) = PAGE.split_once(&format!("\n## {heading}\n")).expect("the heading");
    let table = table.split("\n## ").next().unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| there"));
    let cells = rows.map(|row| {
        // A `|` inside a cell is written `\|`.
        let row = row.replace("\\|", "\u{0}");
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(cells.len(), 5, "three cells: {row}");
        cells[2].replace('\u{0}', "|")
    });
    cells.collect()
}

/// A head with a job of each kind that the page speaks of, and the files.
fn prepared() -> Cluster {
    let mut cluster = Cluster::start(&[2]);
    cluster.write("job.sh", "echo $MILLPOND_INDEX\n");
    cluster.write("job.toml", "array = \"1-4\"\ncommand = [\"true\"]\n");
    cluster.write("ref.fasta", ">a\nACGT\n>b\nACGT\n");
    cluster.write("list.txt", "one\ntwo\n");
    cluster.write("pairs.csv", "a,1\nb,2\n");
    cluster.write("table.csv", format!("n,text\n{}", "1,\"two\nlines\"\n".repeat(25)));
    cluster.write("records.txt", "X 1\na\nX 2\nX 3\nb\n");
    cluster.write("big.txt", (0..400).map(|n| format!("{n}\n")).collect::<String>());
    assert!(cluster.command("gzip").args(["-k", "big.txt"]).status().unwrap().success());
    let ended = cluster.submit_array("1-4", &["--name", "ended"], "echo x");
    let failed = cluster.submit_array("1-4", &["--name", "failed"], "[ $MILLPOND_INDEX != 3 ]");
    assert_eq!((ended.as_str(), failed.as_str()), ("j1", "j2"));
    cluster.ends("j1", 0);
    cluster.ends("j2", 10);
    // What waits for a worker that is not there: j3 to j5, and others by what they are.
    let waits = |options: &[&str]| cluster.submit_array("1-4", &[&["--label", "moon=full"], options].concat(), "true");
    for options in [&[][..], &[], &[], &["--owner", "eve"], &["--name", "old-1"]] {
        waits(options);
    }
    // A worker that is busy as long as it is looked at, so that it can be drained and be let again.
    let worker = cluster.add_worker(1, &["--label", "pin=w2"]);
    let gate = cluster.text_path("gate");
    cluster.submit_array("1", &["--label", "pin=w2"], &format!("until [ -e {gate} ]; do sleep 0.02; done"));
    until("it is busy", || cluster.worker_state(worker) == "busy");
    cluster
}

/// Gives the cluster as it is after all of them.
fn runs_every_line_of(heading: &str, at_least: usize) -> Cluster {
    let cluster = prepared();
    let programs = std::path::Path::new(env!("CARGO_BIN_EXE_millpond")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let (mut count, mut wrong) = (0, Vec::new());
    for cell in cells(heading).iter().filter(|cell| *cell != "—") {
        let line = cell.strip_prefix('`').and_then(|line| line.strip_suffix('`')).filter(|line| line.contains("millpond "));
        let line = line.unwrap_or_else(|| panic!("one command line, and nothing else: {cell}"));
        let mut shell = cluster.command("sh");
        let shell = shell.args(["-c", line]).env("PATH", &path).env("MILLPOND_HEAD", &cluster.url);
        let answer: Answer = shell.output().unwrap().into();
        // There is no terminal here; `top.rs` has one.
        let code = if line == "millpond top" { 2 } else { 0 };
        if answer.code != code {
            wrong.push(format!("{line}\n    {answer:?}"));
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), cluster.logs());
    assert!(count >= at_least, "{count} lines");
    until("nothing else has failed", || cluster.ok(&["list", "--state", "failed,ingesting,finishing,running", "-q"]) == "j8\nj2");
    cluster
}

/// Those that are called so have been killed.
#[track_caller]
fn are_killed(cluster: &Cluster, ids: &[&str]) {
    for id in ids {
        assert_eq!(cluster.show(id)["state"], "killed", "{id}");
    }
}

fn ends(cluster: &Cluster) {
    cluster.write("gate", "");
    cluster.ends("j8", 0);
    cluster.millpond(&["kill", "all", "--running", "stop"]);
}

#[test]
fn each_line_for_slurm_is_one_that_runs() {
    let cluster = runs_every_line_of("From Slurm", 40);
    are_killed(&cluster, &["j4", "j5", "j6", "j7"]);
    let j3 = cluster.show("j3");
    assert_eq!((&j3["priority"], &j3["max_running"], &j3["held"]), (&10.into(), &4.into(), &true.into()));
    assert_eq!((&cluster.show("j2")["round"], cluster.worker_state(2).as_str()), (&2.into(), "busy"));
    ends(&cluster);
}

#[test]
fn each_line_for_gnu_parallel_is_one_that_runs() {
    let cluster = runs_every_line_of("From GNU parallel", 25);
    are_killed(&cluster, &["j4"]);
    assert_eq!(cluster.show("j3")["max_running"], 1);
    ends(&cluster);
}

#[test]
fn each_line_for_kubectl_is_one_that_runs() {
    let cluster = runs_every_line_of("From kubectl", 35);
    are_killed(&cluster, &["j3", "j4", "j5", "j6", "j7"]);
    assert_eq!((&cluster.show("j2")["round"], cluster.worker_state(2).as_str()), (&2.into(), "busy"));
    ends(&cluster);
}
