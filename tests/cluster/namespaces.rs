//! A worker on a network of its own, whose link goes down, or lets packets pass one way only: nothing is closed and nothing is refused, so
//! that both ends have to notice by themselves. Needs root and `ip`; without them, it says so.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::cluster::Cluster;
use super::is_full;
use super::process::{until, until_within};

/// The head notices within this that a worker is out of reach: 12 s of silence, and a little.
const NOTICED_WITHIN: Duration = Duration::from_secs(15);
/// An address that nobody has: frames to it are heard by nobody.
const NOBODY: &str = "02:00:00:00:00:99";

/// A network namespace with one link to ours; gone with this.
struct Net {
    name: String,
    /// Our end of the link, and the head's address there.
    link: String,
    head: String,
    /// The link's other end.
    inner: String,
}

fn ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(args).stdin(Stdio::null()).output().map_err(|error| format!("ip: {error}"))?;
    let why = || format!("ip {args:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    if output.status.success() { Ok(()) } else { Err(why()) }
}

impl Net {
    /// Names and addresses come from the test's process and its number, so that tests do not meet.
    fn new(number: u32) -> Result<Self, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("only root can make a network namespace".to_owned());
        }
        let id = std::process::id();
        let (link, inner) = (format!("po{id}-{number}"), format!("pi{id}-{number}"));
        // Of 198.18.0.0/15, which is set aside for tests of networks.
        let subnet = format!("198.{}.{}", 18 + id % 2, (id / 2 * 4 + number) % 256);
        let (head, worker) = (format!("{subnet}.1"), format!("{subnet}.2/24"));
        let net = Self { name: format!("pond-{id}-{number}"), link, head, inner };
        ip(&["netns", "add", &net.name])?;
        ip(&["link", "add", &net.link, "type", "veth", "peer", "name", &net.inner, "netns", &net.name])?;
        ip(&["addr", "add", &format!("{}/24", net.head), "dev", &net.link])?;
        ip(&["link", "set", &net.link, "up"])?;
        ip(&["-n", &net.name, "addr", "add", &worker, "dev", &net.inner])?;
        ip(&["-n", &net.name, "link", "set", &net.inner, "up"])?;
        ip(&["-n", &net.name, "link", "set", "lo", "up"])?;
        Ok(net)
    }

    fn goes_down(&self) {
        ip(&["link", "set", &self.link, "down"]).unwrap();
    }

    fn comes_up(&self) {
        ip(&["link", "set", &self.link, "up"]).unwrap();
    }

    /// What the worker sends reaches nobody; what is sent to it arrives.
    fn is_mute(&self) {
        ip(&["-n", &self.name, "neigh", "replace", &self.head, "lladdr", NOBODY, "dev", &self.inner, "nud", "permanent"]).unwrap();
    }

    /// What is sent to the worker reaches nobody; what it sends arrives.
    fn is_deaf(&self) {
        let worker = format!("{}2", self.head.strip_suffix('1').unwrap());
        ip(&["neigh", "replace", &worker, "lladdr", NOBODY, "dev", &self.link, "nud", "permanent"]).unwrap();
    }

    /// Mute and deaf no more.
    fn is_mended(&self) {
        let worker = format!("{}2", self.head.strip_suffix('1').unwrap());
        let _ = ip(&["-n", &self.name, "neigh", "del", &self.head, "dev", &self.inner]);
        let _ = ip(&["neigh", "del", &worker, "dev", &self.link]);
    }
}

impl Drop for Net {
    /// The link goes with its end in the namespace.
    fn drop(&mut self) {
        let _ = ip(&["link", "del", &self.link]);
        let _ = ip(&["netns", "del", &self.name]);
    }
}

/// What is done to the link.
type Breaks = fn(&Net);

/// A worker's link breaks for longer than its lease while tasks run behind it. They go elsewhere; when it comes back, what it brings late
/// changes nothing, and it works again.
fn story(number: u32, breaks: Breaks, mends: Breaks) {
    if number > 0 && !is_full() {
        return println!("skipped: takes half a minute, and MILLPOND_FULL=1 asks for it");
    }
    let net = match Net::new(number) {
        Ok(net) => net,
        Err(why) => return println!("skipped: {why}"),
    };
    let mut cluster = Cluster::without_head(&["--insecure"]);
    cluster.head_starts_at(&format!("{}:0", net.head));
    cluster.add_worker(2, &[]);
    cluster.add_worker_in(&net.name, 2);
    let shell = format!(
        "echo $MILLPOND_INDEX >> {}; until [ -e {}-$MILLPOND_INDEX ]; do sleep 0.02; done; echo $MILLPOND_INDEX",
        cluster.text_path("log"),
        cluster.text_path("gate")
    );
    let job = cluster.submit_array("0-5", &[], &shell);
    cluster.has_lines("log", 4);
    until("four run", || cluster.count(&job, "running") == 4);
    let behind: Vec<String> =
        cluster.tasks(&job).iter().filter(|task| task["worker"] == "w2").map(|task| task["index"].to_string()).collect();
    assert_eq!(behind.len(), 2);

    let broke = Instant::now();
    breaks(&net);
    let noticed = until_within(NOTICED_WITHIN, "the head has noticed", || cluster.worker_state(2) == "away");
    println!("the head noticed after {noticed:?}");
    (0..6).filter(|index| !behind.contains(&index.to_string())).for_each(|index| drop(cluster.write(&format!("gate-{index}"), "")));
    // Begun a second time, at the first worker.
    until("the tasks of the worker out of reach run elsewhere", || {
        behind.iter().all(|index| cluster.lines("log").iter().filter(|line| *line == index).count() == 2)
    });
    println!("its tasks ran elsewhere after {:?}", broke.elapsed());
    assert!(broke.elapsed() < NOTICED_WITHIN + Duration::from_secs(2), "{:?}", broke.elapsed());
    let rest = Duration::from_secs(22).saturating_sub(broke.elapsed());
    std::thread::sleep(rest);
    mends(&net);
    until("the worker is back", || cluster.worker_state(2) != "away");
    behind.iter().for_each(|index| drop(cluster.write(&format!("gate-{index}"), "")));
    assert_eq!(cluster.ends(&job, 0)["tasks"]["succeeded"], 6);
    let before = cluster.bundle(&job);
    until("the worker has stopped what was given to others", || cluster.show_worker(2)["free"] == 2);
    let after = cluster.bundle(&job);
    assert!(before.bytes == after.bytes, "what it brought late changes nothing");
    (0..6).for_each(|index| assert_eq!(after.text(&format!("{index:06}/stdout")), format!("{index}\n")));
    let next = cluster.submit_array("0-19", &[], "sleep 0.05");
    cluster.ends(&next, 0);
    assert!(cluster.tasks(&next).iter().any(|task| task["worker"] == "w2"), "it works again");
}

#[test]
fn a_worker_whose_link_goes_down_is_given_up_and_taken_back() {
    story(0, Net::goes_down, Net::comes_up);
}

#[test]
fn a_worker_that_hears_but_is_not_heard_is_given_up_and_taken_back() {
    story(1, Net::is_mute, Net::is_mended);
}

#[test]
fn a_worker_that_is_heard_but_does_not_hear_gives_up_by_itself_and_is_taken_back() {
    story(2, Net::is_deaf, Net::is_mended);
}
