//! How long a message takes to convert, in both directions: `cargo bench --bench
//! conversion`. What counts is the time that the processor was at work. The worst cases are measured at a size and at twice that, so that one
//! can see whether the time grows faster than the message.

#![allow(missing_docs, reason = "criterion's macro makes a public function")]

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

mod cases;

fn ordinary(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ordinary");
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1));
    for case in cases::ordinary() {
        let text = (case.text)(case.size);
        let id = BenchmarkId::new(case.name, case.way.name());
        group.bench_function(id, |timer| {
            timer.iter_custom(|times| case.takes(&text, times));
        });
    }
}

fn worst(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("worst");
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500));
    for case in cases::worst() {
        for size in [case.size, 2 * case.size] {
            let text = (case.text)(size);
            let id = BenchmarkId::new(format!("{} {}", case.way.name(), case.name), size);
            group.bench_function(id, |timer| {
                timer.iter_custom(|times| case.takes(&text, times));
            });
        }
    }
}

criterion_group!(benches, ordinary, worst);
criterion_main!(benches);
