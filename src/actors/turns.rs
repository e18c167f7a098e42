//! One call of each request id at a time: a request that comes again waits for its first call, and finds what that has left behind. Each call
//! goes on to its end, also when whoever called has gone meanwhile: nothing stays half done.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::Error;

type Waiting = BTreeMap<String, (Arc<tokio::sync::Mutex<()>>, usize)>;

/// See the module. Cheap to clone.
#[derive(Clone, Default)]
pub struct Turns(Arc<Mutex<Waiting>>);

/// One call's place, given back when it is dropped.
struct Place {
    turns: Turns,
    request_id: String,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Turns {
    /// Does a request's work, to its end, once no other call of it is at work. An empty id is nobody's.
    pub async fn take<T: Send + 'static>(
        &self,
        request_id: &str,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let place = (!request_id.is_empty()).then(|| self.place(request_id));
        let done = tokio::spawn(async move {
            let turn = match &place {
                Some(place) => Some(place.turn.lock().await),
                None => None,
            };
            let outcome = work.await;
            drop(turn);
            outcome
        });
        done.await.unwrap_or_else(|_| Err(Error::internal("the request broke off: this is a mistake in Millpond")))
    }

    fn place(&self, request_id: &str) -> Place {
        let mut waiting = self.waiting();
        let (turn, calls) = waiting.entry(request_id.to_owned()).or_default();
        *calls += 1;
        Place { turns: self.clone(), request_id: request_id.to_owned(), turn: turn.clone() }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.turns.waiting().entry(std::mem::take(&mut self.request_id)) {
            entry.get_mut().1 -= 1;
            if entry.get().1 == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn a_repeated_request_waits_for_the_first_whose_caller_may_have_gone() {
        let turns = Turns::default();
        let (goes_on, waits) = oneshot::channel::<()>();
        let log = Arc::new(Mutex::new(Vec::new()));
        let note = |what: &'static str| {
            let log = log.clone();
            move || log.lock().unwrap().push(what)
        };
        let (done, begun) = (note("first"), Arc::new(tokio::sync::Notify::new()));
        let first = tokio::spawn({
            let (turns, begun) = (turns.clone(), begun.clone());
            async move {
                let work = async move {
                    begun.notify_one();
                    let _ = waits.await;
                    done();
                    Ok(())
                };
                turns.take("r", work).await
            }
        });
        begun.notified().await;
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        let again = note("again");
        let second = turns.place("r");
        assert!(second.turn.try_lock().is_err(), "the first is still at work");
        drop(second);
        turns.take("another", async { Ok(()) }).await.unwrap();
        turns.take("", async { Ok(()) }).await.unwrap();
        goes_on.send(()).unwrap();
        let second = async move {
            again();
            Ok(())
        };
        turns.take("r", second).await.unwrap();
        assert_eq!(*log.lock().unwrap(), ["first", "again"]);
        while !turns.waiting().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn work_that_panics_leaves_its_place() {
        let turns = Turns::default();
        let broken = turns.take::<()>("r", async { panic!("on purpose") }).await;
        assert!(broken.unwrap_err().message.contains("broke off"));
        turns.take("r", async { Ok(()) }).await.unwrap();
        assert!(turns.waiting().is_empty());
    }
}
