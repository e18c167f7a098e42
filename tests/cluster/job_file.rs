//! Jobs from files and templates, and heads by name.

use super::cluster::Cluster;
use super::ground::{Answer, Ground};

const FILE: &str = r#"
split = "lines:2"
retries = 1
command = ["sh", "-c", "echo $WHO; cat {with:ref.txt}; wc -l"]
with = ["ref.txt"]
env = { WHO = "all" }

[[job]]
input = "in.txt"

[[job]]
array = "1-3"
name = "numbers"
command = ["sh", "-c", "echo $WHO; cat {with:ref.txt}"]
env = { WHO = "numbers" }
"#;

fn shell(ground: &Ground, folder: &str, line: &str) -> Answer {
    let mut command = ground.command("sh");
    command.args(["-c", line]).current_dir(ground.path(folder)).output().unwrap().into()
}

#[test]
fn a_file_of_jobs_is_checked_whole_submitted_and_repeated_without_harm() {
    let cluster = Cluster::start(&[2]);
    std::fs::create_dir(cluster.path("lab")).unwrap();
    let file = cluster.write("lab/jobs.toml", FILE);
    cluster.write("lab/in.txt", "1\n2\n3\n");
    // The shared file is missing: nothing is submitted, also not the job before.
    cluster.millpond(&["submit", "-f", &file]).refused(3, &["job 1 of 2", "ref.txt"]);
    cluster.write("lab/ref.txt", "ref\n");
    assert_eq!(cluster.ok(&["list", "-q"]), "");

    let shown = cluster.ok(&["submit", "-f", &file, "--dry-run"]);
    assert!(shown.starts_with("[[job]]\n") && shown.contains("name = \"in\"") && shown.contains("owner = \"ada\""), "{shown}");
    let again = cluster.write("shown.toml", &shown);
    assert_eq!(cluster.ok(&["submit", "-f", &again, "--dry-run"]), shown, "what is shown is a job file");
    assert_eq!(cluster.ok(&["list", "-q"]), "");

    let wish = ["submit", "-f", &file, "--request-id", "6f9619ff-8b86-4011-b42d-00c04fc964ff"];
    assert_eq!(cluster.ok(&wish), "j1\nj2");
    assert_eq!(cluster.ok(&wish), "j1\nj2", "a repeat is the same wish");
    cluster.ends("j1", 0);
    cluster.ends("j2", 0);
    assert_eq!(cluster.bundle("j1").text("000000/stdout"), "all\nref\n2\n");
    assert_eq!(cluster.bundle("j2").text("000003/stdout"), "numbers\nref\n");
    // What is typed counts more.
    let typed = cluster.ok(&["submit", "-f", &file, "--array", "7", "--env", "WHO=typed", "--", "sh", "-c", "echo $WHO"]);
    assert_eq!(typed, "j3\nj4");
    cluster.ends("j3", 0);
    assert_eq!(cluster.bundle("j3").text("000007/stdout"), "typed\n");
}

#[test]
fn what_was_not_submitted_is_submitted_by_the_same_line_again() {
    let cluster = Cluster::start(&[]);
    let file = |retries: u64| {
        let text = format!("array = \"1-3\"\ncommand = [\"true\"]\n[[job]]\n[[job]]\nretries = {retries}\n");
        cluster.write("jobs.toml", text)
    };
    // A limit that only the head knows.
    let path = file(4_000_000_000);
    let answer = cluster.millpond(&["submit", "-f", &path]);
    assert_eq!((answer.code, answer.out.as_str()), (2, "j1\n"), "{answer:?}");
    let id = answer.err.split("--request-id ").nth(1).and_then(|rest| rest.split(' ').next()).expect("an id to repeat it with").to_owned();
    assert!(answer.err.contains("1 of 2 jobs are submitted"), "{answer:?}");
    file(4);
    assert_eq!(cluster.ok(&["submit", "-f", &path, "--request-id", &id]), "j1\nj2");
}

#[test]
fn a_template_is_saved_listed_used_and_deleted() {
    let cluster = Cluster::start(&[1]);
    std::fs::create_dir(cluster.path("lab")).unwrap();
    cluster.write("lab/ref.txt", "ref\n");
    cluster.write("monday.txt", "1\n2\n3\n");
    let millpond = env!("CARGO_BIN_EXE_millpond");
    let save =
        format!("{millpond} template save count --split lines:2 --with ref.txt --env A=x -- sh -c 'echo $A; cat {{with:ref.txt}}; wc -l'");
    assert_eq!(shell(&cluster, "lab", &save).out, "template count saved\n");
    cluster.millpond(&["template", "save", "count", "--mem", "1G"]).refused(4, &["`count`", "--replace"]);
    cluster.millpond(&["template", "save", "other", "--request-id", "6f9619ff-8b86-4011-b42d-00c04fc964ff"]).refused(2, &["request-id"]);
    cluster.millpond(&["template", "use", "nothing"]).refused(3, &["`nothing`", "template list"]);
    assert_eq!(cluster.ok(&["template", "list", "-q"]), "count");
    assert_eq!(cluster.json(&["template", "show", "count"])["options"]["split"], "lines:2");

    // From another folder: the shared file is found all the same.
    assert_eq!(cluster.ok(&["template", "use", "count", "monday.txt", "--env", "A=y"]), "j1");
    cluster.ends("j1", 0);
    assert_eq!(cluster.show("j1")["name"], "monday");
    assert_eq!(cluster.bundle("j1").text("000001/stdout"), "y\nref\n1\n");
    let ran = format!("{millpond} template show count | {millpond} --head {} run -f - -o out.zip monday.txt", cluster.url);
    let ran = shell(&cluster, "", &ran);
    assert!(ran.code == 0 && ran.out.contains("j2 succeeded: 2 tasks"), "{ran:?}");
    assert_eq!(cluster.ok(&["template", "delete", "count"]), "template count deleted");
    cluster.millpond(&["template", "delete", "count"]).refused(3, &["`count`"]);
}

#[test]
fn heads_have_names_and_the_nearest_one_counts() {
    let cluster = Cluster::start(&[]);
    let millpond = |args: &[&str]| -> Answer { cluster.command(env!("CARGO_BIN_EXE_millpond")).args(args).output().unwrap().into() };
    millpond(&["list"]).refused(2, &["context add"]);
    millpond(&["context", "add", "lab"]).refused(2, &["--head"]);
    assert_eq!(millpond(&["context", "add", "lab", "--head", &cluster.url]).code, 0);
    millpond(&["context", "add", "lab", "--head", "http://127.0.0.1:1"]).refused(4, &["`lab`"]);
    // What a person writes stays as it is.
    let path = cluster.path(".config/millpond/config.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("# mine\nowner = \"eve\"  # as on the door\n\n{text}submit = {{ retries = 3 }}\n")).unwrap();
    assert_eq!(millpond(&["context", "use", "lab"]).code, 0);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("# mine\nowner = \"eve\"  # as on the door\ncurrent = \"lab\"\n"), "{text}");

    assert_eq!(millpond(&["submit", "--array", "1-2", "--", "true"]).out, "j1\n");
    assert_eq!(cluster.show("j1")["owner"], "eve");
    let shown = millpond(&["submit", "--dry-run", "--array", "1-2", "--owner", "ada", "--", "true"]).out;
    assert!(shown.contains("owner = \"ada\"") && shown.contains("retries = 3"), "{shown}");
    // The folder's file counts more, the environment more than that, and a flag more than all.
    cluster.write("millpond.toml", "head = \"http://127.0.0.1:1\"\n");
    millpond(&["list"]).refused(6, &["http://127.0.0.1:1"]);
    assert_eq!(cluster.millpond(&["list", "-q"]).out, "j1\n", "MILLPOND_HEAD");
    assert_eq!(millpond(&["list", "-q", "--context", "lab"]).out, "j1\n");
    millpond(&["list", "--context", "moon"]).refused(3, &["`moon`", "there are lab"]);
    cluster.write("millpond.toml", "head = \"x\"\nhaed = \"x\"\n");
    millpond(&["list"]).refused(2, &["millpond.toml: line 2: unknown key `haed`: did you mean `head`?"]);
    cluster.write("millpond.toml", "current = \"gone\"\n");
    millpond(&["list"]).refused(3, &["`gone`"]);
    assert_eq!(millpond(&["context", "list", "-q"]).out, "lab\n", "what is wrong can be looked at, and mended");
    cluster.write("millpond.toml", "");
    assert_eq!(millpond(&["context", "remove", "lab"]).out, "forgot lab, which was used; none is now\n");
    millpond(&["list"]).refused(2, &["no head is named"]);
}
