//! Valid documents decode, with the spans and units of their values.

use serde_json::{Value as Json, json};
use terrace_language::document::{ComponentSource, Document, DocumentKind, Tenants};
use terrace_language::validate::schema;
use terrace_syntax::diagnostic::Diagnostics;
use terrace_syntax::source::Files;
use terrace_syntax::yaml::read;

#[test]
fn decodes_documents_with_their_spans() {
    let text = "kind: Component\nname: a\nmodule: \"lake@^1.2\"\ntenants: {tier: [basic]}\n";
    let mut files = Files::default();
    let mut nodes = read("a.yaml", text.as_bytes(), &mut files, &mut Diagnostics::new());
    let Document::Component(component) = Document::decode(DocumentKind::Component, nodes.remove(0)) else {
        unreachable!()
    };
    let ComponentSource::Module { module, .. } = &component.recipe else {
        panic!("{component:?}")
    };
    assert_eq!(files.text(module.name.span), "lake");
    assert_eq!(files.text(module.requirement.span), "^1.2");
    assert_eq!(module.requirement.value.to_string(), "^1.2");
    let Tenants::Tiers(tiers) = &component.tenants else {
        panic!("{component:?}")
    };
    assert_eq!(
        (files.text(tiers[0].span), tiers[0].value.as_str()),
        ("basic", "basic")
    );
}

/// Decoding must accept every value that the pattern of a schema accepts.
#[test]
fn decodes_every_value_that_the_patterns_accept() {
    use terrace_artifact::Quantity;
    use terrace_language::value::unit::Duration;
    let module: Json = serde_json::from_str(&schema("module").unwrap()).unwrap();
    let definitions = &module["definitions"];
    let accepts = |name: &str, text: &str| jsonschema::draft7::is_valid(&definitions[name], &json!(text));
    let numbers = [
        "0",
        "1",
        "999",
        "999.999",
        "999999",
        "999999.999",
        "999999999",
        "999999999999999.999",
        "01",
        "1.5",
    ];
    let units = [
        "", "m", "k", "K", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei", "B", "kB", "GB",
        "GiB", "s", "h", "d", "w", "y", "n",
    ];
    let mut accepted = 0;
    for text in numbers
        .iter()
        .flat_map(|number| units.iter().map(move |unit| format!("{number}{unit}")))
    {
        for (name, decodes) in [
            ("duration", text.parse::<Duration>().is_ok()),
            ("size", Quantity::size(&text).is_some()),
            ("quantity", text.parse::<Quantity>().is_ok()),
        ] {
            if accepts(name, &text) {
                assert!(decodes, "{name}: {text}");
                accepted += 1;
            }
        }
    }
    assert!(accepted > 100, "{accepted}");
    for text in [
        "999999y999999999w999999999d999999999h999999999m999999999s",
        "1h30m",
        "30m1h",
    ] {
        assert_eq!(
            accepts("duration", text),
            text.parse::<Duration>().is_ok(),
            "{text}"
        );
    }
    for text in [
        "^1",
        "~1.2",
        "=1.2.3",
        ">=1.1, <3",
        "*",
        "1.0.0-rc.1",
        ">= 1",
        ">=1,<2,<3",
    ] {
        assert!(
            accepts("requirement", text) && text.parse::<semver::VersionReq>().is_ok(),
            "{text}"
        );
    }
    for text in ["1.0.0-01", "01", "1-a", "x", "", "1.2.3.4", "^", "1,"] {
        assert!(
            !accepts("requirement", text) && !accepts("version", text),
            "{text}"
        );
    }
    for text in ["1.0.0", "0.10.2-rc.1", "1.0.0-a-b.0.x1"] {
        assert!(
            accepts("version", text) && text.parse::<semver::Version>().is_ok(),
            "{text}"
        );
    }
}
