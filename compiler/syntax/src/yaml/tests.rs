//! Tests of parsing. `tests/language/yaml.md` shows the diagnostics of syntax errors.

use super::*;

fn check(text: &str) -> (Vec<Node>, Vec<String>, Files) {
    let (mut files, mut diagnostics) = (Files::default(), Diagnostics::new());
    let nodes = read("a.yaml", text.as_bytes(), &mut files, &mut diagnostics);
    let problems = diagnostics
        .into_sorted()
        .iter()
        .map(|d| {
            format!(
                "{}:{}",
                d.code.slug(),
                files.text(d.primary.as_ref().unwrap().span)
            )
        })
        .collect();
    (nodes, problems, files)
}

#[test]
fn spans_cover_the_source_text() {
    let text = "a: \"x\" # note\nb:\n  c: [1, é]\n\n# end\n---\nd: !raw '{{ y }}'\n";
    let (nodes, problems, files) = check(text);
    assert_eq!(problems, Vec::<String>::new());
    assert_eq!(files.text(nodes[0].get("a").unwrap().span), "\"x\"");
    let c = nodes[0].get("b").unwrap().get("c").unwrap();
    assert_eq!(
        (
            files.text(c.key),
            files.text(c.span),
            files.text(c.items()[1].span)
        ),
        ("c", "[1, é]", "é")
    );
    assert_eq!(files.text(nodes[0].get("b").unwrap().span), "c: [1, é]");
    assert_eq!(nodes[1].get("d").unwrap().kind, NodeKind::Raw("{{ y }}".into()));
    assert_eq!(files.location(c.items()[1].span).to_string(), "a.yaml:3:10");
}

#[test]
fn scalars_follow_yaml_1_2() {
    let (nodes, problems, _) = check("[NO, on, ~, true, 1.50, '1', 1_000, 0x1f, 1:30, -3, .5]");
    let shown: Vec<_> = nodes[0]
        .items()
        .iter()
        .map(|n| n.to_value().to_string())
        .collect();
    let want = r#""NO" "on" null true 1.5 "1" "1_000" "0x1f" "1:30" -3 ".5""#;
    assert_eq!((shown.join(" ").as_str(), problems), (want, vec![]));
}

#[test]
fn rejects_exponential_aliases() {
    let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for i in 1..9 {
        let previous = vec![format!("*a{}", i - 1); 9].join(",");
        text += &format!("a{i}: &a{i} [{previous}]\n");
    }
    assert_eq!(check(&text).1.len(), 1);
    assert!(check(&text).1[0].starts_with("too-many-copies"));
    assert!(check(&"[".repeat(5000)).1[0].starts_with("too-deep"));
}

#[test]
fn rejects_control_characters() {
    let (mut files, mut diagnostics) = (Files::default(), Diagnostics::new());
    read("a.yaml", b"a: \x01\n", &mut files, &mut diagnostics);
    let found = diagnostics.into_sorted();
    let [diagnostic] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(diagnostic.message, "the control character U+0001 is not allowed");
    assert_eq!(files.text(diagnostic.primary.as_ref().unwrap().span), "\u{1}");
    assert_eq!(
        diagnostic.help[0].text,
        "remove it, or write it as `\\u0001` in double quotes"
    );
}
