//! The reasons of changes. All backends state the same reason for the same fields.

use terrace_artifact::show_path;

use crate::plan::Field;

/// Returns the reason of an update: `` `spec.replicas` changes ``, `` `a` and 2 other fields change ``.
pub fn fields_change(fields: &[Field]) -> String {
    let (names, is_one) = name_fields(fields);
    format!("{names} {}", if is_one { "changes" } else { "change" })
}

/// Returns the reason of a replacement. It names the fields that force the replacement, if they are known.
pub fn cannot_change_in_place(fields: &[Field]) -> String {
    let forcing: Vec<&Field> = fields.iter().filter(|field| field.forces_replacement).collect();
    let (names, _) = match forcing.is_empty() {
        true => name_fields(fields),
        false => name_fields(forcing),
    };
    format!("{names} cannot be changed in place")
}

/// Returns the reason of the update of a CloudFormation stack with changed resources. `total` includes removed resources.
pub fn resources_change(changed: usize, total: usize) -> String {
    match changed {
        1 => "a resource in it changes".to_owned(),
        changed => format!("{changed} of {total} resources in it change"),
    }
}

/// Names fields, and returns whether it is one. Two items of a list, a removed and an added one, can have the same path.
fn name_fields<'a>(fields: impl IntoIterator<Item = &'a Field>) -> (String, bool) {
    let mut names: Vec<String> = Vec::new();
    for field in fields {
        let name = format!("`{}`", show_path(&field.path));
        if !names.contains(&name) {
            names.push(name);
        }
    }
    match names.as_slice() {
        [] => ("a field".to_owned(), true),
        [only] => (only.clone(), true),
        [first, second] => (format!("{first} and {second}"), false),
        [first, rest @ ..] => (format!("{first} and {} other fields", rest.len()), false),
    }
}

#[cfg(test)]
mod tests {
    use terrace_artifact::Segment;

    use super::*;

    fn fields(keys: &[&str]) -> Vec<Field> {
        let field = |key: &&str| Field::new(vec![Segment::Key((*key).into())], None, Some(1.into()));
        keys.iter().map(field).collect()
    }

    #[test]
    fn names_at_most_two_fields() {
        assert_eq!(fields_change(&fields(&["a"])), "`a` changes");
        assert_eq!(fields_change(&fields(&["a", "a"])), "`a` changes");
        assert_eq!(fields_change(&fields(&["a", "b"])), "`a` and `b` change");
        assert_eq!(
            fields_change(&fields(&["a", "b", "c"])),
            "`a` and 2 other fields change"
        );
    }

    #[test]
    fn names_the_fields_that_force_a_replacement() {
        let mut changed = fields(&["a", "b"]);
        assert_eq!(
            cannot_change_in_place(&changed),
            "`a` and `b` cannot be changed in place"
        );
        changed[1].forces_replacement = true;
        assert_eq!(cannot_change_in_place(&changed), "`b` cannot be changed in place");
    }
}
