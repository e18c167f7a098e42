//! Calls by method, and by what came of them.

use super::counter::Counter;
use crate::engine::access::{METHODS, ROUTES, Row};

/// What came of a call, as far as the beginning of its answer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is answered.
    Ok,
    /// The caller has to change something, or to wait.
    Refused,
    /// The head could not.
    Failed,
}

impl Ended {
    /// All.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Refused, Self::Failed];

    /// As the page has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// See the module. What is in no table of methods counts as one.
#[derive(Debug)]
pub struct Calls(Vec<[Counter; 3]>);

impl Default for Calls {
    fn default() -> Self {
        Self((0..=METHODS.len() + ROUTES.len()).map(|_| Default::default()).collect())
    }
}

impl Calls {
    /// One more, of the method with that place in the tables.
    pub fn count(&self, place: Option<usize>, ended: Ended) {
        if let Some([ok, refused, failed]) = self.0.get(place.unwrap_or(METHODS.len() + ROUTES.len())) {
            match ended {
                Ended::Ok => ok,
                Ended::Refused => refused,
                Ended::Failed => failed,
            }
            .add(1);
        }
    }

    /// All of them: by the method's name in short, `other` for what is none.
    pub fn read(&self) -> impl Iterator<Item = (&'static str, Ended, u64)> + '_ {
        let names = METHODS.iter().map(Row::shown).chain(ROUTES.iter().map(Row::shown)).chain(["other"]);
        names
            .zip(&self.0)
            .flat_map(|(name, counts)| Ended::ALL.into_iter().zip(counts).map(move |(ended, count)| (name, ended, count.get())))
    }
}

impl Row {
    /// A method without the slash before it; a route as it is.
    fn shown(&self) -> &'static str {
        self.method.trim_start_matches('/')
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::access;

    #[test]
    fn each_method_has_its_own_numbers_and_what_is_none_has_one() {
        let calls = Calls::default();
        calls.count(access::place("POST", "/millpond.v1.JobService/KillJob"), Ended::Ok);
        calls.count(access::place("GET", "/v1/jobs/j7/bundle"), Ended::Refused);
        calls.count(access::place("HEAD", "/v1/jobs/j8/bundle"), Ended::Refused);
        calls.count(access::place("GET", "/wp-login.php"), Ended::Failed);
        let counted: Vec<_> = calls.read().filter(|(.., count)| *count > 0).collect();
        let expected = [
            ("millpond.v1.JobService/KillJob", Ended::Ok, 1),
            ("GET /v1/jobs/{id}/bundle", Ended::Refused, 2),
            ("other", Ended::Failed, 1),
        ];
        assert_eq!(counted, expected);
        assert_eq!(calls.read().count(), 3 * (METHODS.len() + ROUTES.len() + 1));
    }
}
