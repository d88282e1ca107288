//! Measures each phase of the compilation of the workload `W(N)` of `bench/WORKLOAD.md`, for N = 1, 10, 100, 1000.
//!
//! ```text
//! cargo bench -p xtask                     every phase and size (needs `python3` for the workload's generator)
//! cargo bench -p xtask -- expand/1000      one phase and size
//! ```
//!
//! A phase needs the results of the earlier phases, so each sample is a whole compilation of which one phase is counted.
//! On a machine with other load, only ratios within one run are meaningful.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use terrace_compiler::source::{SourceError, Sources};
use terrace_compiler::{Phase, Request, compile, compile_watched};

#[path = "../src/workload.rs"]
mod workload;

/// The allocator that the program uses.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The numbers of tenants.
const SIZES: [u64; 4] = [1, 10, 100, 1000];

/// The number of resources per tenant.
const RESOURCES: u64 = 23;

/// A stack in memory, so that no disk access is measured.
struct Memory(BTreeMap<String, Arc<[u8]>>);

impl Sources for Memory {
    fn read(&self, path: &str) -> Result<Arc<[u8]>, SourceError> {
        self.0.get(path).cloned().ok_or(SourceError::NotFound)
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, SourceError> {
        let paths = self.0.keys().filter(|path| path.starts_with(folder));
        Ok(paths.cloned().collect())
    }
}

impl Memory {
    fn of_workload(size: u64) -> Memory {
        let at = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("workload-{size}"));
        let (input, stack) = (at.join("input"), at.join("stack"));
        let generator = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/gen_input.py");
        let python = env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
        let written = Command::new(python)
            .arg(generator)
            .arg(size.to_string())
            .arg(&input)
            .status()
            .expect("`python3` runs");
        assert!(written.success(), "the generator of the workload failed");
        let directories = [&input, &stack].map(|path| path.display().to_string());
        workload::run(&directories).expect("the workload's stack can be written");
        let mut files = BTreeMap::new();
        read(&stack, "", &mut files);
        Memory(files)
    }
}

fn read(folder: &Path, below: &str, files: &mut BTreeMap<String, Arc<[u8]>>) {
    for entry in fs::read_dir(folder).expect("a directory").flatten() {
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        match entry.path().is_dir() {
            true => read(&entry.path(), &format!("{name}/"), files),
            false => drop(files.insert(name, fs::read(entry.path()).expect("a file").into())),
        }
    }
}

/// Returns the time of one phase of one compilation.
fn once(sources: &Memory, wanted: Phase) -> Duration {
    let begun = Mutex::new((Instant::now(), Duration::ZERO));
    let compiled = compile_watched(sources, &Request::default(), &|phase| {
        let now = Instant::now();
        if let Ok(mut state) = begun.lock() {
            let (since, total) = *state;
            let counted = if phase == wanted {
                now - since
            } else {
                Duration::ZERO
            };
            *state = (Instant::now(), total + counted);
        }
    });
    assert!(!compiled.has_errors(), "the workload compiles");
    drop(black_box(compiled));
    begun.into_inner().map(|state| state.1).unwrap_or_default()
}

fn phases(criterion: &mut Criterion) {
    for size in SIZES {
        let sources = Memory::of_workload(size);
        for phase in Phase::ALL {
            let mut group = criterion.benchmark_group(format!("{phase:?}").to_lowercase());
            group.throughput(Throughput::Elements(size * RESOURCES));
            group.bench_with_input(BenchmarkId::from_parameter(size), &sources, |bencher, sources| {
                bencher.iter_custom(|times| (0..times).map(|_| once(sources, phase)).sum());
            });
            group.finish();
        }
        let mut group = criterion.benchmark_group("render");
        let compiled = compile(&sources, &Request::default());
        group.bench_with_input(
            BenchmarkId::from_parameter(size),
            &compiled,
            |bencher, compiled| {
                bencher.iter(|| {
                    let files = compiled
                        .bundles
                        .iter()
                        .flat_map(|bundle| terrace_artifact::sheets(&bundle.targets, &bundle.artifacts));
                    files.map(|sheet| black_box(sheet.text()).len()).sum::<usize>()
                });
            },
        );
        group.finish();
    }
}

fn settings() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! {
    name = benches;
    config = settings();
    targets = phases
}
criterion_main!(benches);
