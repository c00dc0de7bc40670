//! What training takes of this machine, by its clock and its process table.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tastemaker::train::{Cost, Meter};

/// Ticks a second in which Linux tells processor time.
const TICKS: f64 = 100.0;

/// Measures the program itself.
pub(crate) struct Process {
    begun: Mutex<(Instant, f64)>,
}

impl Process {
    pub(crate) fn new() -> Self {
        Self { begun: Mutex::new((Instant::now(), cpu_seconds())) }
    }
}

impl Meter for Process {
    fn reset(&self) {
        // Asks Linux to forget the highest memory so far; where it cannot, the peak is of all.
        let _ = fs_err::write("/proc/self/clear_refs", "5");
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) =
            (Instant::now(), cpu_seconds());
    }

    fn read(&self) -> Cost {
        let (begun, cpu) = *self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        Cost {
            seconds: begun.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds() - cpu,
            peak_memory: peak_memory(),
        }
    }
}

/// Processor time of this process, 0 where the system does not say.
fn cpu_seconds() -> f64 {
    let stat = fs_err::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in parentheses, may hold spaces; user and system time are fields 14 and 15.
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / TICKS
}

/// The most memory at once, in bytes, 0 where the system does not say.
fn peak_memory() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|peak| peak.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
