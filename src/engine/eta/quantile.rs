//! Quantiles of two distributions, as far as an ETA needs them.

/// What a draw of the standard normal distribution exceeds with this probability, up to a half. Abramowitz and Stegun 26.2.23; within 0.00045.
pub(super) fn normal(tail: f64) -> f64 {
    let t = (-2.0 * tail.clamp(1e-12, 0.5).ln()).sqrt();
    t - (2.515_517 + t * (0.802_853 + t * 0.010_328)) / (1.0 + t * (1.432_788 + t * (0.189_269 + t * 0.001_308)))
}

/// The same of Student's t of so many degrees of freedom. Abramowitz and Stegun 26.7.5; for fewer than two degrees it is that of two, and a bit
/// small.
pub(super) fn student(tail: f64, freedom: f64) -> f64 {
    let (z, n) = (normal(tail), freedom.max(2.0));
    let square = z * z;
    let first = z * (square + 1.0) / 4.0;
    let second = z * (square * (5.0 * square + 16.0) + 3.0) / 96.0;
    let third = z * (square * (square * (3.0 * square + 19.0) + 17.0) - 15.0) / 384.0;
    z + first / n + second / (n * n) + third / (n * n * n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_as_in_the_tables() {
        for (tail, expected) in [(0.5, 0.0), (0.05, 1.6449), (0.025, 1.9600), (0.005, 2.5758), (1e-6, 4.7534)] {
            assert!((normal(tail) - expected).abs() < 0.001, "{tail}: {}", normal(tail));
        }
        for (freedom, expected) in [(2.0, 2.920), (3.0, 2.353), (4.0, 2.132), (10.0, 1.812), (30.0, 1.697), (1e9, 1.645)] {
            assert!((student(0.05, freedom) - expected).abs() < 0.04, "{freedom}: {}", student(0.05, freedom));
        }
        assert_eq!(student(0.05, 0.0), student(0.05, 2.0));
    }
}
