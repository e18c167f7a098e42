//! The images of a worker: each is fetched once, however many tasks wait for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Mutex as Turn;

use crate::domain::{Error, Image};
use crate::exec::{Containers, GiveUp};

/// What is known of images. Without a container program none can be had.
#[derive(Default)]
pub struct Images {
    containers: Option<Containers>,
    /// How the fetching went; held by the one who fetches it. One that can't be had is told to all who wait for it, and then forgotten.
    known: Mutex<BTreeMap<String, Arc<Fetched>>>,
}

type Fetched = Turn<Option<Result<(), Error>>>;

/// Ends the call when the future that waits for it is dropped.
struct EndsCall(GiveUp);

impl Drop for EndsCall {
    fn drop(&mut self) {
        self.0.ask();
    }
}

impl Images {
    /// Nothing is known yet.
    pub fn new(containers: Option<Containers>) -> Self {
        Self { containers, known: Mutex::default() }
    }

    /// What runs them.
    pub fn containers(&self) -> Option<&Containers> {
        self.containers.as_ref()
    }

    /// Whether it is here, as far as is known without a look.
    pub fn is_here(&self, image: &Image) -> bool {
        self.known().get(image.as_str()).is_some_and(|turn| turn.try_lock().is_ok_and(|fetched| matches!(*fetched, Some(Ok(())))))
    }

    /// Sees to it that it is here. Once nobody waits any more the fetching ends.
    ///
    /// # Errors
    /// `NotFound` if it can't be had; `Unavailable` where nothing runs images.
    pub async fn get(self: &Arc<Self>, image: &Image) -> Result<(), Error> {
        let turn = self.known().entry(image.as_str().to_owned()).or_default().clone();
        let mut known = turn.lock().await;
        if let Some(fetched) = &*known {
            return fetched.clone();
        }
        let ends = EndsCall(GiveUp::default());
        let (images, wanted, give_up) = (self.clone(), image.clone(), ends.0.clone());
        let fetched = tokio::task::spawn_blocking(move || match &images.containers {
            Some(containers) => containers.fetch(&wanted, &give_up),
            None => Err(Error::unavailable(format!("image {wanted}: this worker has no podman or docker"))),
        });
        let fetched = fetched.await.unwrap_or_else(|error| Err(Error::internal(format!("image {image} can't be fetched: {error}"))));
        *known = Some(fetched.clone());
        if fetched.is_err() {
            self.forget(image);
        }
        fetched
    }

    /// It may be gone: the next task looks again.
    pub fn forget(&self, image: &Image) {
        self.known().remove(image.as_str());
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Fetched>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_a_container_program_no_image_is_here() {
        let (images, image) = (Arc::new(Images::default()), "debian:12".parse().unwrap());
        assert!(!images.is_here(&image));
        let refused = images.get(&image).await.unwrap_err();
        assert_eq!(refused.message, "image debian:12: this worker has no podman or docker");
        assert!(!images.is_here(&image) && images.known().is_empty());
    }
    #[tokio::test]
    async fn a_failure_is_told_to_all_who_waited_for_it_and_then_forgotten() {
        let (images, image): (_, Image) = (Arc::new(Images::default()), "debian:12".parse().unwrap());
        let turn = images.known().entry(image.to_string()).or_default().clone();
        let mut fetching = turn.lock().await;
        let waiting = tokio::spawn({
            let (images, image) = (images.clone(), image.clone());
            async move { images.get(&image).await }
        });
        while Arc::strong_count(&turn) < 3 {
            tokio::task::yield_now().await;
        }
        *fetching = Some(Err(Error::not_found("gone")));
        images.forget(&image);
        drop(fetching);
        assert_eq!(waiting.await.unwrap().unwrap_err().message, "gone");
        assert_eq!(images.get(&image).await.unwrap_err().message, "image debian:12: this worker has no podman or docker");
    }
}
