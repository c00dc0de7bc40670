//! How fast lists are read and measured, for bench/peers/evaluating.py.
//!
//! `cargo bench -p tastemaker-eval --bench lists -- --times LISTS QRELS ITEMS N METRIC …` reads both
//! files, takes the metrics N times, of a catalog of so many items, and prints the seconds of each, the
//! values and the peak memory as JSON.

use std::path::Path;
use std::time::Instant;

use tastemaker_core::lists::{Columns, Items, read_lists, read_relevant};
use tastemaker_core::splits::EvalCase;
use tastemaker_core::{RankedList, SeedTree, TieOrder, UserId};
use tastemaker_eval::{Evaluator, Ground};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[expect(clippy::print_stdout, reason = "this is what the program is asked for")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ["--times", lists, qrels, n_items, n, ref metrics @ ..] = arguments[..] else {
        println!("lists: nothing to do without --times LISTS QRELS ITEMS N METRIC …");
        return;
    };
    let (n_items, n): (usize, usize) =
        (n_items.parse().expect("items"), n.parse().expect("rounds"));
    let metrics = metrics.iter().map(|metric| metric.parse().expect("a metric")).collect();
    let evaluator = Evaluator::new(metrics).expect("metrics");
    let begin = Instant::now();
    let usual = Columns::default();
    let mut relevant = read_relevant(Path::new(qrels), &usual).expect("qrels");
    let any = Items::Any(&mut relevant.items);
    let lists = read_lists(Path::new(lists), &usual, &relevant.users, any).expect("lists");
    let read = begin.elapsed().as_secs_f64();
    let (mut seconds, mut means) = (Vec::new(), Vec::new());
    for _ in 0..n {
        let begin = Instant::now();
        let ties = TieOrder::new(n_items, &SeedTree::new(0));
        let case = |user: u32| EvalCase {
            user: UserId(user),
            history: &[],
            targets: relevant.lists.items(user as usize),
        };
        let cases: Vec<EvalCase<'_>> = (0..).map(case).take(relevant.users.len()).collect();
        let list = |user: usize, list: &mut RankedList| lists.ranked(user, &ties, list);
        let ground = Ground::of_lists(n_items, true);
        let evaluation = evaluator.evaluate_lists(&cases, list, &ground, String::new());
        let evaluation = evaluation.expect("an evaluation");
        seconds.push(begin.elapsed().as_secs_f64());
        means = evaluation.summary.metrics.iter().map(|value| value.mean).collect();
    }
    let status = fs_err::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak: usize =
        peak.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0);
    let times = format!("\"read\": {read}, \"evaluate\": {seconds:?}");
    println!("{{{times}, \"means\": {means:?}, \"peak-memory\": {}}}", peak * 1024);
}
