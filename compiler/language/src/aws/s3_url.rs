//! S3 locations in values: `s3://BUCKET/PREFIX`, with or without references.

use crate::resource::Resource;
use crate::value::term::Term;

/// A location in S3.
#[derive(Clone, PartialEq, Debug)]
pub struct Location {
    /// The bucket: its name, or a reference to it.
    pub bucket: Term,
    /// The prefix of the keys, as far as it is known at compile time.
    pub prefix: String,
}

/// Returns the location of a value, or `None` if it is not an S3 URL or contains only a part of the name of the bucket.
pub fn split(term: &Term) -> Option<Location> {
    let parts = match term {
        Term::String(_) => std::slice::from_ref(term),
        Term::Concat(parts) => parts,
        _ => return None,
    };
    let (first, rest) = parts.split_first()?;
    let (bucket, prefix, rest) = match (first.as_str()?.strip_prefix("s3://")?, rest) {
        ("", [bucket @ Term::Reference(_), rest @ ..]) => (bucket.clone(), "", rest),
        (text, rest) => {
            let (name, prefix) = match text.split_once('/') {
                Some(split) => split,
                None if rest.is_empty() => (text, ""),
                None => return None,
            };
            (Term::from(name), prefix, rest)
        }
    };
    let known = rest.iter().map_while(Term::as_str);
    let mut prefix = prefix.to_owned();
    prefix.extend(known);
    if matches!(bucket, Term::Reference(_)) {
        let below = match rest {
            [] => Some(""),
            _ => prefix.strip_prefix('/'),
        };
        prefix = below?.to_owned();
    }
    (bucket != Term::from("")).then_some(Location { bucket, prefix })
}

/// Returns the location of the results of an Athena workgroup.
pub fn results_of(workgroup: &Resource) -> Option<Location> {
    const LOCATION: [&str; 3] = ["WorkGroupConfiguration", "ResultConfiguration", "OutputLocation"];
    split(workgroup.body.at(&LOCATION)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::term::Reference;
    use terrace_syntax::source::{FileId, Span};

    fn bucket() -> Term {
        let nowhere = Span {
            file: FileId(0),
            start: 0,
            end: 0,
        };
        Reference::of_address("platform/lake/bucket", "name", nowhere).into()
    }

    #[test]
    fn splits_a_url_into_its_bucket_and_prefix() {
        let concat = |parts: Vec<Term>| Term::Concat(parts.into());
        for (term, bucket, prefix) in [
            ("s3://raw/incoming/".into(), "raw".into(), "incoming/"),
            ("s3://raw".into(), "raw".into(), ""),
            (concat(vec!["s3://".into(), bucket()]), bucket(), ""),
            (concat(vec!["s3://".into(), bucket(), "/".into()]), bucket(), ""),
            (
                concat(vec!["s3://".into(), bucket(), "/a/".into(), bucket()]),
                bucket(),
                "a/",
            ),
            (concat(vec!["s3://raw/".into(), bucket()]), "raw".into(), ""),
        ] {
            let prefix = prefix.to_owned();
            assert_eq!(
                split(&term),
                Some(Location { bucket, prefix }),
                "{}",
                term.shown()
            );
        }
    }

    #[test]
    fn does_not_take_part_of_a_name_for_a_bucket() {
        let concat = |parts: Vec<Term>| Term::Concat(parts.into());
        for term in [
            "https://raw/".into(),
            "s3:///incoming/".into(),
            concat(vec!["s3://acme-".into(), bucket()]),
            concat(vec!["s3://".into(), bucket(), "-logs/".into()]),
        ] {
            assert_eq!(split(&term), None, "{}", term.shown());
        }
    }
}
