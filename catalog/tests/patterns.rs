//! Every pattern of every resource type gives the same results as another implementation.

use std::collections::BTreeSet;

use terrace_catalog::{Pattern, cloudformation, types};

const TEXTS: &[&str] = &[
    "",
    " ",
    "a",
    "A",
    "0",
    "-",
    "_",
    "ab",
    "a-b",
    "a_b.c",
    "a b",
    "name",
    "Name1",
    "my-bucket.example",
    "123456789012",
    "2026-11-21",
    "2026-11-21T03:04:05Z",
    "10.0.0.0/16",
    "::/0",
    "vpc-0123456789abcdef0",
    "subnet-12345678",
    "i-1234567890abcdef0",
    "sg-903004f8",
    "eu-west-1",
    "arn:aws:iam::123456789012:role/service/reader",
    "arn:aws:s3:::bucket/key",
    "arn:aws:kms:eu-west-1:123456789012:key/12345678-1234-1234-1234-123456789012",
    "arn:aws:lambda:us-east-1:123456789012:function:name:1",
    "arn:aws-cn:sns:cn-north-1:123456789012:topic.fifo",
    "12345678-1234-1234-1234-123456789012",
    "https://example.org/a?b=c#d",
    "s3://bucket/prefix/",
    "user@example.org",
    "#00FF00",
    "rate(5 minutes)",
    "cron(0 2 * * ? *)",
    "alias/key",
    "aws:tag",
    "$LATEST",
    "{\"a\": [1, 2]}",
    "/path/to/file",
    "*",
    "a\nb",
    "a\tb",
    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
    "ABCDEF0123456789ABCDEF0123456789",
    "1.0.0",
    "true",
    "P1D",
    "domain.example.org.",
];

fn patterns() -> BTreeSet<&'static str> {
    types()
        .filter_map(cloudformation)
        .flat_map(|known| known.patterns())
        .collect()
}

#[test]
fn supports_all_patterns_but_one() {
    let patterns = patterns();
    assert!(patterns.len() > 2_900, "{}", patterns.len());
    let not: Vec<_> = patterns
        .iter()
        .filter(|text| !Pattern::new(text).is_supported())
        .collect();
    assert!(
        not.len() <= 1,
        "{} patterns cannot be checked: {not:#?}",
        not.len()
    );
}

#[test]
fn agrees_with_another_implementation() {
    let (mut compared, mut refused) = (0, 0);
    for text in patterns() {
        let (ours, Ok(other)) = (Pattern::new(text), regex_lite::Regex::new(text)) else {
            continue;
        };
        if !ours.is_supported() {
            continue;
        }
        for sample in TEXTS {
            let matches = ours.matches(sample);
            assert_eq!(matches, other.is_match(sample), "{text} on {sample:?}");
            compared += 1;
            refused += usize::from(!matches);
        }
    }
    assert!(compared > 100_000 && refused > 50_000, "{compared}, {refused}");
}
