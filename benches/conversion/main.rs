//! How long a message takes to convert, in both directions: `cargo bench --bench
//! conversion`. The worst cases are measured at a size and at twice that, so that one
//! can see whether the time grows faster than the message.

#![allow(missing_docs, reason = "criterion's macro makes a public function")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

mod cases;

fn ordinary(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ordinary");
    for case in cases::ordinary() {
        let text = (case.text)(case.size);
        let id = BenchmarkId::new(case.name, case.way.name());
        group.bench_function(id, |timer| {
            timer.iter(|| case.way.convert(black_box(&text)));
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
                timer.iter(|| case.way.convert(black_box(&text)));
            });
        }
    }
}

criterion_group!(benches, ordinary, worst);
criterion_main!(benches);
