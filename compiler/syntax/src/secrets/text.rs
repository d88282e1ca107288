//! Finds secrets inside a string: parameters of a URL, arguments, lines of a properties file, JSON and YAML.

use std::ops::Range;

use super::{forms, keys};

/// An assignment such as `password=…` in a string.
struct Assignment {
    key: Range<usize>,
    value: Range<usize>,
    /// Whether the assignment is a parameter of a URL.
    parameter: bool,
    /// Whether the key is the first word of its line or the value is in quotes.
    stands_out: bool,
}

/// The end of a value without quotes.
#[derive(Clone, Copy, PartialEq)]
enum ValueEnd {
    /// At a separator of parameters.
    AtSeparator,
    /// At white space, so that rather too much is hidden than too little.
    AtSpace,
}

/// Finds the secrets in lines of a file, which may not be valid YAML. Messages hide them when they show the file.
pub fn secrets_in(text: &str) -> Vec<Range<usize>> {
    let assigned = assignments(text, &['=', ':'], ValueEnd::AtSpace).filter(|assignment| {
        let value = &text[assignment.value.clone()];
        keys::gives_secret(&text[assignment.key.clone()], value)
            && !value.starts_with(['{', '[', '|', '>', '!', '&', '*'])
    });
    let mut found: Vec<Range<usize>> = assigned.map(|assignment| assignment.value).collect();
    found.extend(forms::find(text).map(|form| form.at));
    found
}

/// Returns the key that a string assigns a secret to: `jdbc:postgresql://host/db?password=…`, `--password=…`, a line of a
/// properties file or of YAML, a pair of JSON.
pub fn assigned(text: &str) -> Option<&str> {
    if !text.contains(['=', ':']) {
        return None;
    }
    let found = |separator: char| {
        assignments(text, &[separator], ValueEnd::AtSeparator).find_map(|assignment| {
            let (key, value) = (&text[assignment.key.clone()], &text[assignment.value.clone()]);
            // In code, the assigned value may be a variable or a call.
            let is_code = value.contains(['(', '[', '{', '<', '`', '%', '|'])
                || value.starts_with(['=', '~', '@', '>', '!', '&'])
                || !assignment.parameter && keys::names_secret(value);
            let stands = separator == '=' || assignment.stands_out;
            (stands && !is_code && keys::gives_secret(key, value)).then_some(key)
        })
    };
    found('=').or_else(|| found(':'))
}

/// Finds assignments to keys that name a secret, outside `{{ }}`.
fn assignments<'a>(
    text: &'a str,
    separators: &'a [char],
    ends: ValueEnd,
) -> impl Iterator<Item = Assignment> + 'a {
    let (mut looked, mut expression) = (0, 0..0);
    text.match_indices(separators).filter_map(move |(at, separator)| {
        // A value is not searched again, because a string may consist of `=` only.
        if at < looked {
            return None;
        }
        looked = at + 1;
        let before = match separator {
            ":" => text[..at].trim_end_matches(['"', '\'']),
            _ => text[..at].trim_end_matches([' ', '\t']),
        };
        let in_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        let key_start = before
            .char_indices()
            .rev()
            .take_while(|(_, c)| in_key(*c))
            .last()?
            .0;
        // `…:secret:…` is part of an ARN, `…/token:…` an image.
        let pair = separator == "="
            || before.len() < at
            || text[at + 1..].starts_with([' ', '\t', '"', '\''])
            || text[..key_start].ends_with(['{', ',']);
        if !pair || !keys::names_secret(&before[key_start..]) {
            return None;
        }
        while expression.end <= at {
            let Some(opened) = text[expression.end..].find("{{") else {
                expression = text.len() + 1..text.len() + 1;
                break;
            };
            let start = expression.end + opened;
            let end = text[start..].find("}}").map_or(text.len(), |end| start + end + 2);
            expression = start..end;
        }
        if expression.contains(&at) {
            return None;
        }
        let rest = text[at + 1..].trim_start_matches([' ', '\t']);
        let rest = rest.strip_prefix("!raw ").unwrap_or(rest);
        let start = text.len() - rest.len();
        let quoted = rest.starts_with(['"', '\'']);
        let (start, end) = match rest.chars().next()? {
            quote @ ('"' | '\'') => {
                let end = rest[1..].find(quote).unwrap_or(rest.len() - 1);
                (start + 1, start + 1 + end)
            }
            _ => {
                let end = rest.find(|c: char| match ends {
                    ValueEnd::AtSeparator => {
                        c.is_whitespace() || matches!(c, '&' | ';' | ',' | ')' | '"' | '\'' | '\\')
                    }
                    ValueEnd::AtSpace => c.is_whitespace() || matches!(c, '"' | '\''),
                });
                let value = &rest[..end.unwrap_or(rest.len())];
                let value = value.trim_end_matches([',', '}', ']']);
                (start, start + value.len())
            }
        };
        looked = end.max(looked);
        let parameter = text[..key_start].ends_with(['?', '&', ';']);
        let line = text[..key_start].rsplit('\n').next().unwrap_or_default();
        Some(Assignment {
            key: key_start..before.len(),
            value: start..end,
            parameter,
            stands_out: quoted || line.trim_start_matches([' ', '\t', '-', '"', '\'']).is_empty(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_key_that_a_string_assigns_a_secret_to() {
        for (text, key) in [
            ("jdbc:postgresql://h/db?user=u&password=hunter2", "password"),
            ("Server=h;Pwd=hunter2;", "Pwd"),
            ("db.user=u\ndb.password = hunter2\n", "db.password"),
            ("--password=hunter2", "--password"),
            ("https://h/?token={{ a }}&clientSecret=hunter2", "clientSecret"),
            ("export DB_PASS='hunter2'", "DB_PASS"),
            ("auth:\n  password: hunter22\n", "password"),
            ("{\"user\":\"u\",\"password\":\"hunter2\"}", "password"),
            (
                "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=Zm9v1YmFyYmF6cXV4Zm9vYmFy==",
                "AccountKey",
            ),
        ] {
            assert_eq!(assigned(text), Some(key), "{text}");
        }
        for text in [
            "jdbc:postgresql://h/db?user=u&password={{ secret('db').password }}",
            "jdbc:postgresql://h/db?user=u&password=${DB_PASSWORD}",
            "{{ env(password='hunter2') }}",
            "PASSWORD=\"$(cat /run/secrets/db)\" exec serve --token=/run/token",
            "connect(password=os.environ['PASSWORD'], token=args.access_token)",
            "if password == previous or token != following:",
            "token=arn:aws:secretsmanager:eu-central-1:1:secret:db",
            "bypass=everything",
            "--password=",
            "password=<the password>",
            "def login(user: str, password: Credential) -> None:",
            "password: string\n",
            "tlsSecret: my-server-cert\n",
            "============",
            "::::::::::",
        ] {
            assert_eq!(assigned(text), None, "{text}");
        }
    }

    #[test]
    fn hides_secrets_in_lines() {
        let hidden = |text: &str| {
            let ranges = secrets_in(text);
            ranges
                .into_iter()
                .map(|range| text[range].to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(hidden("{DB_PASS: hunter2, b: 1}"), ["hunter2"]);
        assert_eq!(hidden("{\"password\":\"hunter2\"}"), ["hunter2"]);
        assert_eq!(hidden("web.env={dbPass:hunter2}"), ["hunter2"]);
        assert_eq!(hidden("web.env.PASSWORD=hun,ter2"), ["hun,ter2"]);
        assert_eq!(
            hidden("url: \"postgresql://u:hunter2@h\""),
            ["postgresql://u:hunter2@h"]
        );
        for text in [
            "password: {type: secret}",
            "password: \"{{ secret('db').password }}\"",
            "arn: arn:aws:secretsmanager:eu-central-1:1:secret:database",
            "image: example.org/token:1.2.3-rc",
            "fernet_secret: airflow-fernet-key",
        ] {
            assert!(hidden(text).is_empty(), "{text}");
        }
    }
}
