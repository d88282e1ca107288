use terrace_syntax::source::Files;

use super::*;

fn check(text: &str) -> String {
    let mut files = Files::default();
    let yaml = format!("x: {}", terrace_artifact::to_json_compact(&text.into()));
    let mut diagnostics = Diagnostics::new();
    let nodes = terrace_syntax::yaml::read("a.yaml", yaml.as_bytes(), &mut files, &mut diagnostics);
    let names: Vec<(Text, Term)> = vec![
        ("name".into(), "acme".into()),
        ("nothing".into(), Term::Null),
        (
            "inputs".into(),
            Term::map([
                ("memory", Term::Quantity("4Gi".parse().unwrap())),
                ("cores", Term::Quantity("0.1".parse().unwrap())),
                ("keep", Term::Duration("90d".parse().unwrap())),
                ("zones", Term::list(["raw", "curated"])),
                ("replicas", Term::from(3)),
                ("env", Term::map([("A", "1")])),
            ]),
        ),
    ];
    let scope = Scope {
        names: &names,
        variables: None,
        local: true,
    };
    let template = template(nodes[0].get("x").unwrap(), &files, &mut diagnostics);
    let result = template.evaluate(&scope);
    if let Err(failure) = result.as_ref() {
        diagnostics.push(failure.as_ref().clone().diagnostic());
    }
    match diagnostics.into_sorted().first() {
        Some(d) => {
            let help: String = d.help.iter().map(|h| format!("; {}", h.text)).collect();
            format!(
                "{} at `{}`{help}",
                d.message,
                files.text(d.primary.as_ref().unwrap().span)
            )
        }
        None => {
            let term = result.unwrap();
            let kind = if matches!(term, Term::String(_)) {
                ""
            } else {
                term.kind()
            };
            format!("{} {kind}", term.shown()).trim().to_owned()
        }
    }
}

#[test]
fn values_keep_their_types() {
    for (text, want) in [
        ("{{ 1 + 2 * 3 }}", "7 an integer"),
        ("{{ (1 + 2) * 3 - -1 }}", "10 an integer"),
        ("{{ 0.1 * 1.5 }}", "0.15 a number"),
        ("{{ 7 // 2 }} and {{ 7 % 2 }}", "3 and 1"),
        ("{{ inputs.memory * 1.2 }}", "4915Mi a quantity"),
        ("{{ inputs.memory / 3 }}", "1365Mi a quantity"),
        ("{{ inputs.cores * 1.5 }}", "150m a quantity"),
        ("{{ inputs.keep | days }}", "90 an integer"),
        (
            "{{ inputs.keep > duration('60d') and not false }}",
            "true a boolean",
        ),
        (
            "{{ inputs.zones + ['x'] | length }}",
            "cannot use `+` between a list and an integer at `inputs.zones + ['x'] | length`",
        ),
        ("{{ (inputs.zones + ['x']) | join(',') }}", "raw,curated,x"),
        ("{{ 'raw' in inputs.zones }}", "true a boolean"),
        (
            "{{ 'x' not in inputs.zones and 'A' in inputs.env }}",
            "true a boolean",
        ),
        ("{{ name }}-{{ inputs.replicas }}", "acme-3"),
        ("{{ 'a' if inputs.replicas == 3 else 'b' }}", "a"),
        ("{{ 'a' if inputs.replicas != 3 }}", "null `omit`"),
        ("{{ inputs.missing | default('x') }}", "x"),
        ("{{ nothing | default('x') }}", "x"),
        ("{{ inputs.missing is defined }}", "false a boolean"),
        ("{{ nothing is not defined }}", "true a boolean"),
        (
            "{{ {a: 1, 'b c': [true, null]} | json }}",
            "{\"a\":1,\"b c\":[true,null]}",
        ),
        ("{{ inputs.env['A'] ~ inputs.zones[1] }}", "1curated"),
        ("{{ 'rawBucket_of-X' | snake }}", "raw_bucket_of_x"),
        ("{{ 'Disaster_Recovery!' | slug }}", "disaster-recovery"),
        ("{{ [3, 1, 2] | sort | last }}", "3 an integer"),
        ("{{ ref('stream').arn }}", "ref('stream').arn a reference"),
        (
            "{{ ref('bucket')['raw'].arn }}/*",
            "ref('bucket')[\"raw\"].arn/* a string with a reference",
        ),
        ("{{ secret('db').password }}", "secret('db').password a secret"),
        (
            "{{ {arn: ref('a').arn} | json }}",
            "{\"arn\":\"ref('a').arn\"} a string with a reference",
        ),
        ("no braces", "no braces"),
        ("{{ '}}' }}", "}}"),
    ] {
        assert_eq!(check(text), want, "{text}");
    }
}

#[test]
fn reports_mistakes_with_their_spans() {
    for (text, want) in [
        (
            "{{ inputs.replcas }}",
            "`inputs` has no key `replcas` at `replcas`; did you mean `replicas`?",
        ),
        (
            "{{ input.replicas }}",
            "unknown name `input` at `input`; did you mean `inputs`?",
        ),
        ("{{ 1 + }}", "unexpected end of expression at ` `"),
        (
            "{{ 1 = 1 }}",
            "unexpected `=` in an expression at `=`; write `==` to compare",
        ),
        (
            "{{ name && name }}",
            "unexpected `&` in an expression at `&`; write `and`",
        ),
        (
            "{{ name",
            "the expression is not closed at `{{`; close it with `}}`, or write `!raw` before the string if the braces are literal",
        ),
        (
            "{{ 'x }}",
            "the expression is not closed at `{{`; close it with `}}`, or write `!raw` before the string if the braces are literal",
        ),
        (
            "{{ 1 / 3 }}",
            "the result is a number of more than 18 digits at `1 / 3`; use `//` for an integer quotient",
        ),
        (
            "{{ name + 'x' }}",
            "cannot use `+` between a string and a string at `name + 'x'`; use `~` to join strings",
        ),
        (
            "{{ inputs.keep }} days",
            "only strings and numbers can be part of a string at `inputs.keep`; convert it to a number with `| hours` or `| days`",
        ),
        (
            "{{ 1 if inputs.zones else 2 }}",
            "a condition must be a boolean at `inputs.zones`; to test whether it is empty, add `| length > 0`",
        ),
        (
            "{{ ref('a').arn == 'x' }}",
            "`==` requires a value that is known at compile time at `ref('a').arn`; use the value as a whole, or inside a string",
        ),
        (
            "{{ name | uper }}",
            "no filter is named `uper` at `uper`; did you mean `upper`?",
        ),
        (
            "{{ reff('x') }}",
            "no function is named `reff` at `reff`; did you mean `ref`?",
        ),
        ("{{ nothing.x }}", "`nothing` is null at `nothing`"),
        (
            "{{ 30d }}",
            "unexpected `d` in an expression at `d`; write a size or a duration with a function: `size('4Gi')`, `duration('30d')`",
        ),
    ] {
        assert_eq!(check(text), want, "{text}");
    }
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(500), ")".repeat(500));
    assert!(check(&deep).starts_with("the expression is nested too deeply"));
    // Chained operations are nested as well.
    for (start, repeated, end) in [
        ("", "-", "1"),
        ("", "not ", "true"),
        ("1", " + 1", ""),
        ("name", " | trim", ""),
        ("inputs", ".x", ""),
        ("inputs", "[0]", ""),
        ("1", " is defined", ""),
        ("", "1 if false else ", "1"),
    ] {
        let text = format!("{{{{ {start}{}{end} }}}}", repeated.repeat(100_000));
        assert!(
            check(&text).starts_with("the expression is nested too deeply"),
            "{repeated}"
        );
    }
    let long = format!("{{{{ 1{} }}}}", " + 1".repeat(200));
    assert_eq!(check(&long), "201 an integer");
    assert!(check("{{ ''é }}").starts_with("unexpected `é` in an expression at `é`"));
}

#[test]
fn rejects_results_that_are_too_long() {
    let ten = " | replace('a', 'aaaaaaaaaa')".repeat(12);
    for text in [
        format!("{{{{ 'a'{ten} }}}}"),
        format!("{{{{ '\"'{} }}}}", " | json".repeat(40)),
        "{{ range(1000) | join(range(1000) | join('abcdefgh')) }}".to_owned(),
    ] {
        assert!(
            check(&text).starts_with("the result is longer than 4 MiB"),
            "{text}"
        );
    }
}

#[test]
fn reads_are_found_without_evaluating() {
    let files = Files::default();
    let node = Node {
        kind: NodeKind::String("{{ inputs.a if inputs['b'] else [inputs.c | json] }}".into()),
        span: Span {
            file: terrace_syntax::source::FileId(0),
            start: 0,
            end: 0,
        },
        key: Span {
            file: terrace_syntax::source::FileId(0),
            start: 0,
            end: 0,
        },
    };
    let mut files = files;
    files.add("a", "");
    let template = template(&node, &files, &mut Diagnostics::new());
    let mut reads = Reads::default();
    template.expressions().for_each(|e| reads.add(e));
    assert_eq!(reads.names.into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(!reads.all);
}
