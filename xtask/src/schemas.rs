//! Generates `catalog/data` from the targets' schemas. `catalog/README.md` lists the sources.
//!
//! The same input always produces the same bytes.

mod attributes;
mod build;
mod cloudformation;
mod documented;
mod kubernetes;

use std::path::Path;

/// Runs `cargo xtask schemas`.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let (mut cloudformation, mut kubernetes, mut crds) = (None, None, None);
    let mut arguments = arguments.iter();
    while let Some(flag) = arguments.next() {
        let target = match flag.as_str() {
            "--cloudformation" => &mut cloudformation,
            "--kubernetes" => &mut kubernetes,
            "--crds" => &mut crds,
            other => return Err(format!("there is no flag `{other}`")),
        };
        *target = Some(
            arguments
                .next()
                .ok_or_else(|| format!("`{flag}` needs a value"))?
                .clone(),
        );
    }
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../catalog/data");
    if let Some(directory) = &cloudformation {
        write(
            &data.join("cloudformation.bin"),
            &cloudformation::pack(Path::new(directory))?,
        )?;
    }
    match (&kubernetes, &crds) {
        (Some(source), Some(crds)) => {
            let source = kubernetes::Source::new(source);
            write(
                &data.join("kubernetes.bin"),
                &kubernetes::pack(&source, Path::new(crds))?,
            )?;
        }
        (None, None) if cloudformation.is_some() => {}
        _ => return Err("`--kubernetes` and `--crds` go together".to_owned()),
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "reports the written files")]
fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    std::fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    eprintln!(
        "{}: {} bytes",
        path.file_name().unwrap_or_default().display(),
        bytes.len()
    );
    Ok(())
}

/// Reads a JSON file.
fn read_json(path: &Path) -> Result<serde_json::Value, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()))
}
