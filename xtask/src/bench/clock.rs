//! What seconds are.

use std::collections::BTreeMap;
use std::time::Instant;

/// Seconds of each part of a work, by name.
pub type Parts = BTreeMap<String, f64>;

/// A clock of a benchmark.
#[derive(Debug, Clone, Copy)]
pub enum Clock {
    /// Time as people know it, since a moment.
    Wall(Instant),
    /// What the threads of this process have computed, in steps of 10 ms; Linux says so. On a busy
    /// machine it is what remains comparable: with one thread, other programs hardly change it.
    Processor,
}

impl Clock {
    pub fn seconds(self) -> f64 {
        match self {
            Clock::Wall(start) => start.elapsed().as_secs_f64(),
            Clock::Processor => processor_seconds().unwrap_or(f64::NAN),
        }
    }

    /// Runs a part and notes its seconds.
    pub fn time<T>(self, parts: &mut Parts, name: &str, run: impl FnOnce() -> T) -> T {
        let start = self.seconds();
        let result = run();
        parts.insert(name.into(), self.seconds() - start);
        result
    }
}

/// User and system time, fields 14 and 15 of proc_pid_stat(5), in hundredths of a second.
fn processor_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(") ")?; // the second field, a name, may have spaces
    let times = fields.split(' ').skip(11).take(2).map(str::parse::<f64>);
    Some(times.sum::<Result<f64, _>>().ok()? / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computing for a while passes as processor time, at most as much as all threads had.
    #[test]
    #[cfg(target_os = "linux")]
    fn processor_time_is_that_of_computing() {
        let (wall, before) = (Clock::Wall(Instant::now()), Clock::Processor.seconds());
        while Clock::Processor.seconds() < before + 0.05 {
            std::hint::black_box((0..100_000u64).sum::<u64>());
        }
        let threads = 2 * std::thread::available_parallelism().unwrap().get();
        assert!(wall.seconds() * threads as f64 > 0.03, "{}", wall.seconds());
    }
}
