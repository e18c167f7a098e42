//! Who comes to the head's port, how often, and how many are inside: so that one address can't take all places, nor all the time that greeting
//! takes.
//!
//! Each address has a rate: who comes faster waits for his turn, and is refused where that would take too long (the generic cell rate
//! algorithm, ITU-T I.371: one moment for each address, from which on it is within its rate again). An IPv6 address stands for its /64, which
//! is what one machine is given.

use core::net::{IpAddr, Ipv6Addr};
use std::collections::BTreeMap;
use std::time::Duration;

use crate::domain::Instant;
use crate::limits::{ARRIVAL_WAIT_MAX, ARRIVALS_AT_ONCE, ARRIVALS_EVERY, PLACES_PER_ADDRESS};

/// Arrivals between two looks for addresses that nobody has come from for a while.
const SWEPT_EVERY: u32 = 1024;

/// See the module.
#[derive(Clone, Debug)]
pub struct Turnstile {
    per_address: usize,
    visitors: BTreeMap<IpAddr, Visitors>,
    arrivals: u32,
}

/// Those of one address.
#[derive(Clone, Copy, Debug)]
struct Visitors {
    inside: usize,
    /// Should nobody else come from there, it has used nothing of its rate from then on.
    even_at: Instant,
}

/// What becomes of somebody who comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// He is let in after so long, and counts as inside from now on.
    In(Duration),
    /// As many as may be are inside from there: so many.
    TooMany(usize),
    /// So many have come from there that his turn is too far away.
    TooOften,
}

impl Turnstile {
    /// One before so many places.
    pub fn before(places: usize) -> Self {
        let (some, of) = PLACES_PER_ADDRESS;
        Self { per_address: (places / of * some).max(1), visitors: BTreeMap::new(), arrivals: 0 }
    }

    /// Somebody comes.
    pub fn arrives(&mut self, from: IpAddr, now: Instant) -> Turn {
        self.arrivals = self.arrivals.wrapping_add(1);
        if self.arrivals.is_multiple_of(SWEPT_EVERY) {
            self.visitors.retain(|_, visitors| visitors.inside > 0 || visitors.even_at > now);
        }
        let visitors = self.visitors.entry(machine(from)).or_insert(Visitors { inside: 0, even_at: now });
        let even_at = visitors.even_at.max(now).after(ARRIVALS_EVERY);
        let wait = even_at.since(now).saturating_sub(ARRIVALS_EVERY * ARRIVALS_AT_ONCE);
        if visitors.inside >= self.per_address {
            return Turn::TooMany(self.per_address);
        }
        if wait > ARRIVAL_WAIT_MAX {
            return Turn::TooOften;
        }
        (visitors.inside, visitors.even_at) = (visitors.inside + 1, even_at);
        Turn::In(wait)
    }

    /// One who was let in is gone.
    pub fn leaves(&mut self, from: IpAddr, now: Instant) {
        let machine = machine(from);
        if let Some(visitors) = self.visitors.get_mut(&machine) {
            visitors.inside = visitors.inside.saturating_sub(1);
            if visitors.inside == 0 && visitors.even_at <= now {
                self.visitors.remove(&machine);
            }
        }
    }
}

fn machine(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HERE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 0, 7));
    const THERE: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 0, 8));

    #[test]
    fn a_burst_is_let_in_at_once_what_comes_behind_waits_its_turn_and_a_flood_is_refused() {
        let mut turnstile = Turnstile::before(24_000);
        let mut arrives = |from, now| {
            let turn = turnstile.arrives(from, Instant(now));
            turnstile.leaves(from, Instant(now));
            turn
        };
        for _ in 0..ARRIVALS_AT_ONCE {
            assert_eq!(arrives(HERE, 1000), Turn::In(Duration::ZERO));
        }
        for no in 1..=3 {
            assert_eq!(arrives(HERE, 1000), Turn::In(ARRIVALS_EVERY * no));
        }
        while arrives(HERE, 1000) != Turn::TooOften {}
        assert_eq!(arrives(THERE, 1000), Turn::In(Duration::ZERO), "another is none of that");
        // A refusal costs nothing of the rate: a moment later there is a place in the line again.
        assert_eq!(arrives(HERE, 1000 + ARRIVALS_EVERY.as_millis() as u64), Turn::In(ARRIVAL_WAIT_MAX));
        assert_eq!(arrives(HERE, 1_000_000), Turn::In(Duration::ZERO));
    }

    #[test]
    fn an_address_holds_so_many_places_and_no_more() {
        let mut turnstile = Turnstile::before(24_000);
        let mut now = 0;
        for _ in 0..20_000 {
            now += ARRIVALS_EVERY.as_millis() as u64;
            assert!(matches!(turnstile.arrives(HERE, Instant(now)), Turn::In(_)));
        }
        assert_eq!(turnstile.arrives(HERE, Instant(now)), Turn::TooMany(20_000));
        turnstile.leaves(HERE, Instant(now));
        assert!(matches!(turnstile.arrives(HERE, Instant(now)), Turn::In(_)));
    }

    #[test]
    fn all_addresses_of_a_machine_are_one() {
        let of = |text: &str| machine(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), of("2001:db8:1:2::9"));
        assert_ne!(of("2001:db8:1:2::9"), of("2001:db8:1:3::9"));
        assert_eq!(of("::ffff:10.0.0.7"), HERE);
    }

    proptest! {
        #[test]
        fn in_no_span_of_time_more_are_let_in_than_the_rate_gives(gaps in prop::collection::vec(0u64..20, 0..6000)) {
            let (mut turnstile, mut now, mut entries) = (Turnstile::before(24_000), 0, Vec::new());
            for gap in gaps {
                now += gap;
                if let Turn::In(wait) = turnstile.arrives(HERE, Instant(now)) {
                    entries.push(now + wait.as_millis() as u64);
                    turnstile.leaves(HERE, Instant(now));
                }
            }
            prop_assert!(entries.is_sorted());
            let at_once = ARRIVALS_AT_ONCE as usize;
            for (first, later) in entries.iter().zip(entries.iter().skip(at_once + 1)) {
                prop_assert!(later - first >= ARRIVALS_EVERY.as_millis() as u64);
            }
        }

        #[test]
        fn nothing_is_kept_of_those_who_are_gone(comers in prop::collection::vec((any::<[u8; 4]>(), 0u64..50), 0..3000)) {
            let (mut turnstile, mut now) = (Turnstile::before(24_000), 0);
            for (address, gap) in comers {
                now += gap;
                turnstile.arrives(IpAddr::from(address), Instant(now));
                turnstile.leaves(IpAddr::from(address), Instant(now));
            }
            for _ in 0..SWEPT_EVERY {
                now += 100_000;
                turnstile.arrives(HERE, Instant(now));
                turnstile.leaves(HERE, Instant(now));
            }
            prop_assert!(turnstile.visitors.len() <= 1);
        }
    }
}
