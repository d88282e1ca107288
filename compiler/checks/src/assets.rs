//! Checks assets that can be packed for secrets, names that are not portable, and the limits of Lambda.

use terrace_graph::connect::Graph;
use terrace_graph::lower::Lowered;
use terrace_language::assets::Packed;
use terrace_language::resource::Resource;
use terrace_language::value::term::Term;
use terrace_syntax::code::Code;
use terrace_syntax::diagnostic::Diagnostic;
use terrace_syntax::source::Span;

/// The maximum size of the code of a Lambda function and of its layers after unpacking, in bytes. Source: "Lambda quotas".
const LAMBDA_MOST: u64 = 262_144_000;

/// The maximum number of pairs of names that are reported for one asset.
const MOST_PAIRS: usize = 3;

/// Reports problems of the assets that a resource names.
pub(super) fn check(graph: &Graph<'_>, resource: &Resource, lowered: &Lowered) -> Vec<(Code, Diagnostic)> {
    let mut diagnostics = Vec::new();
    for (path, span) in &lowered.assets {
        // An asset that cannot be packed was reported before.
        let Ok(packed) = graph.assets.packed(path, *span) else {
            continue;
        };
        leaks(path, &packed, *span, &mut diagnostics);
        alike(path, &packed, *span, &mut diagnostics);
        if is_code(resource) {
            code(path, &packed, *span, &mut diagnostics);
        }
    }
    diagnostics
        .into_iter()
        .map(|diagnostic| (diagnostic.code, graph.located(resource, diagnostic)))
        .collect()
}

fn leaks(path: &str, packed: &Packed, span: Span, diagnostics: &mut Vec<Diagnostic>) {
    for leak in &packed.leaks {
        let inner = if packed.directory {
            format!("{path}/{}", leak.path)
        } else {
            path.to_owned()
        };
        let diagnostic = Diagnostic::new(Code::SecretInAsset, format!("`{inner}` contains {}", leak.what))
            .at(span, "the asset would contain this secret");
        diagnostics.push(match packed.directory {
            true => diagnostic.help(format!(
                "exclude it with the line `/{}` in `{path}/.terraceignore`, and read the secret from its store at run time",
                leak.path
            )),
            false => diagnostic.help("read the secret from its store at run time"),
        });
    }
}

fn alike(path: &str, packed: &Packed, span: Span, diagnostics: &mut Vec<Diagnostic>) {
    for (first, second) in packed.alike.iter().take(MOST_PAIRS) {
        let message = format!("`{path}/{first}` and `{path}/{second}` differ only in case");
        diagnostics.push(
            Diagnostic::new(Code::UnportableAsset, message)
                .at(span, "macOS and Windows keep only one of the two files")
                .help("rename one of them"),
        );
    }
}

/// Returns whether Lambda unpacks the asset of a resource.
fn is_code(resource: &Resource) -> bool {
    let place = match resource.kind.cloudformation() {
        Some("AWS::Lambda::Function") => ["Code", "S3Key"],
        Some("AWS::Lambda::LayerVersion") => ["Content", "S3Key"],
        _ => return false,
    };
    matches!(resource.body.at(&place), Some(Term::Asset(_)))
}

fn code(path: &str, packed: &Packed, span: Span, diagnostics: &mut Vec<Diagnostic>) {
    let Some(bytes) = packed.unpacked else {
        diagnostics.push(
            Diagnostic::new(Code::InvalidAsset, format!("`{path}` is not a zip archive"))
                .at(span, "Lambda unpacks this file")
                .help("name the directory that contains the file; Terrace packs directories"),
        );
        return;
    };
    if bytes == 0 {
        let message = format!("the asset `{path}` has no content");
        diagnostics.push(
            Diagnostic::new(Code::InvalidAsset, message)
                .at(span, "Lambda rejects a function without code")
                .help("add the code of the function to the directory"),
        );
    }
    if bytes > LAMBDA_MOST {
        let message = format!(
            "the asset `{path}` is {} MiB; Lambda allows at most {} MiB after unpacking",
            bytes.div_ceil(1 << 20),
            LAMBDA_MOST >> 20
        );
        diagnostics.push(
            Diagnostic::new(Code::AssetTooLarge, message)
                .at(span, "the limit includes the layers of the function")
                .help("exclude files that are not needed at run time with `.terraceignore`, or use a container image"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use terrace_syntax::source::Files;

    #[test]
    fn reports_code_that_exceeds_the_limit_of_lambda() {
        let span = Span {
            file: Files::default().add("a.yaml", ""),
            start: 0,
            end: 0,
        };
        let message_for = |unpacked: Option<u64>| {
            let packed = Packed {
                key: "assets/0/src.zip".into(),
                digest: terrace_artifact::Digest::of_bytes(b""),
                bytes: Vec::new(),
                directory: true,
                unpacked,
                excluded: Vec::new(),
                alike: Vec::new(),
                leaks: Vec::new(),
            };
            let mut diagnostics = Vec::new();
            code("src", &packed, span, &mut diagnostics);
            diagnostics.pop().map(|diagnostic| diagnostic.message)
        };
        assert_eq!(message_for(Some(LAMBDA_MOST)), None);
        assert_eq!(
            message_for(Some(LAMBDA_MOST + 1)).as_deref(),
            Some("the asset `src` is 251 MiB; Lambda allows at most 250 MiB after unpacking")
        );
        assert_eq!(message_for(None).as_deref(), Some("`src` is not a zip archive"));
    }
}
