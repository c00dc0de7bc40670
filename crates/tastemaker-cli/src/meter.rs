//! What training takes of this machine, by its clock and its process table.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use tastemaker::nn::fused::operations;
use tastemaker::train::{Cost, Meter};

/// Ticks a second in which Linux tells processor time.
const TICKS: f64 = 100.0;

/// Measures the program itself.
pub(crate) struct Process {
    begun: Mutex<Beginning>,
}

/// What there was when measuring began.
#[derive(Clone, Copy)]
struct Beginning {
    instant: Instant,
    cpu_seconds: f64,
    memory: u64,
    operations: u64,
}

impl Beginning {
    fn now() -> Self {
        let (cpu_seconds, memory) = (cpu_seconds(), memory("VmRSS:"));
        Self { instant: Instant::now(), cpu_seconds, memory, operations: operations() }
    }
}

impl Process {
    pub(crate) fn new() -> Self {
        Self { begun: Mutex::new(Beginning::now()) }
    }
}

impl Meter for Process {
    fn reset(&self) {
        // Asks Linux to forget the highest memory so far; where it cannot, the peak is of all.
        let _ = fs_err::write("/proc/self/clear_refs", "5");
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = Beginning::now();
    }

    fn read(&self) -> Cost {
        let begun = *self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        Cost {
            seconds: begun.instant.elapsed().as_secs_f64(),
            cpu_seconds: cpu_seconds() - begun.cpu_seconds,
            peak_memory: memory("VmHWM:"),
            start_memory: begun.memory,
            operations: operations() - begun.operations,
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

/// The memory, in bytes, that the process table has under this name, 0 where it does not say.
fn memory(name: &str) -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    kibibytes(&status, name)
}

/// What a line that begins with `name` says in KiB, in bytes; 0 where there is none.
fn kibibytes(text: &str, name: &str) -> u64 {
    let said = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = said.and_then(|text| text.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Memory that is free, or soon would be, in bytes; 0 where the system does not say.
pub(crate) fn available_memory() -> u64 {
    let all = fs_err::read_to_string("/proc/meminfo").unwrap_or_default();
    kibibytes(&all, "MemAvailable:")
}
