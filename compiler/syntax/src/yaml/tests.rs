//! Tests of parsing and of the diagnostics of syntax errors.

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
fn reports_mistakes_with_their_spans() {
    for (text, want) in [
        ("a: {{ x.y }}\nb: 1", "unquoted-expression:{{ x.y }}"),
        ("a: 1\na: 2", "duplicate-key:a"),
        ("a: 0777", "ambiguous-number:0777"),
        ("a: 12345678901234567890", "number-too-long:12345678901234567890"),
        ("? [a]\n: 1", "key-not-text:["),
        ("a: *b", "yaml-syntax:*b"),
        ("<<: {a: 1}", "not-in-this-version:<<"),
        ("a: !secret x", "unknown-tag:!secret"),
        ("a: [1\nb: 2", "yaml-syntax:["),
    ] {
        let (_, problems, _) = check(text);
        assert_eq!(problems, [want], "{text}");
    }
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

/// Returns the message, the marked text, and the text after the edit, or else the help.
fn problems(text: &str) -> String {
    let (mut files, mut diagnostics) = (Files::default(), Diagnostics::new());
    read("a.yaml", text.as_bytes(), &mut files, &mut diagnostics);
    let problems = diagnostics.into_sorted();
    let lines = problems.iter().map(|d| {
        let label = d.primary.as_ref().unwrap();
        let helps = d.help.iter().map(|help| match &help.edit {
            Some(edit) => {
                let (start, end) = (edit.span.start as usize, edit.span.end as usize);
                format!("{:?}", format!("{}{}{}", &text[..start], edit.text, &text[end..]))
            }
            None => help.text.clone(),
        });
        let helps: Vec<String> = helps.collect();
        format!("{} <{}> {}", d.message, files.text(label.span), helps.join("; "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn reports_syntax_errors_with_a_fix() {
    for (text, want) in [
        (
            "a:\n\tb: 1\n",
            "a line is indented with a tab <\t> \"a:\\n  b: 1\\n\"",
        ),
        (
            "a: 1\n\tb: 2\n",
            "a line is indented with a tab <\t> \"a: 1\\nb: 2\\n\"",
        ),
        (
            "a: >\n\tx\n",
            "a line is indented with a tab <\t> \"a: >\\n  x\\n\"",
        ),
        (
            "a: \"open\nb: 2\n",
            "a quote is not closed <\"> \"a: \\\"open\\\"\\nb: 2\\n\"",
        ),
        (
            "a: [x, 'y]\nb: 1\n",
            "a quote is not closed <'> close it with `'`, or indent its continuation lines",
        ),
        ("a: \"x\n", "a quote is not closed <\"> \"a: \\\"x\\\"\\n\""),
        (
            "a: 'it's'\n",
            "unexpected text after a closing quote <s'> write `''` for an apostrophe inside `'…'`, or put the whole value in `\"`",
        ),
        (
            "a: \"say \"hi\" now\"\n",
            "unexpected text after a closing quote <hi\" now\"> write `\\\"` for a quote inside `\"…\"`, or put the whole value in `'`",
        ),
        (
            "a: \"x\" y # z\n",
            "unexpected text after a closing quote <y> write `\\\"` for a quote inside `\"…\"`, or put the whole value in `'`",
        ),
        (
            "a: [1, 2\nb: 3\n",
            "`[` is not closed <[> \"a: [1, 2]\\nb: 3\\n\"",
        ),
        ("a: {x: 1\n", "`{` is not closed <{> \"a: {x: 1}\\n\""),
        (
            "a: [\n  1,\n  2\nb: 3\n",
            "`[` is not closed <[> close it with `]` after the last entry",
        ),
        (
            "a: {x: 1, y: [1, 2}\n",
            "`[` is closed with `}` <[> close it with `]` first",
        ),
        (
            "a: [1]]\n",
            "unmatched `]` <]> remove it, or put the string that contains it in quotes",
        ),
        (
            "a: {b: 1 c: 2}\n",
            "missing comma or quotes between `{` and `}` <c> separate entries with commas, and put a string with `: ` or `, ` in quotes",
        ),
        (
            "a: [a: b: c]\n",
            "missing comma or quotes between `[` and `]` <b> separate entries with commas, and put a string with `: ` or `, ` in quotes",
        ),
        (
            "a:\n  b: 1\n c: 2\n",
            "the indentation matches no line above <c: 2> indent it by 0 spaces to align it with `a`, or 2 spaces to align it with `b`",
        ),
        (
            "a:\n  b: 1\n   c: 2\n",
            "a key is indented below a value <c> \"a:\\n  b: 1\\n  c: 2\\n\"",
        ),
        (
            "a: 1\n  b: 2\n",
            "a key is indented below a value <b> \"a: 1\\nb: 2\\n\"",
        ),
        (
            " a: 1\nb: 2\n",
            "the indentation matches no line above <b: 2> indent it by 1 space to align it with `a`",
        ),
        (
            "a:\n  - x: 1\n   y: 2\n",
            "the indentation matches no line above <y: 2> indent it by 0 spaces to align it with `a`, or 2 spaces to align it with `- `, or 4 spaces to align it with `x`",
        ),
        (
            "- a\nb: 1\n",
            "a key is next to the items of a list <b: 1> start it with `- `, or indent it to belong to an item",
        ),
        (
            "a: 1\n- b\n",
            "a list item is next to the keys of a map <- b> add a key for the list, and indent its items below it",
        ),
        (
            "a: 1\nname finance\nb: 1\n",
            "missing colon after a key <name finance> \"a: 1\\nname: finance\\nb: 1\\n\"",
        ),
        (
            "a: 1\nname\n",
            "missing colon after a key <name> add a colon after the key, or indent the line if it continues the string above",
        ),
        (
            "a: 1\nb:2\n",
            "missing space after a colon <:> \"a: 1\\nb: 2\\n\"",
        ),
        (
            "a:1\nb: 2\n",
            "missing space after a colon <:> \"a: 1\\nb: 2\\n\"",
        ),
        (
            "a: finance: the money # x\n",
            "a string with `: ` must be in quotes <finance: the money> \"a: \\\"finance: the money\\\" # x\\n\"",
        ),
        (
            "a: b: c's \"d\"\n",
            "a string with `: ` must be in quotes <b: c's \"d\"> \"a: 'b: c''s \\\"d\\\"'\\n\"",
        ),
        (
            "a: 1, b: 2\n",
            "a string with `: ` must be in quotes <1, b: 2> \"a: \\\"1, b: 2\\\"\\n\"",
        ),
        (
            "a: - b\n",
            "a list with dashes must start on a new line <- b> \"a: [b]\\n\"",
        ),
        (
            "a: {{ x }}-y\n",
            "an expression must be in quotes <{{ x }}-y> \"a: \\\"{{ x }}-y\\\"\\n\"",
        ),
        (
            "a: {{ ref('x').y }}\n",
            "an expression must be in quotes <{{ ref('x').y }}> \"a: \\\"{{ ref('x').y }}\\\"\\n\"",
        ),
        (
            "a: @x\n",
            "a string that starts with `@` must be in quotes <@x> \"a: \\\"@x\\\"\\n\"",
        ),
        (
            "a: [`x`, y]\n",
            "a string that starts with a backtick must be in quotes <`x`> \"a: [\\\"`x`\\\", y]\\n\"",
        ),
        (
            "a: %x\n",
            "a string that starts with `%` must be in quotes <%x> \"a: \\\"%x\\\"\\n\"",
        ),
        (
            "a: *\n",
            "a string that starts with `*` must be in quotes <*> \"a: \\\"*\\\"\\n\"",
        ),
        (
            "a: \u{1}\n",
            "the control character U+0001 is not allowed <\u{1}> remove it, or write it as `\\u0001` in double quotes",
        ),
        (
            "a: !foo!bar x\n",
            "unknown tag `!foo!bar` <!foo!bar> remove the tag, or put a string that starts with `!` in quotes",
        ),
        (
            "a: | x\n  y\n",
            "a block string must start on the next line <| x> move the text to the next line and indent it, or put the whole value in quotes",
        ),
        (
            "a: \"C:\\path\\d\"\n",
            "unknown escape `\\p` in double quotes <\\p> write `\\\\` for a backslash, or put the string in `'`",
        ),
        (
            "a: [x] y\n",
            "unexpected text after a value <y> put the whole value in quotes, or move the rest to its own line",
        ),
        (
            "a: &x 1\nb: &x 2\n",
            "duplicate anchor `x` <&x> rename one of them",
        ),
        (
            "a: &lake 1\nb: *lkae\n",
            "no anchor is named `lkae` <*lkae> \"a: &lake 1\\nb: *lake\\n\"; \"a: &lake 1\\nb: \\\"*lkae\\\"\\n\"",
        ),
        (
            "a: !include x\n",
            "unknown tag `!include` <!include> remove the tag, or put a string that starts with `!` in quotes",
        ),
        (
            "a: !Ref x\n",
            "unknown tag `!Ref` <!Ref> use an expression instead: `\"{{ ref('NAME').arn }}\"`",
        ),
        (
            "a: &é 1\nb: é: ü: @\n",
            "a string with `: ` must be in quotes <é: ü: @> \"a: &é 1\\nb: \\\"é: ü: @\\\"\\n\"",
        ),
        (
            "a: !foo {b: 1}\n",
            "unknown tag `!foo` <!foo> remove the tag, or put a string that starts with `!` in quotes",
        ),
    ] {
        assert_eq!(problems(text), want, "{text}");
    }
}
