//! Generated inputs that repeat one construct very often. None may take long or exhaust the stack or the memory.

use std::time::{Duration, Instant};

use terrace_replay::{compiler, loader};

/// A time limit that every input meets without optimization, and that an algorithm of quadratic time exceeds.
const LONGEST: Duration = Duration::from_secs(60);

#[track_caller]
fn check(target: fn(&[u8]), text: &str) {
    let begin = Instant::now();
    target(text.as_bytes());
    let took = begin.elapsed();
    assert!(took < LONGEST, "{} bytes take {} s", text.len(), took.as_secs());
}

fn stack(resources: &str) -> String {
    format!(
        "{{kind: Platform, name: acme}}\n---\n{{kind: Environment, name: development, class: development, directory: out}}\n\
         ---\nkind: Component\nname: own\nresources:\n{resources}"
    )
}

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(line).collect()
}

#[test]
fn handles_many_keys() {
    let keys = lines(200_000, |n| format!("  key{n}: 1\n"));
    check(
        loader,
        &format!("kind: Component\nname: a\nmodule: b\ninputs:\n{keys}"),
    );
    let strange = lines(3_000, |n| format!("key{n}: 1\n"));
    check(loader, &format!("kind: Platform\nname: a\n{strange}"));
    check(
        loader,
        &format!("{{kind: Platform, name: a, {}}}", strange.replace('\n', ", ")),
    );
    check(loader, &format!("{{{}}}", "a: 1, ".repeat(3_000)));
}

#[test]
fn handles_many_items() {
    let names = lines(100_000, |n| format!("t{n}, "));
    check(
        loader,
        &format!("{{kind: Component, name: a, module: b, tenants: [{names}]}}"),
    );
    check(
        loader,
        &format!(
            "{{kind: Component, name: a, module: b, tenants: [{}]}}",
            "a, ".repeat(3_000)
        ),
    );
}

#[test]
fn handles_many_documents() {
    check(loader, &"a\n---\n".repeat(5_000));
    check(loader, &"---\n".repeat(20_000));
    check(
        loader,
        &lines(5_000, |n| {
            format!("{{kind: Component, name: c{n}, module: nope}}\n---\n")
        }),
    );
}

#[test]
fn handles_deeply_nested_yaml() {
    check(loader, &"[".repeat(1_000_000));
    check(loader, &"- ".repeat(500_000));
    check(loader, &"{a: ".repeat(500_000));
    check(loader, &"? ".repeat(500_000));
    check(loader, &lines(10_000, |_| "- {{a} : b}\n".to_owned()));
    check(
        loader,
        &format!(
            "x: &a {}{}\ny: [{}]",
            "[".repeat(60),
            "]".repeat(60),
            "*a, ".repeat(100_000)
        ),
    );
    check(
        loader,
        &lines(20_000, |n| format!("- &a{n} {{x: *a{}}}\n", n.saturating_sub(1))),
    );
}

#[test]
fn handles_long_expressions() {
    for (start, repeated, end) in [
        ("1", " + 1", ""),
        ("", "not ", "true"),
        ("name", "|trim", ""),
        ("[", "1, ", "]"),
        ("{", "a: 1, ", "}"),
        ("'", "\\\\'", "'"),
        ("", "(", ""),
    ] {
        let text = format!("{start}{}{end}", repeated.repeat(100_000));
        check(
            compiler,
            &stack(&format!(
                "  a: {{type: v1/ConfigMap, data: {{x: \"{{{{ {text} }}}}\"}}}}\n"
            )),
        );
    }
    let pieces = "{{ name }}".repeat(50_000);
    check(
        compiler,
        &stack(&format!(
            "  a: {{type: v1/ConfigMap, data: {{x: \"{pieces}\"}}}}\n"
        )),
    );
}

#[test]
fn handles_nested_loops() {
    let names = lines(300, |n| format!("'k{n}', "));
    let each =
        |inner: &str| format!("{{$for_each: \"{{{{ [{names}] }}}}\", \"{{{{ each.key }}}}\": {inner}}}");
    let body = each(&each(&each("x")));
    check(
        compiler,
        &stack(&format!("  a: {{type: v1/ConfigMap, data: {body}}}\n")),
    );
    let large = lines(20_000, |n| format!("k{n}: 1, "));
    check(
        compiler,
        &stack(&format!(
            "  a: {{type: v1/ConfigMap, data: {}}}\n",
            each(&format!("{{{large}}}"))
        )),
    );
}

#[test]
fn handles_outputs_that_double_in_size() {
    for output in ["ref('c{}').o ~ ref('c{}').o", "[ref('c{}').o, ref('c{}').o]"] {
        let components = lines(40, |n| {
            let output = match n {
                0 => "name".to_owned(),
                n => output.replace("{}", &(n - 1).to_string()),
            };
            format!(
                "---\n{{kind: Component, name: c{n}, resources: {{}}, outputs: {{o: \"{{{{ {output} }}}}\"}}}}\n"
            )
        });
        let last = "  a: {type: v1/ConfigMap, data: {x: \"{{ ref('c39').o }}\"}}\n";
        check(compiler, &(stack(last) + &components));
    }
}

#[test]
fn handles_many_resources() {
    let maps = lines(2_000, |n| {
        format!(
            "  r{n}: {{type: v1/ConfigMap, data: {{x: \"{{{{ ref('r{}').name }}}}\"}}}}\n",
            n / 2
        )
    });
    check(compiler, &stack(&maps));
    let queues = lines(400, |n| {
        format!("  q{n}: {{type: AWS::SQS::Queue, properties: {{QueueName: q{n}, Delay: 1}}}}\n")
    });
    check(compiler, &stack(&queues));
}
