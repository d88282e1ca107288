/// The one of some names that a misspelt word was most likely meant to be, if any is close.
///
/// Close is at most a third of the word's letters inserted, dropped, replaced or swapped with their neighbour; a
/// difference in case alone always counts as close. Of equally close names the first wins.
pub fn nearest<'a>(word: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count() / 3).clamp(1, 4);
    let lower = word.to_lowercase();
    let mut best: Option<(usize, &str)> = None;
    for name in among {
        let bound = best.map_or(limit + 1, |(distance, _)| distance);
        let distance = if name.to_lowercase() == lower {
            0
        } else {
            distance(&lower, &name.to_lowercase(), bound)
        };
        if distance < bound {
            best = Some((distance, name));
        }
    }
    best.map(|(_, name)| name)
}

/// The number of edits between two words, counted up to `bound`.
fn distance(a: &str, b: &str, bound: usize) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len().abs_diff(b.len()) >= bound {
        return bound;
    }
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        if row.iter().all(|edits| *edits >= bound) {
            return bound;
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()].min(bound)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[track_caller]
    fn check(word: &str, among: &[&str], expected: Option<&str>) {
        assert_eq!(nearest(word, among.iter().copied()), expected);
    }

    #[test]
    fn finds_the_closest_name_and_nothing_far_away() {
        check(
            "replcias",
            &["replicas", "selector", "template"],
            Some("replicas"),
        );
        check("bucketname", &["BucketName", "BucketKey"], Some("BucketName"));
        check("s3-laek", &["s3-lake", "stream"], Some("s3-lake"));
        check("zone", &["time", "type"], None);
        check("x", &[], None);
        check("ab", &["abc", "abd"], Some("abc"));
        check("Buckett", &["Buckets", "Bucket"], Some("Buckets"));
    }
}
