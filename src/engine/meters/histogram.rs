//! How often something was of which size.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::counter::Counter;

/// Counts by size, in whole parts of a unit: nanoseconds of a second.
#[derive(Debug)]
pub struct Histogram {
    /// The largest of each bucket, ascending; the last bucket, beside them, has no largest.
    bounds: &'static [u64],
    parts_per_unit: u32,
    counts: Box<[Counter]>,
    sum: AtomicU64,
}

/// What a histogram holds at one moment, in its unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Buckets {
    /// For each bound, and infinity: how many were at most so large.
    pub up_to: Vec<(f64, u64)>,
    /// Of all.
    pub sum: f64,
}

impl Histogram {
    /// With ascending bounds, in parts of the unit.
    pub(super) fn new(bounds: &'static [u64], parts_per_unit: u32) -> Self {
        let counts = (0..=bounds.len()).map(|_| Counter::default()).collect();
        Self { bounds, parts_per_unit, counts, sum: AtomicU64::new(0) }
    }

    /// Takes one in, in parts of the unit.
    pub fn observe(&self, size: u64) {
        let bucket = self.bounds.partition_point(|bound| *bound < size);
        if let Some(count) = self.counts.get(bucket) {
            count.add(1);
        }
        self.sum.fetch_add(size, Ordering::Relaxed);
    }

    /// The same, of one whose parts are nanoseconds.
    pub fn took(&self, span: Duration) {
        self.observe(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
    }

    /// As it is now.
    pub fn read(&self) -> Buckets {
        // Before the counts: one that comes in between may be missing in the sum, which does not matter.
        let sum = self.sum.load(Ordering::Relaxed) as f64 / f64::from(self.parts_per_unit);
        let bounds = self.bounds.iter().map(|bound| *bound as f64 / f64::from(self.parts_per_unit)).chain([f64::INFINITY]);
        let counts = self.counts.iter().scan(0, |all, count| {
            *all += count.get();
            Some(*all)
        });
        Buckets { up_to: bounds.zip(counts).collect(), sum }
    }
}

impl Buckets {
    /// What so large a part (0 to 1) of all was at most, as if those of a bucket lay evenly in it; none before the first.
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let wanted = part * self.count() as f64;
        let (mut low, mut before) = (0.0, 0);
        for (bound, count) in &self.up_to {
            // Beyond the last bound nothing is known but that.
            if *count > before && *count as f64 >= wanted {
                let within = (wanted - before as f64) / (count - before) as f64;
                return Some(if bound.is_finite() { low + (bound - low) * within } else { low });
            }
            (low, before) = (if bound.is_finite() { *bound } else { low }, *count);
        }
        None
    }

    /// How many were taken in.
    pub fn count(&self) -> u64 {
        self.up_to.last().map_or(0, |(_, count)| *count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_counts_at_its_bound_and_above() {
        let histogram = Histogram::new(&[10, 100], 10);
        [0, 10, 11, 100, 101, 5_000].into_iter().for_each(|size| histogram.observe(size));
        let read = histogram.read();
        assert_eq!(read.up_to, [(1.0, 2), (10.0, 4), (f64::INFINITY, 6)]);
        assert_eq!((read.sum, read.count()), (522.2, 6));
        let spans = Histogram::new(&[1_000_000], 1_000_000_000);
        spans.took(Duration::from_millis(1));
        spans.took(Duration::from_millis(2));
        assert_eq!(spans.read(), Buckets { up_to: vec![(0.001, 1), (f64::INFINITY, 2)], sum: 0.003 });
    }

    #[test]
    fn a_quantile_lies_in_its_bucket() {
        let histogram = Histogram::new(&[10, 100], 1);
        assert_eq!(histogram.read().quantile(0.5), None);
        (0..10).for_each(|_| histogram.observe(50));
        let read = histogram.read();
        assert_eq!([0.0, 0.5, 1.0].map(|part| read.quantile(part)), [Some(10.0), Some(55.0), Some(100.0)]);
        (0..10).for_each(|_| histogram.observe(1000));
        let read = histogram.read();
        assert_eq!([0.25, 0.5, 0.99].map(|part| read.quantile(part)), [Some(55.0), Some(100.0), Some(100.0)]);
    }

    #[test]
    fn bounds_ascend() {
        for bounds in [super::super::SPANS, super::super::ENTRIES] {
            assert!(bounds.is_sorted_by(|a, b| a < b));
        }
        assert_eq!(super::super::ENTRIES.last(), Some(&(crate::limits::COMMIT_ENTRIES_MAX as u64)));
    }
}
