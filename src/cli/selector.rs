//! Which jobs: `7`, `j7`, `3-9`, `all`, and by what they are (`--state`, `--owner`, `--label`, `--name`). One way for all verbs.

use std::fmt;
use std::str::FromStr;

use super::exit::Stop;
use super::pages;
use super::units::parse_pair;
use crate::domain::glob::Glob;
use crate::domain::{Error, JobId};
use crate::limits::{LIVE_JOBS_MAX, PAGE_MAX_ITEMS, SELECTED_JOBS_MAX};
use crate::rpc::client::Client;
use crate::rpc::pb;

/// One JOB argument of a verb that takes several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Selector {
    /// `7`, `j7`.
    One(JobId),
    /// `3-9`, both included.
    Range(u64, u64),
    /// Every job that the verb is for.
    All,
}

impl FromStr for Selector {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text == "all" {
            return Ok(Self::All);
        }
        let Some((first, last)) = text.split_once('-').filter(|(first, _)| !first.is_empty()) else {
            return text.parse().map(Self::One);
        };
        let (JobId(first), JobId(last)) = (first.parse()?, last.parse()?);
        if last < first || last - first >= LIVE_JOBS_MAX as u64 {
            return Err(Error::invalid(format!("`{text}` is not a range of at most {LIVE_JOBS_MAX} jobs: write it as 3-9")));
        }
        Ok(Self::Range(first, last))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(job) => job.fmt(f),
            Self::Range(first, last) => write!(f, "{first}-{last}"),
            Self::All => f.write_str("all"),
        }
    }
}

/// What a job may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum State {
    Ingesting,
    Waiting,
    Running,
    Finishing,
    Succeeded,
    Failed,
    Killed,
    /// Not a state beside the others: it may wait, or still run what has started.
    Paused,
}

impl State {
    fn to_pb(self) -> Option<pb::JobState> {
        match self {
            Self::Ingesting => Some(pb::JobState::Ingesting),
            Self::Waiting => Some(pb::JobState::Waiting),
            Self::Running => Some(pb::JobState::Running),
            Self::Finishing => Some(pb::JobState::Finishing),
            Self::Succeeded => Some(pb::JobState::Succeeded),
            Self::Failed => Some(pb::JobState::Failed),
            Self::Killed => Some(pb::JobState::Killed),
            Self::Paused => None,
        }
    }
}

/// Jobs by what they are. All that is stated must hold.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Filters {
    /// Only jobs in these states, as failed,killed: ingesting, waiting, running, finishing, succeeded, failed, killed, and paused
    #[arg(long, value_enum, value_name = "STATE", value_delimiter = ',', hide_possible_values = true, help_heading = "Which jobs")]
    state: Vec<State>,
    #[command(flatten)]
    traits: Traits,
}

/// Jobs by what does not change of them.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Traits {
    /// Only jobs of this owner
    #[arg(long, value_name = "NAME", help_heading = "Which jobs")]
    owner: Option<String>,
    /// Only jobs whose tasks ask for this label; repeatable
    #[arg(long, value_name = "K=V", value_parser = parse_pair, help_heading = "Which jobs")]
    label: Vec<(String, String)>,
    /// Only jobs of such a name: * is any text, ? one character, [a-z] one of these
    #[arg(long, value_name = "GLOB", value_parser = parse_glob, help_heading = "Which jobs")]
    name: Option<String>,
}

fn parse_glob(text: &str) -> Result<String, Error> {
    Glob::new(text).map(|_| text.to_owned())
}

impl From<Traits> for Filters {
    fn from(traits: Traits) -> Self {
        Self { state: Vec::new(), traits }
    }
}

impl Filters {
    fn is_empty(&self) -> bool {
        let Traits { owner, label, name } = &self.traits;
        self.state.is_empty() && owner.is_none() && label.is_empty() && name.is_none()
    }

    /// The listing of the jobs that these and the filters mean, without its page.
    pub(crate) fn request(&self, jobs: &[Selector], meant: Meant) -> pb::ListJobsRequest {
        let all = jobs.is_empty() || jobs.contains(&Selector::All);
        // Who names states means what he says.
        let by_itself = if self.state.is_empty() { meant.states() } else { &[] };
        let states = self.state.iter().filter_map(|state| state.to_pb()).chain(by_itself.iter().copied());
        let ranges = jobs.iter().filter_map(|selector| match *selector {
            Selector::One(JobId(job)) => Some(pb::JobRange { first: job, last: job }),
            Selector::Range(first, last) => Some(pb::JobRange { first, last }),
            Selector::All => None,
        });
        pb::ListJobsRequest {
            page_size: PAGE_MAX_ITEMS as i32,
            page_token: String::new(),
            owner: self.traits.owner.clone().unwrap_or_default(),
            live: false,
            states: states.map(Into::into).collect(),
            held: self.state.contains(&State::Paused),
            labels: self.traits.label.iter().cloned().collect(),
            name_glob: self.traits.name.clone().unwrap_or_default(),
            ranges: if all { Vec::new() } else { ranges.collect() },
        }
    }
}

/// Which jobs a verb is for, where they are not named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meant {
    /// Those that have not ended.
    Live,
    /// Those of which tasks have failed, unless they were killed.
    WithFailures,
    /// Those that have ended.
    Ended,
    /// All.
    Any,
}

impl Meant {
    /// Empty: all.
    fn states(self) -> &'static [pb::JobState] {
        use pb::JobState::{Failed, Finishing, Ingesting, Killed, Running, Succeeded, Waiting};
        match self {
            Self::Live => &[Ingesting, Waiting, Running, Finishing],
            Self::WithFailures => &[Waiting, Running, Finishing, Failed],
            Self::Ended => &[Succeeded, Failed, Killed],
            Self::Any => &[],
        }
    }

    fn has(self, job: &pb::Job) -> bool {
        self != Self::WithFailures || job.tasks.is_some_and(|tasks| tasks.failed > 0)
    }
}

/// The jobs that a verb is told of.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Selection {
    /// 7, j7, 3-9, or all (that the verb is for); may be left out where jobs are selected by what they are
    #[arg(value_name = "JOB")]
    pub(crate) jobs: Vec<Selector>,
    #[command(flatten)]
    pub(crate) filters: Filters,
}

impl Selection {
    /// Whether what the verb is for is meant, whatever that is now: a job that is no longer among it is no mistake of the caller's.
    pub(crate) fn is_open(&self) -> bool {
        !self.names_jobs() && self.filters.state.is_empty()
    }

    /// Whether numbers are given.
    pub(crate) fn names_jobs(&self) -> bool {
        !self.jobs.is_empty() && !self.jobs.contains(&Selector::All)
    }

    /// The jobs meant, each once, in the order given, by age within a range.
    ///
    /// `NotFound` when there is none; a job that is named singly counts as there, so that the head says what is wrong with it.
    pub(crate) async fn resolve(&self, meant: Meant, client: &Client) -> Result<Vec<JobId>, Stop> {
        if self.jobs.is_empty() && self.filters.is_empty() {
            let how = "no job is named: write 7, 3-9 or all, or select with --state, --owner, --label or --name";
            return Err(Error::invalid(how).into());
        }
        let mut found = Vec::new();
        if !self.filters.is_empty() || self.jobs.contains(&Selector::All) {
            let meant = if self.names_jobs() { Meant::Any } else { meant };
            found = list(self.filters.request(&self.jobs, meant), meant, client).await?;
        } else {
            for selector in &self.jobs {
                match selector {
                    Selector::One(job) => found.push(*job),
                    Selector::Range(..) | Selector::All => {
                        found.extend(list(self.filters.request(&[*selector], Meant::Any), Meant::Any, client).await?);
                    }
                }
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        found.retain(|job| seen.insert(*job));
        if found.is_empty() {
            return Err(Error::not_found(format!("no job matches `{self}`: `millpond list` shows the jobs")).into());
        }
        Ok(found)
    }
}

/// As it would be written.
impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Filters { state, traits: Traits { owner, label, name } } = &self.filters;
        let states: Vec<String> = state.iter().map(|state| format!("{state:?}").to_lowercase()).collect();
        let mut words: Vec<String> = self.jobs.iter().map(ToString::to_string).collect();
        words.extend((!states.is_empty()).then(|| format!("--state {}", states.join(","))));
        words.extend(owner.iter().map(|owner| format!("--owner {owner}")));
        words.extend(label.iter().map(|(name, value)| format!("--label {name}={value}")));
        words.extend(name.iter().map(|name| format!("--name {name}")));
        f.write_str(&words.join(" "))
    }
}

/// The oldest first, as they were submitted.
async fn list(request: pb::ListJobsRequest, meant: Meant, client: &Client) -> Result<Vec<JobId>, Stop> {
    let fetch = async |page_token: String| {
        let request = pb::ListJobsRequest { page_token, ..request.clone() };
        let page = client.repeat(async || client.jobs().list_jobs(request.clone()).await).await?;
        Ok((page.jobs, page.next_page_token))
    };
    let mut found = Vec::new();
    pages::each(fetch, |jobs| {
        for job in jobs.iter().filter(|job| meant.has(job)) {
            found.push(job.id.parse::<JobId>()?);
        }
        if found.len() > SELECTED_JOBS_MAX {
            return Err(Error::invalid(format!("more than {SELECTED_JOBS_MAX} jobs are meant: select fewer at once")).into());
        }
        Ok(())
    })
    .await?;
    found.reverse();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn jobs_are_named_singly_in_ranges_or_all_at_once() {
        assert_eq!("j7".parse::<Selector>().unwrap(), Selector::One(JobId(7)));
        assert_eq!("j3-9".parse::<Selector>().unwrap(), Selector::Range(3, 9));
        assert_eq!("all".parse::<Selector>().unwrap(), Selector::All);
        for bad in ["", "-", "3-", "-3", "9-3", "1-999999", "ALL", "3-9-12"] {
            assert!(bad.parse::<Selector>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_named_is_what_the_verb_is_for() {
        let states =
            |jobs: &[Selector], state: &[State], meant| Filters { state: state.to_vec(), ..Default::default() }.request(jobs, meant).states;
        let live = states(&[Selector::All], &[], Meant::Live);
        assert_eq!((live.len(), &live), (4, &states(&[], &[], Meant::Live)));
        assert_eq!(states(&[], &[State::Failed], Meant::Live), [6], "who names states means what he says");
        let paused = Filters { state: vec![State::Paused], ..Default::default() }.request(&[], Meant::Live);
        assert!(paused.held && paused.states.is_empty());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9j.a-]{0,30}") {
            let _ = text.parse::<Selector>();
        }
    }
}
