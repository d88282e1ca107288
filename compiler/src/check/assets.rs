//! Assets that can be packed, and should not be delivered as they are.

use crate::asset::Packed;
use crate::code::Code;
use crate::connect::Graph;
use crate::connect::lower::Lowered;
use crate::diagnostic::Diagnostic;
use crate::resource::Resource;
use crate::source::Span;
use crate::term::Term;

/// The most bytes that the code of a Lambda function, or one of its layers, may have when it is unpacked ("Lambda quotas").
const LAMBDA_MOST: u64 = 262_144_000;

/// How many pairs of names are reported.
const MOST_PAIRS: usize = 3;

/// What there is to say of the assets that a resource names.
pub(super) fn check(graph: &Graph<'_>, resource: &Resource, lowered: &Lowered) -> Vec<(Code, Diagnostic)> {
    let mut said = Vec::new();
    for (path, span) in &lowered.assets {
        // What cannot be packed was refused.
        let Ok(packed) = graph.assets.packed(path, *span) else {
            continue;
        };
        leaks(path, &packed, *span, &mut said);
        alike(path, &packed, *span, &mut said);
        if is_code(resource) {
            code(path, &packed, *span, &mut said);
        }
    }
    said.into_iter()
        .map(|diagnostic| (diagnostic.code, graph.located(resource, diagnostic)))
        .collect()
}

fn leaks(path: &str, packed: &Packed, span: Span, said: &mut Vec<Diagnostic>) {
    for leak in &packed.leaks {
        let inner = if packed.directory {
            format!("{path}/{}", leak.path)
        } else {
            path.to_owned()
        };
        let diagnostic = Diagnostic::new(Code::SecretInAsset, format!("`{inner}` holds {}", leak.what))
            .at(span, "it would be delivered with this asset");
        said.push(match packed.directory {
            true => diagnostic.help(format!(
                "leave it out with the line `/{}` in `{path}/.terraceignore`, and read the secret from its store at run time",
                leak.path
            )),
            false => diagnostic.help("read the secret from its store at run time"),
        });
    }
}

fn alike(path: &str, packed: &Packed, span: Span, said: &mut Vec<Diagnostic>) {
    for (one, other) in packed.alike.iter().take(MOST_PAIRS) {
        let message = format!("`{path}/{one}` and `{path}/{other}` differ only in upper and lower case");
        said.push(
            Diagnostic::new(Code::UnportableAsset, message)
                .at(span, "on macOS and Windows this asset has one of the two")
                .help("rename one of them"),
        );
    }
}

/// Whether the asset of a resource is what Lambda unpacks.
fn is_code(resource: &Resource) -> bool {
    let place = match resource.kind.cloudformation() {
        Some("AWS::Lambda::Function") => ["Code", "S3Key"],
        Some("AWS::Lambda::LayerVersion") => ["Content", "S3Key"],
        _ => return false,
    };
    matches!(resource.body.at(&place), Some(Term::Asset(_)))
}

fn code(path: &str, packed: &Packed, span: Span, said: &mut Vec<Diagnostic>) {
    let Some(bytes) = packed.unpacked else {
        said.push(
            Diagnostic::new(
                Code::InvalidAsset,
                format!("`{path}` is a file that is no zip archive"),
            )
            .at(span, "Lambda unpacks its code")
            .help("name the directory that the file is in: it is packed"),
        );
        return;
    };
    if bytes == 0 {
        let message = format!("the asset `{path}` has no content");
        said.push(
            Diagnostic::new(Code::InvalidAsset, message)
                .at(span, "Lambda refuses a function without code")
                .help("put the code of the function into the directory"),
        );
    }
    if bytes > LAMBDA_MOST {
        let message = format!(
            "the asset `{path}` has {} MiB, and Lambda unpacks {} MiB at most",
            bytes.div_ceil(1 << 20),
            LAMBDA_MOST >> 20
        );
        said.push(
            Diagnostic::new(Code::AssetTooLarge, message)
                .at(span, "this is the function's code, without its layers")
                .help("leave out what is not needed at run time with `.terraceignore`, or use a container image"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Files;

    #[test]
    fn lambda_unpacks_so_much_and_no_more() {
        let span = Span {
            file: Files::default().add("a.yaml", ""),
            start: 0,
            end: 0,
        };
        let said = |unpacked: Option<u64>| {
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
            let mut said = Vec::new();
            code("src", &packed, span, &mut said);
            said.pop().map(|diagnostic| diagnostic.message)
        };
        assert_eq!(said(Some(LAMBDA_MOST)), None);
        assert_eq!(
            said(Some(LAMBDA_MOST + 1)).as_deref(),
            Some("the asset `src` has 251 MiB, and Lambda unpacks 250 MiB at most")
        );
        assert_eq!(
            said(None).as_deref(),
            Some("`src` is a file that is no zip archive")
        );
    }
}
