//! Reads live templates. Terrace writes JSON, users may write YAML with short tags (`!Ref`).

use terrace_artifact::{Map, Value};
use yaml_serde::Value as Yaml;

/// Reads a template in JSON or YAML.
pub(super) fn template(body: &str) -> Result<Value, String> {
    if let Ok(value) = serde_json::from_str(body) {
        return Ok(value);
    }
    let yaml: Yaml = yaml_serde::from_str(body).map_err(|error| error.to_string())?;
    Ok(value(&yaml))
}

fn value(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Null => Value::Null,
        Yaml::Bool(b) => Value::Bool(*b),
        Yaml::Number(number) => {
            let json = serde_json::to_value(number).unwrap_or_default();
            Value::from_json(&json)
        }
        Yaml::String(text) => text.as_str().into(),
        Yaml::Sequence(list) => Value::List(list.iter().map(value).collect()),
        Yaml::Mapping(map) => Value::Map(
            map.iter()
                .map(|(key, item)| (key_text(key), value(item)))
                .collect(),
        ),
        Yaml::Tagged(tagged) => {
            let tag = tagged.tag.to_string();
            let tag = tag.trim_start_matches('!');
            let name = match tag {
                "Ref" | "Condition" => tag.to_owned(),
                tag => format!("Fn::{tag}"),
            };
            let argument = match (tag, value(&tagged.value)) {
                ("GetAtt", Value::String(path)) => {
                    let (id, attribute) = path.split_once('.').unwrap_or((&path, ""));
                    Value::List(vec![id.into(), attribute.into()])
                }
                (_, argument) => argument,
            };
            let mut map = Map::new();
            map.insert(name, argument);
            Value::Map(map)
        }
    }
}

fn key_text(key: &Yaml) -> String {
    match value(key) {
        Value::String(text) => text.into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_short_tags_as_functions() {
        let read = template(
            "Resources:\n  A:\n    Type: AWS::SQS::Queue\n    Properties:\n      Arn: !GetAtt B.Arn\n      Name: !Sub '${C}-x'\n      Size: 3\n      D: !Ref E\n",
        );
        assert_eq!(
            read.unwrap().to_string(),
            r#"{"Resources":{"A":{"Type":"AWS::SQS::Queue","Properties":{"Arn":{"Fn::GetAtt":["B","Arn"]},"Name":{"Fn::Sub":"${C}-x"},"Size":3,"D":{"Ref":"E"}}}}}"#
        );
    }
}
