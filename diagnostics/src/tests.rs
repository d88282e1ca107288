use std::path::Path;

use expect_test::{Expect, expect};

use super::*;

const COMPONENTS: &str = "kind: Component\nname: lake\nmodule: laek\ninputs:\n  zones: 4\n";
const MODULE: &str = "kind: Module\nname: lake\nresources: {}\n";

/// Two files whose spans are found by the text that they cover.
struct Case {
    files: Files,
    components: FileId,
    module: FileId,
}

impl Case {
    fn new() -> Case {
        let mut files = Files::default();
        let components = files.add("components.yaml", COMPONENTS);
        let module = files.add("module:lake/module.yaml", MODULE);
        Case {
            files,
            components,
            module,
        }
    }

    fn span(&self, file: FileId, text: &str) -> Span {
        let start = u32::try_from(self.files.get(file).text.find(text).unwrap()).unwrap();
        let end = start + u32::try_from(text.len()).unwrap();
        Span { file, start, end }
    }

    #[track_caller]
    fn check(&self, diagnostic: &Diagnostic, expected: Expect) {
        let mut drawing = Drawing::new(&self.files, Path::new("stacks/../stacks/acme"), false);
        expected.assert_eq(&drawing.render(diagnostic));
    }
}

#[test]
fn renders_an_edit_as_a_diff() {
    let case = Case::new();
    let span = case.span(case.components, "laek");
    let diagnostic = Diagnostic::new(Code::UnknownModule, "no module is named `laek`")
        .at(span, "used here")
        .replace(span, "lake", "did you mean `lake`?");
    case.check(
        &diagnostic,
        expect![[r#"
        error[unknown-module]: no module is named `laek`
         --> stacks/acme/components.yaml:3:9
          |
        3 | module: laek
          |         ^^^^ used here
          |
        help: did you mean `lake`?
          |
        3 - module: laek
        3 + module: lake
          |"#]],
    );
}

#[test]
fn renders_labels_in_two_files_and_the_trace() {
    let case = Case::new();
    let diagnostic = Diagnostic::new(Code::WrongType, "`zones` must be a list")
        .at(case.span(case.module, "resources"), "declared\x1b[31m here")
        .also(case.span(case.components, "4"), "this is a number")
        .through(
            case.span(case.components, "name: lake"),
            "in module `lake`, used here",
        )
        .note("a zone has a name")
        .help("write `[raw, curated]`");
    case.check(
        &diagnostic,
        expect![[r#"
        error[wrong-type]: `zones` must be a list
         --> module:lake/module.yaml:3:1
          |
        3 | resources: {}
          | ^^^^^^^^^ declared�[31m here
          |
         ::: stacks/acme/components.yaml:5:10
          |
        5 |   zones: 4
          |          - this is a number
          |
          = note: a zone has a name
        note: in module `lake`, used here
         --> stacks/acme/components.yaml:2:1
          |
        2 | name: lake
          | ^^^^^^^^^^
        help: write `[raw, curated]`"#]],
    );
}

#[test]
fn renders_a_diagnostic_without_a_location() {
    let case = Case::new();
    let diagnostic = Diagnostic::new(
        Code::NoPlatform,
        "this directory contains no document of kind `Platform`",
    )
    .help("write one");
    case.check(
        &diagnostic,
        expect![[r#"
        error[no-platform]: this directory contains no document of kind `Platform`
         |
         = help: write one"#]],
    );
}

#[test]
fn renders_invalid_spans_without_panicking() {
    let mut files = Files::default();
    let file = files.add("a.yaml", "ключ: é");
    let mut drawing = Drawing::new(&files, Path::new("."), true);
    for (start, end) in [(1, 3), (0, 900), (12, 12), (900, 901), (11, 12), (5, 2)] {
        let span = Span { file, start, end };
        let diagnostic = Diagnostic::new(Code::WrongType, "wrong")
            .at(span, "here")
            .replace(span, "x", "this");
        assert!(drawing.render(&diagnostic).contains("a.yaml"));
    }
}

#[test]
fn hides_secrets_in_all_diagnostics() {
    let text = "env: {PASSWORD: hünter2, USER: joe}\n";
    let mut files = Files::default();
    let file = files.add("a.yaml", text);
    let at = |part: &str| {
        let start = u32::try_from(text.find(part).unwrap()).unwrap();
        let end = start + u32::try_from(part.len()).unwrap();
        Span { file, start, end }
    };
    let secret = Diagnostic::new(Code::LiteralSecret, "this value is a secret").at(at("hünter2"), "");
    let other = Diagnostic::new(Code::UnknownKey, "no")
        .at(at("USER"), "")
        .replace(at("USER"), "LOGIN", "this");
    let all = Drawing::new(&files, Path::new("."), false).all(&[other, secret]);
    assert!(!all.contains("nter2"), "{all}");
    expect![[r#"
        error[unknown-key]: no
         --> a.yaml:1:27
          |
        1 | env: {PASSWORD: ********, USER: joe}
          |                           ^^^^
          |
        help: this
          |
        1 - env: {PASSWORD: ********, USER: joe}
        1 + env: {PASSWORD: ********, LOGIN: joe}
          |

        error[literal-secret]: this value is a secret
         --> a.yaml:1:17
          |
        1 | env: {PASSWORD: ********, USER: joe}
          |                 ^^^^^^^^

    "#]]
    .assert_eq(&all);
}

#[test]
fn summarizes_counts() {
    let error = Diagnostic::new(Code::WrongType, "");
    let warning = Diagnostic::new(Code::DeprecatedModule, "");
    assert_eq!(summary(&[]), None);
    assert_eq!(
        summary(std::slice::from_ref(&error)).unwrap(),
        "1 error; for details, run `terrace explain wrong-type`"
    );
    assert_eq!(
        summary(&[error.clone(), warning, error]).unwrap(),
        "2 errors, 1 warning; for details, run `terrace explain wrong-type`"
    );
}

#[test]
fn omits_long_lines_and_excess_diagnostics() {
    let mut files = Files::default();
    let text = "x".repeat(LONGEST_DRAWN + 1);
    let file = files.add("components.yaml", text.as_str());
    let span = Span {
        file,
        start: 2,
        end: 3,
    };
    let diagnostic = Diagnostic::new(Code::UnknownModule, "no module is named `x`").at(span, "used here");
    let drawn = Drawing::new(&files, Path::new("acme"), false).all(&vec![diagnostic; MOST_DRAWN + 2]);
    let end = drawn.rsplit_once("error[").unwrap().1;
    expect![[r#"
        unknown-module]: no module is named `x`
        --> acme/components.yaml:1:3

        and 2 more (not shown)

    "#]]
    .assert_eq(end);
}
