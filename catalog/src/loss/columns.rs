//! Finds removed columns and narrower column types of Hive, Iceberg and Cassandra, and removed fields in the schema of a
//! custom resource.

use terrace_artifact::{Segment, Text, Value};

/// Returns the losses of a change of columns: the index in the later list (or in the earlier list, if the column is
/// removed), the types before and after, and the consequence.
pub(super) fn losses(
    name: &str,
    data_type: &str,
    (before, after): (&[Value], &[Value]),
) -> Vec<(usize, Option<Value>, Option<Value>, String)> {
    let named = |item: &Value| -> Option<String> { Some(item.get(name)?.as_str()?.to_ascii_lowercase()) };
    let type_of = |item: &Value| item.get(data_type).cloned();
    let mut found = Vec::new();
    for (place, column) in before.iter().enumerate() {
        let Some(own) = named(column) else { continue };
        let Some((at, twin)) = after
            .iter()
            .enumerate()
            .find(|(_, other)| named(other).as_ref() == Some(&own))
        else {
            let what = format!("column `{own}` is dropped");
            found.push((place, type_of(column), None, what));
            continue;
        };
        let (was, is) = (type_of(column), type_of(twin));
        if let (Some(Value::String(old)), Some(Value::String(new))) = (&was, &is)
            && let Some(narrowed) = narrowed(old, new)
        {
            let what = format!("column `{own}` gets narrower{narrowed}");
            found.push((at, was, is, what));
        }
    }
    found
}

/// Returns which part of a type does not fit into another, as the end of a clause, or `None` if the whole type fits.
fn narrowed(old: &str, new: &str) -> Option<String> {
    let (old, new) = (plain(old), plain(new));
    if old == new {
        return None;
    }
    match (nested(&old), nested(&new)) {
        (Some(("struct", old)), Some(("struct", new))) => {
            let (old, new) = (fields(old), fields(new));
            for (name, data_type) in old {
                match new.iter().find(|(other, _)| *other == name) {
                    None => return Some(format!(": its field `{name}` is dropped")),
                    Some((_, other)) => {
                        if let Some(inner) = narrowed(data_type, other) {
                            return Some(format!(": its field `{name}`{inner}"));
                        }
                    }
                }
            }
            None
        }
        (Some((kind, old)), Some((other, new)))
            if kind == other && matches!(kind, "array" | "list" | "map" | "set") =>
        {
            let (old, new) = (split(old), split(new));
            if old.len() != new.len() {
                return Some(String::new());
            }
            old.iter().zip(&new).find_map(|(old, new)| narrowed(old, new))
        }
        (Some(("decimal", old)), Some(("decimal", new))) => {
            let (old, new) = (digits(old)?, digits(new)?);
            let fits = new.1 >= old.1 && new.0 - new.1 >= old.0 - old.1;
            (!fits).then(String::new)
        }
        (Some(("char" | "varchar", old)), Some(("char" | "varchar", new))) => {
            let length = |text: &str| text.parse::<u32>().ok();
            (length(new) < length(old)).then(String::new)
        }
        _ => (!widens(&old, &new)).then(String::new),
    }
}

/// Returns whether every value of one scalar type fits into another.
fn widens(old: &str, new: &str) -> bool {
    const INTEGERS: [&str; 4] = ["tinyint", "smallint", "int", "bigint"];
    let rank = |name: &str| INTEGERS.iter().position(|known| *known == name);
    let base = |name: &str| name.split(['(', '<']).next().unwrap_or_default().to_owned();
    if let (Some(old), Some(new)) = (rank(old), rank(new)) {
        return new >= old;
    }
    match (base(old).as_str(), base(new).as_str()) {
        // A string can hold the text of any scalar.
        (from, "string") => !matches!(from, "struct" | "array" | "map" | "list" | "set" | "binary"),
        ("tinyint" | "smallint" | "int" | "float", "double") => true,
        ("tinyint" | "smallint", "float") => true,
        ("tinyint" | "smallint" | "int" | "bigint", "decimal") => {
            let needed = match old {
                "tinyint" => 3,
                "smallint" => 5,
                "int" => 10,
                _ => 19,
            };
            nested(new)
                .and_then(|(_, inner)| digits(inner))
                .is_some_and(|(all, after)| all - after >= needed)
        }
        ("tinyint" | "smallint" | "int" | "bigint", "varint") => true,
        ("date", "timestamp") => true,
        _ => false,
    }
}

/// Normalizes a type: no spaces, lower case, one name for each type.
fn plain(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let text = text.to_ascii_lowercase();
    match text.as_str() {
        "integer" => "int".to_owned(),
        "long" | "counter" => "bigint".to_owned(),
        "text" | "ascii" => "string".to_owned(),
        _ => match text.strip_prefix("numeric") {
            Some(rest) => format!("decimal{rest}"),
            None => text,
        },
    }
}

/// Splits `struct<…>` or `decimal(…)` into the name and the content of the brackets.
fn nested(text: &str) -> Option<(&str, &str)> {
    let at = text.find(['<', '('])?;
    let inner = text.get(at + 1..text.len() - 1)?;
    Some((&text[..at], inner))
}

/// Parses precision and scale: `10,2`, or `10` for a scale of 0.
fn digits(text: &str) -> Option<(i32, i32)> {
    let (all, after) = text.split_once(',').unwrap_or((text, "0"));
    Some((all.parse().ok()?, after.parse().ok()?))
}

/// Returns the fields of a struct: `a:int,b:array<int>`.
fn fields(text: &str) -> Vec<(&str, &str)> {
    split(text)
        .into_iter()
        .filter_map(|field| field.split_once(':'))
        .collect()
}

/// Splits at the commas outside brackets.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut from) = (0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '<' | '(' => depth += 1,
            '>' | ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

/// Returns the paths of the fields that are removed from the schema of a custom resource.
pub(super) fn fields_gone(before: Option<&Value>, after: Option<&Value>) -> Vec<Vec<Segment>> {
    let mut found = Vec::new();
    if let (Some(before), Some(after)) = (before, after) {
        schemas(before, after, &mut Vec::new(), &mut found);
    }
    found
}

fn schemas(before: &Value, after: &Value, path: &mut Vec<Segment>, found: &mut Vec<Vec<Segment>>) {
    // Such a schema also preserves fields that it does not declare.
    if after.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true)) {
        return;
    }
    let mut below = |key: &str, before: &Value, after: &Value, path: &mut Vec<Segment>| {
        path.push(Segment::Key(Text::from(key)));
        schemas(before, after, path, found);
        path.pop();
    };
    for key in ["items", "additionalProperties"] {
        if let (Some(before), Some(after)) = (before.get(key), after.get(key)) {
            below(key, before, after, path);
        }
    }
    let Some(fields) = before.get("properties").and_then(Value::as_map) else {
        return;
    };
    path.push(Segment::Key("properties".into()));
    for (name, field) in fields {
        match after.at(&["properties", name]) {
            Some(twin) => {
                path.push(Segment::Key(name.clone()));
                schemas(field, twin, path, found);
                path.pop();
            }
            None => {
                let mut gone = path.clone();
                gone.push(Segment::Key(name.clone()));
                found.push(gone);
            }
        }
    }
    path.pop();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(old: &str, new: &str, expect: Option<&str>) {
        assert_eq!(narrowed(old, new).as_deref(), expect, "{old} → {new}");
    }

    #[test]
    fn detects_types_that_become_narrower() {
        check("int", "bigint", None);
        check("integer", "int", None);
        check("bigint", "int", Some(""));
        check("long", "int", Some(""));
        check("float", "double", None);
        check("double", "float", Some(""));
        check("int", "decimal(10,0)", None);
        check("int", "decimal(10, 2)", Some(""));
        check("decimal(18,2)", "decimal(20, 4)", None);
        check("decimal(18,2)", "decimal(18,4)", Some(""));
        check("decimal(18,2)", "decimal(10,2)", Some(""));
        check("varchar(10)", "varchar(20)", None);
        check("varchar(10)", "char(5)", Some(""));
        check("varchar(10)", "string", None);
        check("timestamp", "date", Some(""));
        check("date", "timestamp", None);
        check("string", "int", Some(""));
        check("struct<a:int>", "string", Some(""));
        check("struct<a:int,b:string>", "struct<b:string, a:bigint>", None);
        check(
            "struct<a:int,b:string>",
            "struct<a:int>",
            Some(": its field `b` is dropped"),
        );
        check(
            "struct<a:struct<x:int,y:int>>",
            "struct<a:struct<x:int>>",
            Some(": its field `a`: its field `y` is dropped"),
        );
        check("array<bigint>", "array<int>", Some(""));
        check("map<string,int>", "map<string,bigint>", None);
        check(
            "map<string,array<decimal(4,1)>>",
            "map<string,array<decimal(3,1)>>",
            Some(""),
        );
    }
}
