use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use terrace_syntax::diagnostic::Diagnostics;
use terrace_syntax::source::{FileId, Span};

use super::super::Assets;
use super::*;

/// A directory in memory: paths, and what is there. Counts what is read.
#[derive(Default)]
struct Memory {
    entries: BTreeMap<String, (EntryKind, Vec<u8>)>,
    reads: AtomicUsize,
}

impl Memory {
    fn of(paths: &[(&str, EntryKind, &str)]) -> Memory {
        let mut memory = Memory::default();
        for (path, kind, text) in paths {
            let parts: Vec<&str> = path.split('/').collect();
            for at in 1..parts.len() {
                let above = parts[..at].join("/");
                memory
                    .entries
                    .entry(above)
                    .or_insert((EntryKind::Directory, Vec::new()));
            }
            memory
                .entries
                .insert((*path).to_owned(), (kind.clone(), text.as_bytes().to_vec()));
        }
        memory
    }
}

impl Sources for Memory {
    fn read(&self, path: &str) -> Result<Arc<[u8]>, SourceError> {
        match self.entries.get(path) {
            Some((EntryKind::File { .. }, bytes)) => {
                self.reads.fetch_add(1, Ordering::Relaxed);
                Ok(bytes.as_slice().into())
            }
            _ => Err(SourceError::NotFound),
        }
    }

    fn list(&self, _folder: &str) -> Result<Vec<String>, SourceError> {
        Err(SourceError::NotFound)
    }

    fn entries(&self, directory: &str) -> Result<Vec<Entry>, SourceError> {
        let below = if directory.is_empty() {
            String::new()
        } else {
            format!("{directory}/")
        };
        let inside = self.entries.iter().filter_map(|(path, (kind, _))| {
            let name = path.strip_prefix(&below)?;
            (!name.contains('/')).then(|| Entry {
                name: name.to_owned(),
                kind: kind.clone(),
            })
        });
        Ok(inside.collect())
    }
}

fn file(text: &str) -> EntryKind {
    EntryKind::File {
        executable: false,
        bytes: text.len() as u64,
    }
}

fn program() -> EntryKind {
    EntryKind::File {
        executable: true,
        bytes: 0,
    }
}

fn link(target: &str) -> EntryKind {
    EntryKind::Link {
        target: target.to_owned(),
    }
}

fn here() -> Span {
    Span {
        file: FileId(0),
        start: 0,
        end: 0,
    }
}

/// The names and modes that an archive lists.
fn listed(bytes: &[u8]) -> Vec<(String, u32)> {
    let number = |at: usize, length: usize| {
        let field = &bytes[at..at + length];
        field
            .iter()
            .rev()
            .fold(0usize, |number, byte| number << 8 | usize::from(*byte))
    };
    let end = bytes.len() - 22;
    let (count, mut at) = (number(end + 10, 2), number(end + 16, 4));
    let mut entries = Vec::new();
    for _ in 0..count {
        let length = number(at + 28, 2);
        let name = String::from_utf8(bytes[at + 46..at + 46 + length].to_vec()).expect("a name");
        entries.push((name, u32::try_from(number(at + 38, 4) >> 16).expect("a mode")));
        at += 46 + length;
    }
    entries
}

/// Returns the messages for an asset that is rejected.
fn refused(sources: &Memory, path: &str) -> Vec<String> {
    let refusals = Assets::new(sources, &[])
        .packed(path, here())
        .expect_err("it is refused");
    refusals.iter().map(|refusal| refusal.message.clone()).collect()
}

#[test]
fn an_archive_holds_what_the_directory_holds() {
    let sources = Memory::of(&[
        ("src/bootstrap", program(), "#!/bin/sh\n"),
        ("src/.env", file("A=1\n"), "A=1\n"),
        ("src/node_modules/a/i.js", file("1"), "1"),
        ("src/numpy/.libs/libopenblas.so", file("x"), "x"),
        ("src/numpy/libopenblas.so", link(".libs/libopenblas.so"), ""),
        ("src/golden/x.js", file("1"), "1"),
        ("src/target/x.js", file("1"), "1"),
        ("src/empty", EntryKind::Directory, ""),
        ("src/lib/__pycache__/x.pyc", file("x"), "x"),
        ("src/.git/HEAD", file("x"), "x"),
    ]);
    let assets = Assets::new(&sources, &[]);
    let packed = assets.packed("src", here()).expect("it is packed");
    let expected = [
        (".env", 0o100_644),
        ("bootstrap", 0o100_755),
        ("empty/", 0o040_755),
        ("golden/x.js", 0o100_644),
        ("node_modules/a/i.js", 0o100_644),
        ("numpy/.libs/libopenblas.so", 0o100_644),
        ("numpy/libopenblas.so", 0o120_777),
        ("target/x.js", 0o100_644),
    ];
    assert_eq!(
        listed(&packed.bytes),
        expected.map(|(name, mode)| (name.to_owned(), mode))
    );
    let excluded: Vec<&str> = packed.excluded.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(excluded, [".git/", "lib/__pycache__/"]);
    let mut diagnostics = Diagnostics::new();
    assets.report_exclusions(&mut diagnostics);
    let diagnostics = diagnostics.into_sorted();
    assert_eq!(diagnostics.len(), 1);
    assert_eq!(
        diagnostics[0].message,
        "the asset `src` excludes `.git/` and `lib/__pycache__/`"
    );
}

#[test]
fn the_digest_is_of_names_contents_and_modes() {
    let digest = |paths: &[(&str, EntryKind, &str)]| {
        let sources = Memory::of(paths);
        let packed = Assets::new(&sources, &[])
            .packed("src", here())
            .expect("it is packed");
        packed.digest.clone()
    };
    let plain = digest(&[("src/a", file("1"), "1")]);
    assert_eq!(
        plain,
        digest(&[
            ("src/a", file("1"), "1"),
            ("src/__pycache__/a.pyc", file(""), "x")
        ])
    );
    assert_ne!(plain, digest(&[("src/a", file("1"), "2")]));
    assert_ne!(plain, digest(&[("src/a", program(), "1")]));
    assert_ne!(plain, digest(&[("src/b", file("1"), "1")]));
    assert_ne!(
        plain,
        digest(&[("src/a", file("1"), "1"), ("src/e", EntryKind::Directory, "")])
    );
}

#[test]
fn an_asset_is_packed_once_whatever_it_is_called() {
    let sources = Memory::of(&[("src/a", file("1"), "1"), ("job.py", file("2"), "2")]);
    let assets = Assets::new(&sources, &[]);
    for path in ["src", "./src", "src/", "src/../src"] {
        assert!(assets.packed(path, here()).is_ok(), "{path}");
    }
    assert_eq!(assets.text("job.py").as_deref(), Some("2"));
    assert!(assets.packed("./job.py", here()).is_ok());
    assert_eq!(sources.reads.load(Ordering::Relaxed), 2);
}

#[test]
fn the_nearest_rule_says_what_is_left_out() {
    let sources = Memory::of(&[
        (".terraceignore", file(""), "*.md\n"),
        (
            "src/.terraceignore",
            file(""),
            "# tests are for us\ntests/\n!keep.md\n!__pycache__/\n",
        ),
        ("src/lib/.terraceignore", file(""), "/local\n"),
        ("src/a.py", file(""), ""),
        ("src/README.md", file(""), ""),
        ("src/keep.md", file(""), ""),
        ("src/tests/t.py", file(""), ""),
        ("src/lib/local", file(""), ""),
        ("src/lib/x/local", file(""), ""),
        ("src/other/local", file(""), ""),
        ("src/__pycache__/a.pyc", file(""), ""),
    ]);
    let packed = Assets::new(&sources, &[])
        .packed("src", here())
        .expect("it is packed");
    let names: Vec<String> = listed(&packed.bytes).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "__pycache__/a.pyc",
            "a.py",
            "keep.md",
            "lib/x/local",
            "other/local"
        ]
    );
    assert_eq!(
        packed.excluded,
        [
            ("README.md", "`*.md` in `.terraceignore`"),
            ("lib/local", "`/local` in `src/lib/.terraceignore`"),
            ("tests/", "`tests/` in `src/.terraceignore`"),
        ]
        .map(|(path, rule)| (path.to_owned(), rule.to_owned()))
    );
}

#[test]
fn rejects_files_that_cannot_be_delivered() {
    let sources = Memory::of(&[
        ("src/passwd", link("/etc/passwd"), ""),
        ("src/up", link("../job.py"), ""),
        ("src/gone", link("nothing"), ""),
        ("src/run.sock", EntryKind::Other("a socket"), ""),
        ("out", link("../elsewhere"), ""),
        ("inside", link("./lib"), ""),
        ("lib/a", file(""), ""),
        ("job.py", file(""), ""),
    ]);
    assert_eq!(
        refused(&sources, "src"),
        [
            "`src/run.sock` is a socket",
            "`src/gone` is a symbolic link to a file that the archive does not contain",
            "`src/passwd` is a symbolic link to an absolute path, which other machines might not have",
            "`src/up` is a symbolic link that points outside the asset `src`",
        ]
    );
    for (path, message) in [
        ("out", "the asset `out` points outside the directory of the stack"),
        (
            "../../home",
            "the asset `../../home` is outside the directory of the stack",
        ),
        ("/etc/passwd", "the path of the asset `/etc/passwd` is absolute"),
        (
            ".",
            "the asset `.` is the directory of the stack or a parent of it",
        ),
        ("none", "the asset `none` cannot be read"),
        ("job.py/x", "the asset `job.py/x` cannot be read"),
    ] {
        assert_eq!(refused(&sources, path), [message], "{path}");
    }
    assert!(Assets::new(&sources, &[]).packed("inside", here()).is_ok());
}

#[test]
fn accepts_directories_outside_only_if_the_platform_lists_them() {
    let sources = Memory::of(&[
        ("../shared/fn/a.py", file(""), ""),
        ("../shared/away", link("../secret"), ""),
        ("../secret/a.py", file(""), ""),
    ]);
    let roots = [terrace_syntax::source::Spanned {
        value: "../shared/".into(),
        span: here(),
    }];
    let assets = Assets::new(&sources, &roots);
    assert!(assets.packed("../shared/fn", here()).is_ok());
    for path in ["../secret", "../shared/../secret", "../shared/away"] {
        assert!(assets.packed(path, here()).is_err(), "{path}");
    }
}

#[test]
fn large_assets_are_refused_before_they_are_read() {
    let huge = EntryKind::File {
        executable: false,
        bytes: LARGEST + 1,
    };
    let sources = Memory::of(&[("src/model.bin", huge.clone(), ""), ("data.bin", huge, "")]);
    assert_eq!(
        refused(&sources, "src"),
        ["the asset `src` is larger than 1024 MiB"]
    );
    assert_eq!(
        refused(&sources, "data.bin"),
        ["the asset `data.bin` is larger than 1024 MiB"]
    );
    assert_eq!(sources.reads.load(Ordering::Relaxed), 0);
}

#[test]
fn names_that_are_one_on_some_machines_are_noticed() {
    let sources = Memory::of(&[
        ("src/a/Readme", file(""), ""),
        ("src/a/README", file(""), ""),
        ("src/b/readme", file(""), ""),
    ]);
    let packed = Assets::new(&sources, &[])
        .packed("src", here())
        .expect("it is packed");
    assert_eq!(packed.alike, [("a/README".to_owned(), "a/Readme".to_owned())]);
}
