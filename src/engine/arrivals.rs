//! Which connection of a worker is its latest. Connections of one worker may reach the head in another order than they were made in: one that
//! died on its way must not take the place of the one that lives.

use std::collections::BTreeMap;

use crate::domain::wire::Dial;
use crate::domain::{Error, WorkerId};

use super::fault::Fault;

/// The latest connection of each worker, since the head's start: what dialled an earlier head can't reach this one.
#[derive(Clone, Debug, Default)]
pub struct Arrivals {
    latest: BTreeMap<WorkerId, Dial>,
    fault: Option<Fault>,
}

impl Arrivals {
    /// Plants a mistake, for tests.
    pub fn plant(&mut self, fault: Option<Fault>) {
        self.fault = fault;
    }

    /// A worker has dialled. `Conflict` if a later connection of it was here already: whoever hears that over a connection that lives shares its
    /// folder with another worker.
    pub fn admit(&mut self, worker: WorkerId, dial: Dial) -> Result<(), Error> {
        let latest = self.latest.entry(worker).or_default();
        if dial <= *latest && self.fault != Some(Fault::LateHelloTaken) {
            return Err(Error::conflict(format!(
                "{worker} has connected since, from its start {}, and this is its start {}: if this worker's folder is a copy of another's, or came \
                 back from a backup, give it a new --dir",
                latest.start, dial.start
            )));
        }
        *latest = dial;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_was_overtaken_is_refused() {
        let mut arrivals = Arrivals::default();
        let mut dials = |worker, start, number| arrivals.admit(WorkerId(worker), Dial { start, number }).is_ok();
        assert!(dials(1, 3, 1));
        assert!(dials(1, 3, 3));
        assert!(!dials(1, 3, 2), "it died on its way, and the next one is here");
        assert!(!dials(1, 3, 3), "a copy of the worker");
        assert!(dials(1, 4, 1), "started again");
        assert!(!dials(1, 3, 4));
        assert!(dials(2, 1, 1), "another worker");
    }

    #[test]
    fn the_refusal_says_what_to_do() {
        let mut arrivals = Arrivals::default();
        arrivals.admit(WorkerId(7), Dial { start: 5, number: 1 }).unwrap();
        let refused = arrivals.admit(WorkerId(7), Dial { start: 2, number: 9 }).unwrap_err();
        assert_eq!(
            refused.message,
            "w7 has connected since, from its start 5, and this is its start 2: if this worker's folder is a copy of another's, or came back from a \
             backup, give it a new --dir"
        );
    }
}
