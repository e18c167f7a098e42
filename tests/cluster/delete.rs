//! Jobs and data sets that are removed: at once, at a job's end, when their time is over; and what is never lost by it.

use millpond::rpc::client::Client;
use millpond::rpc::pb;

use super::cluster::Cluster;
use super::process::until;

const REQUEST: &str = "00000000-0000-4000-8000-0000000000aa";

fn folders(cluster: &Cluster) -> Vec<String> {
    let mut names: Vec<String> =
        std::fs::read_dir(cluster.data_dir.join("jobs")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn chunks(cluster: &Cluster) -> usize {
    std::fs::read_dir(cluster.data_dir.join("chunks")).unwrap().count()
}

#[test]
fn a_deleted_job_is_gone_with_all_its_files_and_its_number_and_request_make_no_other() {
    let mut cluster = Cluster::start(&[2]);
    let input = cluster.write("in.txt", "a\nb\nc\n");
    let over = |id: &str| ["--split", "lines:1", "--request-id", id, &input, "--", "cat"].map(str::to_owned);
    let submit = |cluster: &Cluster, id: &str| cluster.submit(&over(id).each_ref().map(String::as_str));
    let first = submit(&cluster, REQUEST);
    let second = submit(&cluster, "00000000-0000-4000-8000-0000000000ab");
    cluster.ends(&first, 0);
    cluster.ends(&second, 0);
    assert_eq!((folders(&cluster), chunks(&cluster)), (vec![first.clone(), second.clone()], 1));
    let dry = cluster.ok(&["delete", &second, "--dry-run"]);
    assert_eq!(dry, format!("dry run: {second} is deleted, with the results of 3 tasks"));
    let said = cluster.ok(&["delete", &second, "--reason", "a typo"]);
    assert_eq!(said, format!("{second} is deleted, with the results of 3 tasks"));
    until("its files are gone", || folders(&cluster) == [first.as_str()]);
    assert_eq!(chunks(&cluster), 1, "the first goes by the same cuts");
    for verb in [&["show", &second][..], &["delete", &second], &["results", &second, "-o", &cluster.text_path("x.zip")], &["kill", &second]]
    {
        cluster.millpond(verb).refused(3, &[&second]);
    }
    // The last number, so that it would be the next one.
    cluster.head_dies();
    cluster.head_starts_again();
    cluster.ok(&["delete", &first]);
    until("nothing is left", || folders(&cluster).is_empty() && chunks(&cluster) == 0);
    cluster.millpond(&[&["submit"], &over(REQUEST).each_ref().map(String::as_str)[..]].concat()).refused(3, &[REQUEST, &first, "deleted"]);
    cluster.head_dies();
    cluster.head_starts_again();
    cluster.millpond(&[&["submit"], &over(REQUEST).each_ref().map(String::as_str)[..]].concat()).refused(3, &[REQUEST, &first, "deleted"]);
    let third = submit(&cluster, "00000000-0000-4000-8000-0000000000ac");
    assert_eq!(third, "j3");
    cluster.ends(&third, 0);
    assert_eq!(cluster.bundle(&third).states()["succeeded"], 3);
    assert_eq!(cluster.ok(&["list", "-q"]), third);
}

/// What a client does whose connection broke before the answer came.
#[test]
fn a_deletion_that_is_asked_for_again_is_answered_as_it_was() {
    let mut cluster = Cluster::start(&[2]);
    let input = cluster.write("in.txt", "a\nb\nc\n");
    let job = cluster.submit(&["--split", "lines:1", &input, "--", "cat"]);
    cluster.ends(&job, 0);
    let other = cluster.submit_array("0", &[], "true");
    cluster.ends(&other, 0);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = |cluster: &Cluster| runtime.block_on(Client::connect(&cluster.url.parse().unwrap())).unwrap();
    let request = |id: &str, request_id: &str| pb::DeleteJobRequest {
        id: id.into(),
        request_id: request_id.into(),
        reason: "old".into(),
        by: "ana".into(),
    };
    let delete = |cluster: &Cluster, id: &str, request_id: &str| {
        runtime.block_on(client(cluster).jobs().delete_job(request(id, request_id))).map(|reply| reply.into_inner())
    };
    let digest = cluster.json(&["data", "list"])["datasets"][0]["digest"].as_str().unwrap().to_owned();
    let delete_data = |cluster: &Cluster, request_id: &str| {
        let request = pb::DeleteDatasetRequest { digest: digest.clone(), request_id: request_id.into(), unused: true };
        runtime.block_on(client(cluster).datasets().delete_dataset(request)).map(|reply| reply.into_inner())
    };
    let code = |refused: Result<pb::ControlReply, tonic::Status>| refused.unwrap_err().code();

    let first = delete(&cluster, &job, "again").unwrap();
    let data = delete_data(&cluster, "data again").unwrap();
    for restarted in [false, true] {
        if restarted {
            cluster.head_dies();
            cluster.head_starts_again();
        }
        let mut second = delete(&cluster, &job, "again").unwrap();
        let (is, was) = (second.job.as_mut().unwrap(), first.job.as_ref().unwrap());
        let spec = is.spec.take().unwrap();
        assert_eq!((&spec.name, &spec.owner), (&was.spec.as_ref().unwrap().name, &was.spec.as_ref().unwrap().owner));
        let was = pb::Job { spec: None, reason: String::new(), expires: None, ..was.clone() };
        assert_eq!((second.changed, second.job.unwrap()), (first.changed, was));
        assert_eq!(code(delete(&cluster, &other, "again")), tonic::Code::FailedPrecondition, "it was for another");
        assert_eq!(code(delete(&cluster, &job, "")), tonic::Code::NotFound);
        assert_eq!(code(delete(&cluster, &job, "another")), tonic::Code::NotFound);
        cluster.millpond(&["show", &job]).refused(3, &[&job, "it was deleted by ana: old"]);
        assert_eq!(delete_data(&cluster, "data again").unwrap(), data);
        // What was stored since is none of it.
        cluster.ok(&["data", "add", &input]);
        assert_eq!(delete_data(&cluster, "data again").unwrap(), data);
        cluster.ok(&["data", "show", &digest]);
        assert_eq!(code(delete(&cluster, &job, "data again")), tonic::Code::FailedPrecondition);
        cluster.ok(&["data", "delete", &digest]);
    }
}

#[test]
fn a_deletion_that_comes_again_before_the_first_is_done_is_answered_too() {
    let cluster = Cluster::start(&[1]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let client = runtime.block_on(Client::connect(&cluster.url.parse().unwrap())).unwrap();
    for round in 0..10 {
        let digest = cluster.ok(&["data", "add", &cluster.write("in.txt", format!("{round}\n"))]);
        let job = cluster.submit_array("0", &[], "true");
        cluster.ends(&job, 0);
        let calls = (0..8).map(|_| {
            let (mut jobs, mut datasets) = (client.jobs(), client.datasets());
            let of_data = pb::DeleteDatasetRequest { digest: digest.clone(), request_id: format!("data {round}"), unused: true };
            let of_job = pb::DeleteJobRequest { id: job.clone(), request_id: format!("job {round}"), ..Default::default() };
            runtime.spawn(async move { (datasets.delete_dataset(of_data).await, jobs.delete_job(of_job).await) })
        });
        for call in calls.collect::<Vec<_>>() {
            let (data, job) = runtime.block_on(call).unwrap();
            assert_eq!(data.unwrap().into_inner().digest, digest);
            job.unwrap();
        }
    }
}

#[test]
fn a_job_that_runs_is_not_deleted_but_by_its_end() {
    let mut cluster = Cluster::start(&[2]);
    let gate = format!("until [ -e {} ]; do sleep 0.05; done", cluster.text_path("gate"));
    let job = cluster.submit_array("0-9", &[], &gate);
    until("two run", || cluster.count(&job, "running") == 2);
    cluster.millpond(&["delete", &job]).refused(4, &[&job, "running", &format!("kill --delete {job}")]);
    let said = cluster.ok(&["kill", "--delete", &job]);
    assert!(said.contains("dropped 8, still running 2") && said.contains("deleted"), "{said}");
    // The wish is durable.
    cluster.head_dies();
    cluster.head_starts_again();
    until("the two are adopted", || cluster.count(&job, "running") == 2);
    cluster.write("gate", "");
    until("it is gone", || cluster.millpond(&["show", &job]).code == 3);
    until("with its files", || folders(&cluster).is_empty());
    let stopped = cluster.submit_array("0-9", &[], "sleep 1000");
    until("two run", || cluster.count(&stopped, "running") == 2);
    cluster.ok(&["kill", "--delete", "--running", "stop", &stopped]);
    until("it is gone", || cluster.millpond(&["show", &stopped]).code == 3);
}

#[test]
fn a_finished_job_goes_by_itself_when_its_time_is_over() {
    let mut cluster = Cluster::start_with(&[2], &["--keep", "2s"]);
    let short = cluster.submit_array("0", &["--keep", "0s"], "true");
    let usual = cluster.submit_array("0", &[], "true");
    let long = cluster.submit_array("0", &["--keep", "12h"], "true");
    let forever = cluster.submit_array("0", &["--keep", "forever"], "true");
    cluster.ends(&long, 0);
    let shown = cluster.ends(&forever, 0);
    assert!(shown["expires"].is_null(), "{shown}");
    let shown = cluster.show(&long);
    assert_eq!(super::ground::seconds_between(&shown["finished"], &shown["expires"]), 12.0 * 3600.0);
    until("it is gone at once", || cluster.millpond(&["show", &short]).code == 3);
    // Also a head that was away meanwhile sees to it.
    cluster.head_dies();
    cluster.head_starts_again();
    until("so is the one of the head's time", || cluster.millpond(&["show", &usual]).code == 3);
    until("with its files", || folders(&cluster) == [long.as_str(), forever.as_str()]);
}

#[test]
fn a_data_set_in_use_is_not_deleted_and_one_that_is_stored_again_is_not_lost() {
    let cluster = Cluster::start(&[2]);
    let input = cluster.write("in.txt", "a\nb\nc\n");
    let gate = format!("cat; until [ -e {} ]; do sleep 0.05; done", cluster.text_path("gate"));
    let job = cluster.submit(&["--split", "lines:1", &input, "--", "sh", "-c", &gate]);
    let shown = cluster.json(&["data", "show", "in.txt"]);
    assert!(shown["used_by"][0] == job.as_str() && shown["used_by_count"] == 1 && shown["len"] == 6, "{shown}");
    cluster.millpond(&["data", "delete", "in.txt"]).refused(4, &[&job]);
    cluster.write("gate", "");
    cluster.ends(&job, 0);
    let spare = cluster.ok(&["data", "add", &cluster.write("spare.txt", "spare\n")]);
    let unused = cluster.ok(&["data", "delete", "--unused", "--dry-run", "-q"]);
    assert_eq!(unused, spare);
    assert_eq!(cluster.ok(&["data", "delete", "--unused", "-q"]), spare);
    cluster.millpond(&["data", "show", &spare[..12]]).refused(3, &[&spare[..12]]);
    // Of a job that has ended it may go; the bundle stays.
    cluster.ok(&["data", "delete", "in.txt"]);
    assert_eq!(cluster.bundle(&job).states()["succeeded"], 3);
    let failing = cluster.submit(&["--split", "lines:1", &input, "--", "false"]);
    cluster.ends(&failing, 10);
    cluster.ok(&["data", "delete", "in.txt"]);
    cluster.millpond(&["retry", &failing]).refused(4, &[&failing, "in.txt", "data add"]);
    cluster.ok(&["data", "add", &input]);
    cluster.ok(&["retry", &failing]);
    cluster.ends(&failing, 10);
}

#[test]
fn whoever_deletes_while_another_stores_the_same_takes_nothing_that_was_acknowledged() {
    let cluster = Cluster::start(&[]);
    let input = cluster.write("in.txt", "the same\n");
    for round in 0..12 {
        let digest = cluster.ok(&["data", "add", &input]);
        std::thread::scope(|scope| {
            scope.spawn(|| cluster.millpond(&["data", "delete", &digest]));
            scope.spawn(|| {
                // From a pipe, so that it is sent and not only asked for.
                let added = cluster.ok(&["data", "add", &input, "--name", &format!("{round}.txt")]);
                assert_eq!(added, digest);
            });
        });
        // Whichever came last: what is listed is there.
        let listed = cluster.ok(&["data", "list", "-q"]);
        let path = cluster.data_dir.join("datasets").join(&digest[..2]).join(&digest);
        if listed.contains(&digest) {
            assert!(path.is_file(), "round {round}: {listed}");
        } else {
            until("it is away", || !path.exists());
        }
    }
}
