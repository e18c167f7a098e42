//! CPU time of the children that this process has waited for, and of theirs.

/// Clock ticks in a second, in which `/proc` counts. 100 on every Linux architecture that Rust's standard library is built for.
const TICKS_PER_SECOND: u64 = 100;

/// A sum since this process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CpuTime {
    /// In user mode.
    pub user_ms: u64,
    /// In the kernel.
    pub system_ms: u64,
}

impl CpuTime {
    /// Of all children waited for so far (`cutime` and `cstime` of `/proc/self/stat`, see proc_pid_stat(5)); zero where it can't be read.
    pub fn of_children() -> Self {
        std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| Self::parse(&stat)).unwrap_or_default()
    }

    /// What was added since `earlier`.
    pub fn since(self, earlier: Self) -> Self {
        Self { user_ms: self.user_ms.saturating_sub(earlier.user_ms), system_ms: self.system_ms.saturating_sub(earlier.system_ms) }
    }

    /// Fields 16 and 17. The second field, the name, may contain anything; the last parenthesis ends it.
    fn parse(stat: &str) -> Option<Self> {
        let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(13);
        let mut ms = || Some(fields.next()?.parse::<u64>().ok()?.saturating_mul(1000 / TICKS_PER_SECOND));
        Some(Self { user_ms: ms()?, system_ms: ms()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_behind_a_name_with_parentheses() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 70 80 20 0 1 0 100";
        assert_eq!(CpuTime::parse(stat), Some(CpuTime { user_ms: 700, system_ms: 800 }));
        assert_eq!(CpuTime::parse("42 (a) S 1"), None);
    }
}
