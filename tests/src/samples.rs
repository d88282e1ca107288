//! Values before and after a change, derived from the rules of the catalog's table: each rule in the direction that
//! loses data, and in the opposite direction.

use serde_json::{Map, Value as Json, json};
use terrace_artifact::Value;
use terrace_catalog::Line;

/// The expected result of a sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Data is lost.
    Lost,
    /// Data is kept.
    Kept,
    /// The loss is uncertain: the plan contains a note, and requires no approval.
    Unclear,
}

/// The properties of a resource, or an object, before and after a change.
pub struct Sample {
    /// Before the change.
    pub before: Value,
    /// After the change.
    pub after: Value,
    /// The expected result.
    pub verdict: Verdict,
}

/// Returns all samples of a rule.
pub fn samples(line: &Line) -> Vec<Sample> {
    let mut words: Vec<&str> = line.rule.split(' ').collect();
    let option = |name: &str| -> Option<String> {
        let found = words.iter().find_map(|word| word.strip_prefix(name));
        found.map(str::to_owned)
    };
    let (default, form) = (option("default="), option("as="));
    let conditions: Vec<String> = words
        .iter()
        .filter_map(|word| word.strip_prefix("if=").map(str::to_owned))
        .collect();
    words.retain(|word| !word.contains('='));
    let pairs = pairs(&words, default.as_deref(), form.as_deref());
    let at = |value: &Option<Json>| -> Value {
        let mut root = json!({});
        for condition in &conditions {
            let (path, wanted) = condition.split_once('=').unwrap_or((condition, ""));
            let wanted = match wanted {
                "" => json!([{}]),
                "true" => json!(true),
                text => json!(text),
            };
            put(&mut root, path, Some(wanted));
        }
        put(&mut root, line.path, value.clone());
        Value::from_json(&root)
    };
    let sample = |(before, after, verdict): &(Option<Json>, Option<Json>, Verdict)| Sample {
        before: at(before),
        after: at(after),
        verdict: *verdict,
    };
    pairs.iter().map(sample).collect()
}

type Pair = (Option<Json>, Option<Json>, Verdict);

/// Returns a change in the direction that loses data, and its reverse.
fn both_ways(more: Json, less: Json) -> Vec<Pair> {
    vec![
        (Some(more.clone()), Some(less.clone()), Verdict::Lost),
        (Some(less), Some(more), Verdict::Kept),
    ]
}

fn pairs(words: &[&str], default: Option<&str>, form: Option<&str>) -> Vec<Pair> {
    let amount = |n: u32| match form {
        Some("object") => json!({"Unit": "Days", "Value": n}),
        Some("duration") => json!(format!("{n}d")),
        Some("quantity") => json!(format!("{n}Gi")),
        _ => json!(n),
    };
    match words {
        ["shrinks"] => {
            let mut pairs = both_ways(amount(20), amount(10));
            if default == Some("forever") {
                pairs.push((None, Some(amount(10)), Verdict::Lost));
                pairs.push((Some(amount(10)), None, Verdict::Kept));
            } else if default == Some("?") {
                pairs.push((Some(amount(10)), None, Verdict::Unclear));
            }
            pairs
        }
        ["grows"] => both_ways(amount(10), amount(20)),
        ["order", values @ ..] => {
            let value = |word: &str| match word {
                "true" => json!(true),
                "false" => json!(false),
                "*" => json!("some"),
                word => json!(word),
            };
            let values: Vec<&&str> = values.iter().filter(|word| **word != ">").collect();
            let mut pairs: Vec<Pair> = Vec::new();
            for pair in values.windows(2) {
                pairs.extend(both_ways(value(pair[0]), value(pair[1])));
            }
            let last = values.last().map_or("", |word| word);
            if default == Some(last) {
                pairs.push((Some(value(values[0])), None, Verdict::Lost));
                pairs.push((None, Some(value(values[0])), Verdict::Kept));
            }
            pairs
        }
        ["removed"] => vec![
            (Some(json!({"Some": "thing"})), None, Verdict::Lost),
            (None, Some(json!({"Some": "thing"})), Verdict::Kept),
        ],
        ["changed"] => vec![(Some(json!("one")), Some(json!("other")), Verdict::Lost)],
        ["fewer", rest @ ..] => both_ways(items(rest, &["a", "b"]), items(rest, &["b"])),
        ["more", rest @ ..] => both_ways(items(rest, &["b"]), items(rest, &["a", "b"])),
        ["columns", name, data_type] => {
            let column = |own: &str, of: &str| json!({*name: own, *data_type: of});
            let mut pairs = both_ways(
                json!([column("a", "bigint"), column("b", "string")]),
                json!([column("a", "bigint")]),
            );
            pairs.extend(both_ways(
                json!([column("a", "bigint")]),
                json!([column("a", "int")]),
            ));
            pairs
        }
        ["s3-lifecycle"] => {
            let rules =
                |days: u32| json!({"Rules": [{"Id": "x", "Status": "Enabled", "ExpirationInDays": days}]});
            both_ways(rules(20), rules(10))
        }
        ["ecr-lifecycle"] => {
            let policy = |count: u32| {
                json!({"rules": [{"rulePriority": 1, "action": {"type": "expire"},
                    "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": count}}]})
            };
            both_ways(json!(policy(20).to_string()), json!(policy(10).to_string()))
        }
        ["aoss-lifecycle"] => {
            let policy = |days: u32| {
                let rule = json!({"ResourceType": "index", "Resource": ["index/a/*"], "MinIndexRetention": format!("{days}d")});
                json!(json!({"Rules": [rule]}).to_string())
            };
            both_ways(policy(20), policy(10))
        }
        ["kafka"] => both_ways(json!("retention.ms=20\n"), json!("retention.ms=10\n")),
        ["schema"] => both_ways(
            json!({"properties": {"a": {}, "b": {}}}),
            json!({"properties": {"a": {}}}),
        ),
        ["unclear"] => vec![(Some(json!("one")), Some(json!("other")), Verdict::Unclear)],
        ["harmless"] => vec![(Some(json!("one")), Some(json!("other")), Verdict::Kept)],
        _ => Vec::new(),
    }
}

/// Items with these names under the key, or the names themselves.
fn items(key: &[&str], names: &[&str]) -> Json {
    let item = |name: &&str| match key.first() {
        Some(key) => json!({*key: name}),
        None => json!(name),
    };
    names.iter().map(item).collect()
}

/// Writes a value at a path of the table. Creates the parents even if the value is `None`.
fn put(root: &mut Json, path: &str, value: Option<Json>) {
    let mut place = root;
    let (parents, last) = path.rsplit_once('/').unwrap_or(("", path));
    for step in parents.split('/').filter(|step| !step.is_empty()) {
        if let Some(key) = step.strip_prefix('*') {
            if !place.is_array() {
                let mut item = Map::new();
                if !key.is_empty() {
                    item.insert(key.to_owned(), json!("one"));
                }
                *place = json!([item]);
            }
            place = &mut place[0];
        } else {
            if !place.is_object() {
                *place = json!({});
            }
            place = &mut place[step];
        }
    }
    if !place.is_object() {
        *place = json!({});
    }
    if !parents.is_empty() {
        place["Beside"] = json!("it");
    }
    if let Some(value) = value {
        place[last] = value;
    }
}
