//! Secrets inside of a text: parameters of a URL, arguments, lines of a properties file, JSON and YAML in a string.

use std::ops::Range;

use super::{forms, keys};

/// `password=…` in a text.
struct Assignment {
    key: Range<usize>,
    value: Range<usize>,
    /// Whether it is a parameter of a URL.
    parameter: bool,
    /// Whether the key is the first word of its line, or the value is in quotes.
    stands_out: bool,
}

/// Where a value without quotes ends.
#[derive(Clone, Copy, PartialEq)]
enum Ends {
    /// At what separates parameters.
    AtSeparator,
    /// At white space: rather too much than too little.
    AtSpace,
}

/// Where secrets stand in lines as they were written, YAML or not: what is shown of a file hides them, also where the file
/// could not be read.
pub(crate) fn secrets_in(text: &str) -> Vec<Range<usize>> {
    let assigned = assignments(text, &['=', ':'], Ends::AtSpace).filter(|one| {
        let value = &text[one.value.clone()];
        keys::gives_secret(&text[one.key.clone()], value)
            && !value.starts_with(['{', '[', '|', '>', '!', '&', '*'])
    });
    let mut found: Vec<Range<usize>> = assigned.map(|one| one.value).collect();
    found.extend(forms::find(text).map(|form| form.at));
    found
}

/// The key that a text gives a secret to, where it does: `jdbc:postgresql://host/db?password=…`, `--password=…`, a line of a
/// properties file or of YAML, a pair of JSON.
pub(crate) fn assigned(text: &str) -> Option<&str> {
    if !text.contains(['=', ':']) {
        return None;
    }
    let found = |separator: char| {
        assignments(text, &[separator], Ends::AtSeparator).find_map(|one| {
            let (key, value) = (&text[one.key.clone()], &text[one.value.clone()]);
            // In a program, what is assigned may be the name of a variable, or a call.
            let is_code = value.contains(['(', '[', '{', '<', '`', '%', '|'])
                || value.starts_with(['=', '~', '@', '>', '!', '&'])
                || !one.parameter && keys::names_secret(value);
            let stands = separator == '=' || one.stands_out;
            (stands && !is_code && keys::gives_secret(key, value)).then_some(key)
        })
    };
    found('=').or_else(|| found(':'))
}

/// What is given to a key that names a secret, outside of `{{ }}`.
fn assignments<'a>(
    text: &'a str,
    separators: &'a [char],
    ends: Ends,
) -> impl Iterator<Item = Assignment> + 'a {
    let (mut looked, mut expression) = (0, 0..0);
    text.match_indices(separators).filter_map(move |(at, separator)| {
        // What is inside of a value is not looked through again: a text may be all `=`.
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
                    Ends::AtSeparator => {
                        c.is_whitespace() || matches!(c, '&' | ';' | ',' | ')' | '"' | '\'' | '\\')
                    }
                    Ends::AtSpace => c.is_whitespace() || matches!(c, '"' | '\''),
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
    fn a_text_may_give_a_secret_to_a_key() {
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
    fn lines_hide_what_looks_like_a_secret() {
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
