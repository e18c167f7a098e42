//! What comes from a disk, a network or a person must never bring the program down: for each place where it comes in, a target that takes
//! any bytes at all. A target may refuse them; it may not panic, or ask for memory without bound.
//!
//! Each target starts from inputs that are in order, and damages them. `MILLPOND_FUZZ_RUNS=N` sets how often (2,000 each otherwise);
//! `MILLPOND_FUZZ_SEED=S` another start. The targets are plain functions, so that a coverage-guided fuzzer can call them as well.

mod mutate;
mod seeds;
mod targets;

use mutate::Mutator;
use targets::TARGETS;

fn from_env(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn no_bytes_bring_a_target_down() {
    let (runs, seed) = (from_env("MILLPOND_FUZZ_RUNS", 2_000), from_env("MILLPOND_FUZZ_SEED", 1));
    for target in TARGETS {
        let seeds = (target.seeds)();
        let taken = seeds.iter().filter(|seed| (target.run)(seed)).count();
        assert!(taken > 0, "{}: none of its {} seeds is in order, so the damage would prove little", target.name, seeds.len());
        let mut mutator = Mutator::new(seed);
        let mut taken = 0;
        for run in 0..runs {
            let input = mutator.damage(&seeds);
            let result = std::panic::catch_unwind(|| (target.run)(&input));
            let Ok(was_taken) = result else {
                panic!("{} fell over in run {run} of seed {seed}, at these bytes: {}", target.name, hex(&input));
            };
            taken += u64::from(was_taken);
        }
        println!("{}: {taken} of {runs} damaged inputs were taken", target.name);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
