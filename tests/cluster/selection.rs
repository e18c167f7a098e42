//! Which jobs a verb means: by number, by what they are, and first of all without doing anything.

use super::cluster::Cluster;

#[test]
fn jobs_are_selected_by_what_they_are_and_a_dry_run_changes_nothing() {
    let cluster = Cluster::start(&[2]);
    let fails = cluster.submit_array("0-3", &["--name", "fails-a", "--owner", "eve"], "[ $MILLPOND_INDEX != 2 ]");
    let fine = cluster.submit_array("0-3", &["--name", "fine"], "true");
    cluster.ends(&fails, 10);
    cluster.ends(&fine, 0);
    let never = ["--label", "moon=full"];
    let waits: Vec<String> =
        (0..3).map(|n| cluster.submit_array("0-9", &[&["--name", &format!("waits-{n}")], &never[..]].concat(), "true")).collect();
    let ids = |args: &[&str]| cluster.ok(&[args, &["-q"]].concat()).lines().map(str::to_owned).collect::<Vec<_>>();
    let (w0, w1, w2) = (waits[0].as_str(), waits[1].as_str(), waits[2].as_str());

    assert_eq!(ids(&["list", "--state", "failed,succeeded"]), [fine.as_str(), &fails]);
    assert_eq!(ids(&["list", "1-4", "--name", "*i*-?"]), [w1, w0, &fails]);
    assert_eq!(ids(&["list", "--label", "moon=full", "--owner", "ada"]), [w2, w1, w0]);
    assert_eq!(ids(&["list", "--owner", "nobody"]), [""; 0]);
    assert_eq!(cluster.millpond(&["list", "99"]).code, 3);

    // What would be, and that nothing is.
    let would = cluster.json(&["kill", "--name", "waits-[!02]", "--dry-run"]);
    assert_eq!((&would["id"], &would["dropped"], &would["dry_run"]), (&w1.into(), &10.into(), &true.into()));
    assert_eq!(cluster.ok(&["retry", "all", "--dry-run"]), format!("dry run: {fails} goes on in round 2: 1 task to run again"));
    let refused = cluster.millpond(&["pause", &fine, "--dry-run"]);
    refused.refused(4, &[&fine, "succeeded"]);
    assert_eq!((&cluster.show(w1)["state"], &cluster.show(&fails)["round"]), (&"waiting".into(), &1.into()));

    // And then it is, at each job that is meant, the oldest first.
    assert_eq!(ids(&["pause", "--label", "moon=full", "--reason", "no moon"]), [w0, w1, w2]);
    assert!(cluster.show(w2)["reason"].as_str().unwrap().contains("no moon"));
    assert_eq!(ids(&["resume", "--state", "paused", "--name", "waits-[12]"]), [w1, w2]);
    assert_eq!(ids(&["priority", w0, w2, "--owner", "ada", "-5"]), [w0, w2]);
    assert_eq!((&cluster.show(w2)["priority"], &cluster.show(w1)["priority"]), (&(-5).into(), &0.into()));
    assert_eq!(ids(&["limit", "all", "--max-running", "1"]), [w0, w1, w2], "all are those that have not ended");
    cluster.millpond(&["kill", "1-99", "--owner", "nobody"]).refused(3, &["no job matches `1-99 --owner nobody`"]);
    assert_eq!(ids(&["retry", "--owner", "eve"]), [fails.as_str()]);
    assert_eq!(cluster.ends(&fails, 10)["round"], 2);
    assert_eq!(ids(&["kill", "all"]), [w0, w1, w2]);
    cluster.millpond(&["kill", "all"]).refused(3, &["no job matches `all`"]);
    assert_eq!(cluster.millpond(&["wait", "all"]).code, 0);
}
