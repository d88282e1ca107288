//! What is read, and what is said of what cannot be.

use super::*;

fn check(text: &str) -> (Vec<Node>, Vec<String>, Files) {
    let (mut files, mut diagnostics) = (Files::default(), Diagnostics::new());
    let nodes = read("a.yaml", text.as_bytes(), &mut files, &mut diagnostics);
    let said = diagnostics
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
    (nodes, said, files)
}

#[test]
fn spans_cover_what_was_written() {
    let text = "a: \"x\" # note\nb:\n  c: [1, é]\n\n# end\n---\nd: !raw '{{ y }}'\n";
    let (nodes, said, files) = check(text);
    assert_eq!(said, Vec::<String>::new());
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
    let (nodes, said, _) = check("[NO, on, ~, true, 1.50, '1', 1_000, 0x1f, 1:30, -3, .5]");
    let shown: Vec<_> = nodes[0]
        .items()
        .iter()
        .map(|n| n.to_value().to_string())
        .collect();
    let want = r#""NO" "on" null true 1.5 "1" "1_000" "0x1f" "1:30" -3 ".5""#;
    assert_eq!((shown.join(" ").as_str(), said), (want, vec![]));
}

#[test]
fn mistakes_are_located() {
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
        let (_, said, _) = check(text);
        assert_eq!(said, [want], "{text}");
    }
}

#[test]
fn bombs_are_refused_quickly() {
    let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    for i in 1..9 {
        let previous = vec![format!("*a{}", i - 1); 9].join(",");
        text += &format!("a{i}: &a{i} [{previous}]\n");
    }
    assert_eq!(check(&text).1.len(), 1);
    assert!(check(&text).1[0].starts_with("too-many-copies"));
    assert!(check(&"[".repeat(5000)).1[0].starts_with("too-deep"));
}

/// The message, what it marks, and the text after the edit where there is one, or else the help.
fn told(text: &str) -> String {
    let (mut files, mut diagnostics) = (Files::default(), Diagnostics::new());
    read("a.yaml", text.as_bytes(), &mut files, &mut diagnostics);
    let said = diagnostics.into_sorted();
    let lines = said.iter().map(|d| {
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
fn syntax_is_told_in_the_words_of_the_mistake() {
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
            "a quote is not closed <'> close it with `'`, or indent the lines that belong to it",
        ),
        ("a: \"x\n", "a quote is not closed <\"> \"a: \\\"x\\\"\\n\""),
        (
            "a: 'it's'\n",
            "something stands behind a closing quote <s'> inside of `'` write `''` for an apostrophe, or put the whole text in `\"`",
        ),
        (
            "a: \"say \"hi\" now\"\n",
            "something stands behind a closing quote <hi\" now\"> inside of `\"` write `\\\"` for a quote, or put the whole text in `'`",
        ),
        (
            "a: \"x\" y # z\n",
            "something stands behind a closing quote <y> inside of `\"` write `\\\"` for a quote, or put the whole text in `'`",
        ),
        (
            "a: [1, 2\nb: 3\n",
            "`[` is not closed <[> \"a: [1, 2]\\nb: 3\\n\"",
        ),
        ("a: {x: 1\n", "`{` is not closed <{> \"a: {x: 1}\\n\""),
        (
            "a: [\n  1,\n  2\nb: 3\n",
            "`[` is not closed <[> close it with `]` after its last entry",
        ),
        (
            "a: {x: 1, y: [1, 2}\n",
            "`[` is closed with `}` <[> close it with `]` first",
        ),
        (
            "a: [1]]\n",
            "`]` closes nothing <]> take it out, or put the text that it belongs to in quotes",
        ),
        (
            "a: {b: 1 c: 2}\n",
            "something is missing between `{` and `}` <c> separate entries with commas, and put a text with `: ` or `, ` in it in quotes",
        ),
        (
            "a: [a: b: c]\n",
            "something is missing between `[` and `]` <b> separate entries with commas, and put a text with `: ` or `, ` in it in quotes",
        ),
        (
            "a:\n  b: 1\n c: 2\n",
            "this line is indented as nothing above it is <c: 2> 0 spaces put it beside `a`, 2 spaces put it beside `b`",
        ),
        (
            "a:\n  b: 1\n   c: 2\n",
            "this key stands under a value <c> \"a:\\n  b: 1\\n  c: 2\\n\"",
        ),
        (
            "a: 1\n  b: 2\n",
            "this key stands under a value <b> \"a: 1\\nb: 2\\n\"",
        ),
        (
            " a: 1\nb: 2\n",
            "this line is indented as nothing above it is <b: 2> 1 space put it beside `a`",
        ),
        (
            "a:\n  - x: 1\n   y: 2\n",
            "this line is indented as nothing above it is <y: 2> 0 spaces put it beside `a`, 2 spaces put it beside `- `, 4 spaces put it beside `x`",
        ),
        (
            "- a\nb: 1\n",
            "a key stands among the items of a list <b: 1> begin it with `- `, or indent it as what it belongs to",
        ),
        (
            "a: 1\n- b\n",
            "an item of a list stands among keys <- b> give the list a key, and indent its items under it",
        ),
        (
            "a: 1\nname finance\nb: 1\n",
            "a key has no colon <name finance> \"a: 1\\nname: finance\\nb: 1\\n\"",
        ),
        (
            "a: 1\nname\n",
            "a key has no colon <name> put a colon behind the key; where it continues the text above, indent it",
        ),
        (
            "a: 1\nb:2\n",
            "a colon without a space is part of a text <:> \"a: 1\\nb: 2\\n\"",
        ),
        (
            "a:1\nb: 2\n",
            "a colon without a space is part of a text <:> \"a: 1\\nb: 2\\n\"",
        ),
        (
            "a: finance: the money # x\n",
            "a text with `: ` in it has to stand in quotes <finance: the money> \"a: \\\"finance: the money\\\" # x\\n\"",
        ),
        (
            "a: b: c's \"d\"\n",
            "a text with `: ` in it has to stand in quotes <b: c's \"d\"> \"a: 'b: c''s \\\"d\\\"'\\n\"",
        ),
        (
            "a: 1, b: 2\n",
            "a text with `: ` in it has to stand in quotes <1, b: 2> \"a: \\\"1, b: 2\\\"\\n\"",
        ),
        (
            "a: - b\n",
            "a list with dashes begins on a line of its own <- b> \"a: [b]\\n\"",
        ),
        (
            "a: {{ x }}-y\n",
            "an expression has to stand in quotes <{{ x }}-y> \"a: \\\"{{ x }}-y\\\"\\n\"",
        ),
        (
            "a: {{ ref('x').y }}\n",
            "an expression has to stand in quotes <{{ ref('x').y }}> \"a: \\\"{{ ref('x').y }}\\\"\\n\"",
        ),
        (
            "a: @x\n",
            "a text cannot begin with `@` without quotes <@x> \"a: \\\"@x\\\"\\n\"",
        ),
        (
            "a: [`x`, y]\n",
            "a text cannot begin with a backtick without quotes <`x`> \"a: [\\\"`x`\\\", y]\\n\"",
        ),
        (
            "a: %x\n",
            "a text cannot begin with `%` without quotes <%x> \"a: \\\"%x\\\"\\n\"",
        ),
        (
            "a: *\n",
            "a text cannot begin with `*` without quotes <*> \"a: \\\"*\\\"\\n\"",
        ),
        (
            "a: \u{1}\n",
            "the character U+0001 cannot be in a file <\u{1}> take it out, or write it as `\\u` in double quotes",
        ),
        (
            "a: !foo!bar x\n",
            "the tag `!foo!bar` means nothing here <!foo!bar> put text that begins with `!` in quotes",
        ),
        (
            "a: | x\n  y\n",
            "a text of several lines begins on the next line <| x> put the text on the lines below, indented; or the whole of it in quotes",
        ),
        (
            "a: \"C:\\path\\d\"\n",
            "`\\p` means nothing between double quotes <\\p> write `\\\\` for a backslash, or put the text in `'`",
        ),
        (
            "a: [x] y\n",
            "something stands behind a value that has ended <y> put the whole value in quotes, or the rest on a line of its own",
        ),
        (
            "a: &x 1\nb: &x 2\n",
            "the anchor `x` is here twice <&x> give one of the two another name",
        ),
        (
            "a: &lake 1\nb: *lkae\n",
            "no anchor is named `lkae` <*lkae> \"a: &lake 1\\nb: *lake\\n\"; \"a: &lake 1\\nb: \\\"*lkae\\\"\\n\"",
        ),
        (
            "a: !include x\n",
            "the tag `!include` means nothing here <!include> take the tag off, or put text that begins with `!` in quotes",
        ),
        (
            "a: !Ref x\n",
            "the tag `!Ref` means nothing here <!Ref> refer with an expression: `\"{{ ref('NAME').arn }}\"`",
        ),
        (
            "a: &é 1\nb: é: ü: @\n",
            "a text with `: ` in it has to stand in quotes <é: ü: @> \"a: &é 1\\nb: \\\"é: ü: @\\\"\\n\"",
        ),
        (
            "a: !foo {b: 1}\n",
            "the tag `!foo` means nothing here <!foo> take the tag off, or put text that begins with `!` in quotes",
        ),
    ] {
        assert_eq!(told(text), want, "{text}");
    }
}
