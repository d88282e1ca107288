/// Returns the name that a misspelled word most likely means, if one is close.
///
/// A name is close if at most a third of the word's letters are inserted, deleted, replaced or swapped with their neighbor. A
/// difference in case alone always counts as close. A word of one letter is close to no other name, and opposites such as
/// `output` and `input` are never close. Among equally close names, a name that starts with the word, or with which the word
/// starts, wins; otherwise the first one wins. If no name is close, the function returns the only name that starts with the
/// word: `production` for `prod`.
pub fn nearest<'a>(word: &str, among: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let limit = if length == 1 { 0 } else { (length / 3).clamp(1, 4) };
    let text = word.to_lowercase();
    let word: Vec<char> = text.chars().collect();
    let mut lower: Vec<char> = Vec::new();
    let mut best: Option<(usize, bool, &str)> = None;
    let mut longer = PrefixMatch::None;
    for name in among {
        if length >= SHORTEST_BEGINNING && begins(&text, name) && name.len() > text.len() {
            longer = longer.and(name);
        }
        // A later name with the same distance wins if it shares the beginning and the current best does not.
        let bound = best.map_or(limit + 1, |(distance, begins, _)| distance + usize::from(!begins));
        lower.clear();
        match name.is_ascii() {
            true if name.len().abs_diff(word.len()) >= bound => continue,
            true => lower.extend(name.bytes().map(|byte| char::from(byte.to_ascii_lowercase()))),
            false => lower.extend(name.chars().flat_map(char::to_lowercase)),
        }
        let distance = distance(&word, &lower, bound);
        if distance >= bound || is_opposite(&word, &lower) {
            continue;
        }
        let begins = lower.starts_with(&word) || word.starts_with(&lower);
        if begins || best.is_none_or(|(known, ..)| distance < known) {
            best = Some((distance, begins, name));
        }
    }
    match (best, longer) {
        (Some((.., name)), _) | (None, PrefixMatch::One(name)) => Some(name),
        _ => None,
    }
}

/// The minimum length of a word that can match the beginning of a name.
const SHORTEST_BEGINNING: usize = 3;

/// The names that start with a word: none, one, or several.
enum PrefixMatch<'a> {
    None,
    One(&'a str),
    Several,
}

impl<'a> PrefixMatch<'a> {
    fn and(self, name: &'a str) -> PrefixMatch<'a> {
        match self {
            PrefixMatch::None => PrefixMatch::One(name),
            PrefixMatch::One(known) if known == name => self,
            _ => PrefixMatch::Several,
        }
    }
}

/// Returns whether a name starts with a lower-case word, ignoring the case of the name.
fn begins(word: &str, name: &str) -> bool {
    name.get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// Words with similar letters and opposite meanings. One is never a misspelling of the other.
const OPPOSITES: [(&str, &str); 3] = [("in", "out"), ("min", "max"), ("source", "target")];

fn is_opposite(word: &[char], name: &[char]) -> bool {
    let replaced = |from: &str, to: &str| {
        let from: Vec<char> = from.chars().collect();
        let to = to.chars();
        let mut places = word.windows(from.len()).enumerate();
        places.any(|(at, window)| {
            let rest = &word[at + from.len()..];
            window == from
                && word[..at]
                    .iter()
                    .copied()
                    .chain(to.clone())
                    .chain(rest.iter().copied())
                    .eq(name.iter().copied())
        })
    };
    OPPOSITES.iter().any(|(a, b)| replaced(a, b) || replaced(b, a))
}

/// Returns the number of edits between two words, at most `bound`.
///
/// A mistake can occur twenty thousand times, with thousands of candidate names each time. The function therefore computes
/// only the cells of the table within `bound` of the diagonal.
fn distance(a: &[char], b: &[char], bound: usize) -> usize {
    if a.len().abs_diff(b.len()) >= bound {
        return bound;
    }
    let alike = |pairs: &mut dyn Iterator<Item = (&char, &char)>| pairs.take_while(|(a, b)| a == b).count();
    let start = alike(&mut a.iter().zip(b));
    let (a, b) = (&a[start..], &b[start..]);
    let end = alike(&mut a.iter().rev().zip(b.iter().rev()));
    let (a, b) = (&a[..a.len() - end], &b[..b.len() - end]);
    let mut before: Vec<usize> = vec![bound; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut row: Vec<usize> = vec![bound; b.len() + 1];
    for i in 1..=a.len() {
        // Cells further from the diagonal need more than `bound` edits.
        let near = i.saturating_sub(bound).max(1)..=(i + bound).min(b.len());
        row.fill(bound);
        row[0] = i;
        let mut least = i;
        for j in near {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
            least = least.min(row[j]);
        }
        if least >= bound {
            return bound;
        }
        std::mem::swap(&mut before, &mut last);
        std::mem::swap(&mut last, &mut row);
    }
    last[b.len()].min(bound)
}

#[cfg(test)]
mod tests {
    use super::{distance, nearest};

    #[track_caller]
    fn check(word: &str, among: &[&str], expected: Option<&str>) {
        assert_eq!(nearest(word, among.iter().copied()), expected);
    }

    #[test]
    fn finds_the_closest_name_within_the_limit() {
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
        check("Buckett", &["Buckets", "Bucket"], Some("Bucket"));
        check("gpu", &["cpu", "gpus"], Some("gpus"));
        check("Kind", &["bind", "kind"], Some("kind"));
    }

    #[test]
    fn matches_a_beginning_that_only_one_name_has() {
        check("prod", &["development", "production"], Some("production"));
        check("int", &["string", "integer"], Some("integer"));
        check("data", &["dataset", "database"], None);
        check("pr", &["production"], None);
    }

    #[test]
    fn single_letters_and_opposites_are_never_close() {
        check("f", &["x"], None);
        check("F", &["x", "f"], Some("f"));
        check("outputPath", &["inputPath"], None);
        check("max_size", &["min_size"], None);
        check("min_sise", &["min_size"], Some("min_size"));
    }

    /// Compares the bounded distance with the full table, for every edit of every word.
    #[test]
    fn bounded_distance_equals_the_full_distance() {
        fn full_distance(a: &[char], b: &[char]) -> usize {
            let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
            for i in 0..=a.len() {
                for j in 0..=b.len() {
                    table[i][j] = match (i, j) {
                        (0, n) | (n, 0) => n,
                        _ => {
                            let same = usize::from(a[i - 1] != b[j - 1]);
                            let mut least = table[i - 1][j - 1] + same;
                            least = least.min(table[i - 1][j] + 1).min(table[i][j - 1] + 1);
                            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                                least = least.min(table[i - 2][j - 2] + 1);
                            }
                            least
                        }
                    };
                }
            }
            table[a.len()][b.len()]
        }
        let words: Vec<Vec<char>> = (0..3_usize.pow(6))
            .map(|number| {
                let letter = |at: u32| ['a', 'b', 'c'][number / 3_usize.pow(at) % 3];
                (0..1 + number as u32 % 6).map(letter).collect()
            })
            .collect();
        for a in words.iter().step_by(7) {
            for b in &words {
                for bound in 1..=5 {
                    assert_eq!(
                        distance(a, b, bound),
                        full_distance(a, b).min(bound),
                        "{a:?} {b:?}"
                    );
                }
            }
        }
    }
}
